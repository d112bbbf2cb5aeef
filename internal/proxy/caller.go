package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"cancello/internal/auth"
	"cancello/internal/engine"
	"cancello/internal/loop"
	"cancello/internal/wire"

	"golang.org/x/sys/unix"
)

// earSize is how much of a caller is read at once: a startup packet is no longer.
const earSize = 16 << 10

// mayDrip is how many reads a message may take. One that comes in more pieces is a visit's, which reads byte by byte cheaply:
// each wait of a caller's costs the loop two calls of the kernel and a copy of what has come.
const mayDrip = 3

// caller is an accepted connection that the loop looks after until it is a client, gone, or a visit: to go through a login
// in clear takes some microseconds, to wake a goroutine for each of its steps costs more. What takes longer (TLS, a
// derivation, a wait that is a penalty, the console, another process, an error that the client has to be let read) becomes
// a visit, with what was read. What is decided about the one and the other is the applicant's.
//
// All of it is the loop's.
type caller struct {
	applicant
	e        *entrance
	fd       int
	place    *place // in the lobby; nil: not, or not any more
	knocking bool   // it has not said what it wants
	got      []byte // read and not used yet; lent by p.own.ear while hear runs
	hears    func(now time.Duration)
	reads    int // of the message that has begun

	ticket  engine.Ticket // of its cancel, while the engine has it; 0: none
	request engine.Request
	x       *auth.Exchange // its check, while it is under way
	login   engine.Login   // the question put to the engine; 0: none
	verdict *engine.Verdict
	said    []byte // what it is still to hear, once the engine has decided
	begun   bool   // it was given some of the greeting
	ahead   bool   // it has sent more than was asked for
}

// call begins with a connection that was just accepted.
func (p *Proxy) call(now time.Duration, e *entrance, fd int, from unix.Sockaddr) {
	peer := p.own.zones.addressOf(from)
	c := &caller{applicant: p.newApplicant(peer, nil, nameOf(peer, fd), e.place.Keys), e: e, fd: fd, knocking: true}
	if c.tcp() {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // it is an optimization
	}
	if at, err := unix.Getsockname(fd); err == nil {
		c.local = p.own.zones.addressOf(at)
	} else {
		c.local = e.Addr()
	}
	p.arrivals.enter()
	p.tidy.note()
	p.own.callers[c] = struct{}{}
	c.hears = c.startup
	c.hear(now) // a client that came while others were served has said what it wants by now
}

// end forgets a caller: its descriptor is closed, or somebody else's by now.
func (c *caller) end() {
	c.heard()
	c.leaveLine()
	c.arrived()
	delete(c.p.own.callers, c)
	if c.login != 0 {
		delete(c.p.own.logins, c.login)
	}
	if c.ticket != 0 {
		delete(c.p.own.tickets, c.ticket)
		c.p.carrying.Add(-1)
	}
}

// heard says that it has said what it wants, or will not any more.
func (c *caller) heard() {
	c.knocking = false
	if c.place != nil {
		c.p.lobby.leave(c.place)
		c.place = nil
	}
}

// RemoteAddr makes it a lodger.
func (c *caller) RemoteAddr() net.Addr { return c.peer }

// SetDeadline is said by the lobby when its place is somebody else's.
func (c *caller) SetDeadline(time.Time) error {
	c.p.loop.Post(func(time.Duration) {
		if c.place != nil {
			c.p.loop.Forget(c.fd)
			c.refuse(crowdedOut())
		}
	})
	return nil
}

// hear reads what there is, and has it looked at; where that is nothing it waits.
func (c *caller) hear(now time.Duration) {
	n, err := syscall.Read(c.fd, c.p.own.ear[len(c.got):])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		c.await(loop.Readable)
	case err != nil || n == 0:
		c.drop(io.EOF)
	default:
		if len(c.got) > 0 {
			copy(c.p.own.ear, c.got)
		}
		c.got = c.p.own.ear[:len(c.got)+n]
		c.reads++
		c.hears(now)
	}
}

// await has the loop come back when the socket is ready. What was read and not used is kept.
func (c *caller) await(what loop.Readiness) {
	c.keep()
	if c.knocking && c.place == nil {
		c.place = c.p.lobby.enter(c)
	}
	until := c.p.loop.Now() + time.Until(c.deadline)
	if err := c.p.loop.Await(c.fd, what, until, c.woken); err != nil {
		c.refuse(err)
	}
}

// keep makes what was read and not used its own.
func (c *caller) keep() {
	if len(c.got) > 0 {
		c.got = append([]byte(nil), c.got...)
	}
}

