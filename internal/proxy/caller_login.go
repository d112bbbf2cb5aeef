package proxy

import (
	"errors"
	"io"
	"syscall"
	"time"

	"cancello/internal/engine"
	"cancello/internal/loop"
	"cancello/internal/sqlstate"
	"cancello/internal/wire"

	"golang.org/x/sys/unix"
)

// begin takes a startup packet of n bytes.
func (c *caller) begin(now time.Duration, s wire.Startup, n int) {
	p := c.p
	if _, _, passes := c.passage(s, ""); passes {
		c.receive()
		return
	}
	c.keepClient(c.fd)
	c.short = p.fds.mayStay(c.fd)
	r, reply, err := c.apply(s, "")
	if err == nil && p.wantsConsole(r.Database) {
		c.receive()
		return
	}
	var wait time.Duration
	if err == nil {
		if wait, err = c.wait(); wait > 0 {
			c.receive()
			return
		}
	}
	if err == nil {
		err = c.standInLine()
	}
	if err == nil && r.User == "" {
		err = sqlstate.NoUserName()
	}
	if err == nil {
		c.x = c.exchange(r.User)
		if c.x.WantsCertificate() {
			err = c.x.Certificate(nil) // in clear there is none
			c.notAuthenticated(c.x.Reason(), err)
		}
	}
	c.got = c.got[n:]
	c.request = r
	switch {
	case err != nil && len(reply) > 0:
		_ = c.send(reply)
		c.refuse(err)
	case err != nil:
		c.refuse(err)
	case c.x.Done():
		c.enter(now, reply)
	default:
		c.ask(now, append(reply, c.x.First()...))
	}
}

// ask has the client prove who it is.
func (c *caller) ask(now time.Duration, question []byte) {
	if len(question) > 0 {
		if err := c.send(question); err != nil {
			c.drop(err)
			return
		}
	}
	c.hears = c.proof
	c.proof(now)
}

// proof takes 'p' messages.
func (c *caller) proof(now time.Duration) {
	if len(c.got) < wire.HeaderLen {
		c.awaitProof()
		return
	}
	n, err := passwordLen(c.got[:wire.HeaderLen])
	if err != nil {
		c.refuse(err)
		return
	}
	if n += wire.HeaderLen; n > earSize/2 || c.x.Costly() {
		c.finish()
		return
	}
	if len(c.got) < n {
		c.awaitProof()
		return
	}
	c.reads = 0
	answer, done, err := c.x.Receive(c.got[wire.HeaderLen:n])
	c.got = c.got[n:]
	switch {
	case err != nil:
		c.notAuthenticated(c.x.Reason(), err)
		c.refuse(err)
	case done:
		c.authenticated(c.request.User, c.x)
		c.enter(now, answer)
	default:
		c.ask(now, answer)
	}
}

// awaitProof waits for the rest of a message, unless it drips.
func (c *caller) awaitProof() {
	if c.reads >= mayDrip {
		c.finish()
		return
	}
	c.await(loop.Readable)
}

// finish makes it a visit that goes on with its proof.
func (c *caller) finish() {
	r, x := c.request, c.x
	c.visit(func(v *visit) { v.goOn(func() error { return v.finish(r, x) }) })
}

// enter asks the engine to let it in. said is what the client hears before its greeting.
func (c *caller) enter(now time.Duration, said []byte) {
	p := c.p
	c.keep()
	c.request.Conn = p.loop.Reserve()
	random(c.request.Random[:])
	c.login = engine.Login(p.ids.Add(1))
	asking := true
	p.own.logins[c.login] = func(v engine.Verdict) {
		if c.verdict = &v; !asking {
			p.loop.Post(func(time.Duration) { c.answered() })
		}
	}
	p.engine.LoginAsked(now, c.login, c.request)
	if asking = false; c.verdict != nil {
		c.said = said
		c.answered()
		return
	}
	if err := c.send(said); err != nil {
		c.drop(err)
		return
	}
	c.ahead = len(c.got) > 0
	c.watch()
}

// watch waits for the engine's verdict, and for what may come first: the client going away, the end of its time. That a
// client goes which has sent something ahead shows when that has been read.
func (c *caller) watch() {
	if c.ahead {
		c.await(0)
		return
	}
	c.await(loop.Readable)
}

// look sees what a client does that is to wait.
func (c *caller) look() {
	var b [1]byte
	n, _, err := unix.Recvfrom(c.fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	switch {
	case c.ahead, err == nil && n == 0, err != nil && !errors.Is(err, unix.EAGAIN):
		c.drop(io.EOF)
		return
	case err == nil:
		c.ahead = true
	}
	c.watch()
}

// answered goes on when the engine has decided.
func (c *caller) answered() {
	if _, here := c.p.own.callers[c]; !here {
		return // it has gone between the verdict and this
	}
	c.p.loop.Forget(c.fd)
	if !c.verdict.OK {
		refusal := append(c.said, c.verdict.Refusal...)
		c.leaveLine()
		c.abandon(errRefused)
		c.visit(func(v *visit) { v.turnAway(func() { v.say(refusal) }) })
		return
	}
	c.said = append(c.said, greeting(*c.verdict)...)
	c.greet()
}

// greet writes what the socket takes of the greeting, and gives it to the loop in the same turn: a client that has been
// greeted may send a query and cancel it at once, and the loop must be able to look into its socket when that cancel comes.
func (c *caller) greet() {
	n, err := syscall.Write(c.fd, c.said)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		n = 0
	case err != nil:
		c.drop(err)
		return
	}
	c.begun = c.begun || n > 0
	if c.said = c.said[n:]; len(c.said) > 0 {
		c.await(loop.Writable)
		return
	}
	c.p.loop.Adopt(c.request.Conn, c.fd, c.got)
	c.end()
}