func (c *caller) woken(now time.Duration, ready bool) {
	switch {
	case !ready:
		c.refuse(context.DeadlineExceeded)
	case len(c.said) > 0:
		c.greet()
	case c.verdict != nil: // answered comes in this turn or the next
	case c.login != 0:
		c.look()
	default:
		c.hear(now)
	}
}

// send writes what the client has to answer: so little that the socket of somebody who reads takes it.
func (c *caller) send(b []byte) error {
	n, err := syscall.Write(c.fd, b)
	if err == nil && n < len(b) {
		err = unix.EAGAIN
	}
	return err
}

// drop closes without a word: the client has gone, or doesn't read.
func (c *caller) drop(err error) {
	c.abandon(err)
	unix.Close(c.fd)
	c.end()
}

// abandon takes back what was asked of the engine.
func (c *caller) abandon(err error) {
	if c.login != 0 {
		c.p.loop.Abandon(c.request.Conn, err)
	}
}

// leave makes it a visit.
func (c *caller) leave() *visit {
	c.keep()
	c.heard()
	v := c.p.visitOf(c.applicant, newSocket(c.fd, c.local, c.peer), c.got)
	c.in, c.inLine = true, false // it is the visit that counts
	c.end()
	return v
}

// visit makes it a visit, which a goroutine goes on with by run.
func (c *caller) visit(run func(v *visit)) {
	v := c.leave()
	c.p.soon(func() { run(v) })
}

// receive makes it a visit that has not said yet what it wants, or is heard again.
func (c *caller) receive() {
	v := c.leave()
	c.p.arrivals.keep(v.raw, c.e.Listener)
	c.p.soon(v.receive)
}

// refuse tells the client why it is not let in, but not in the middle of a message. It takes nobody's place meanwhile.
func (c *caller) refuse(err error) {
	c.leaveLine()
	if c.begun {
		c.drop(fmt.Errorf("the client did not take its greeting: %v", err))
		return
	}
	c.abandon(err)
	c.visit(func(v *visit) { v.turnAway(func() { v.refuse(err) }) })
}

// dismissAll makes visits of all callers: the Proxy stops, which those tell them. To a cancel nothing is said.
func (p *Proxy) dismissAll() {
	for c := range p.own.callers {
		p.loop.Forget(c.fd)
		if c.ticket != 0 {
			c.part()
		} else {
			c.refuse(p.ctx.Err())
		}
	}
}

// dismissSilent makes visits of those callers that have not said a word.
func (p *Proxy) dismissSilent() {
	for c := range p.own.callers {
		if c.knocking && len(c.got) == 0 && c.opening == (opening{}) {
			p.loop.Forget(c.fd)
			c.receive()
		}
	}
}

// startup looks at packets up to the one that says what the client wants.
func (c *caller) startup(now time.Duration) {
	for {
		if len(c.got) > 0 && c.direct(c.got[0]) && c.mayEncrypt() {
			c.receive()
			return
		}
		n, err := c.packetLen()
		if err != nil {
			c.refuse(err)
			return
		}
		if n == 0 || len(c.got) < n {
			if c.reads >= mayDrip {
				c.receive()
				return
			}
			c.await(loop.Readable)
			return
		}
		c.reads = 0
		s, err := wire.ParseStartup(c.got[:n])
		switch {
		case errors.Is(err, wire.ErrMalformedCancel):
			c.got = c.got[n:]
			c.heard()
			c.malformed(err)
			c.part()
			return
		case err != nil:
			c.got = c.got[n:]
			c.refuse(err)
			return
		}
		before := c.opening
		switch c.opening.answer(s, c.mayEncrypt()) {
		case encrypt:
			c.opening = before
			c.receive()
			return
		case settled:
			c.heard()
			c.wants(now, s, n)
			return
		}
		c.got = c.got[n:]
		if err := c.send(declined); err != nil {
			c.drop(err)
			return
		}
	}
}

// packetLen is how long the packet is that has begun; 0: that is not known yet.
func (c *caller) packetLen() (int, error) {
	if len(c.got) < 4 {
		return 0, nil
	}
	return wire.StartupLen(c.got[:4])
}

// wants goes on with one that has said what it wants, in the first n bytes of what was read.
func (c *caller) wants(now time.Duration, s wire.Startup, n int) {
	if s.Kind == wire.CancelRequest {
		c.cancel(now, s, n)
		return
	}
	c.begin(now, s, n)
}
