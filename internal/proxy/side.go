package proxy

import (
	"bufio"
	"context"
	"errors"
	"net"
	"slices"
	"syscall"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/loop"
	"cancello/internal/wire"

	"golang.org/x/sys/unix"
)

// side is the connections of an engine.Side. How many there may be, who waits for one and how long they rest is the
// engine's to say. It belongs to the loop.
type side struct {
	at     config.Upstream // as configured, for people
	rest   []*sideConn     // nobody uses them; the one used last stands last
	open   int             // those, and the ones that are used or being opened
	closed int             // counts CloseSide: who was taken before does not come to rest
}

// sideFit is what a connection must be like to serve: at the very address of the session that is meant, with its TLS,
// and as the same user.
type sideFit struct {
	addr                  string
	tls                   *serverTLS
	entry, database, user string
}

// sideConn is one connection over which statements cancel, logged in. While it rests it is the loop's and its watch's,
// then it belongs to the goroutine of the order that took it.
type sideConn struct {
	*serverLogin
	raw    net.Conn // under its TLS
	hangUp func()
	fit    sideFit
	since  time.Time // when it came to rest
	quiet  chan bool // the watch's word, once it is taken: nothing had come. Holds one
}

// sideAskAfter is how long a connection may have rested to be used without being asked whether it is still there: what is
// asked holds nobody still, a statement that goes nowhere does.
const sideAskAfter = time.Second

// sideOf finds or makes a side. On the loop.
func (p *Proxy) sideOf(id engine.Side, t engine.Target) *side {
	d := p.own.sides[id]
	if d == nil {
		d = &side{at: config.Upstream{Host: t.Host, Port: t.Port}}
		p.own.sides[id] = d
	}
	return d
}

// take finds a connection that rests and fits; nil: one more is to be opened, and counted already. One that doesn't fit is closed
// for it, so that there are no more than are used at a time. On the loop.
func (p *Proxy) take(d *side, fit sideFit) *sideConn {
	for i := len(d.rest) - 1; i >= 0; i-- {
		if c := d.rest[i]; c.fit == fit {
			d.rest = slices.Delete(d.rest, i, i+1)
			c.wakeWatch()
			return c
		}
	}
	if len(d.rest) > 0 {
		p.endAtRest(d, d.rest[0])
	}
	d.open++
	return nil
}

// letRest ends the use of a connection that is clean. closed is what the side's was when it was taken. On the loop.
func (p *Proxy) letRest(d *side, c *sideConn, closed int) {
	if closed != d.closed || p.fds.reserved(number(c.raw)) || p.ctx.Err() != nil {
		d.open--
		p.running.Go(c.end)
		return
	}
	c.since, c.quiet = time.Now(), make(chan bool, 1)
	p.until(c, time.Time{}) // before the watch begins: it may be taken before that
	d.rest = append(d.rest, c)
	p.running.Go(func() { p.watch(d, c) })
}

// endAtRest closes a connection that rests; false: it doesn't any more. On the loop.
func (p *Proxy) endAtRest(d *side, c *sideConn) bool {
	i := slices.Index(d.rest, c)
	if i < 0 {
		return false
	}
	d.rest = slices.Delete(d.rest, i, i+1)
	d.open--
	c.wakeWatch()
	p.running.Go(c.end)
	return true
}

// closeSide closes those that rest, and marks those in use. On the loop.
func (p *Proxy) closeSide(id engine.Side) {
	d := p.own.sides[id]
	if d == nil {
		return
	}
	for len(d.rest) > 0 {
		p.endAtRest(d, d.rest[0])
	}
	if d.closed++; d.open == 0 {
		delete(p.own.sides, id)
	}
}

// SideConnections is how many connections over which statements cancel are open at an upstream, or being opened. On the
// loop, so for Do.
func (p *Proxy) SideConnections(host string, port int) (n int) {
	for _, d := range p.own.sides {
		if d.at.Host == host && d.at.Port == port {
			n += d.open
		}
	}
	return n
}

// watch is the goroutine of a connection that rests: it sees the server close it, or say something, which nobody asked
// for. It reads nothing, and ends when the connection is taken.
func (p *Proxy) watch(d *side, c *sideConn) {
	quiet := c.awaitNoise()
	c.quiet <- quiet
	switch {
	case p.ctx.Err() != nil:
		c.end()
	case !quiet:
		p.loop.Post(func(time.Duration) { p.endAtRest(d, c) }) // where it was taken meanwhile, who took it hears of it
	}
}

// awaitNoise waits until there is something to read, an end too; true: the read deadline came first.
func (c *sideConn) awaitNoise() (quiet bool) {
	raw, err := c.socket()
	if err != nil {
		return false
	}
	return isTimeout(raw.Read(func(fd uintptr) (done bool) { return !nothingCame(fd) }))
}

// silent tells whether there is nothing to read now, no end either.
func (c *sideConn) silent() (silent bool) {
	raw, err := c.socket()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) { silent = nothingCame(fd) })
	return silent && err == nil
}

// socket is what is under the TLS.
func (c *sideConn) socket() (syscall.RawConn, error) {
	sc, ok := c.raw.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return sc.SyscallConn()
}

// nothingCame looks without reading.
func nothingCame(fd uintptr) bool {
	var b [1]byte
	_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return errors.Is(err, unix.EAGAIN)
}

// wakeWatch ends the watch of a connection that is taken.
func (c *sideConn) wakeWatch() { c.raw.SetReadDeadline(longAgo) }

// until sets the deadline of a connection; the end of the Proxy comes first.
func (p *Proxy) until(c *sideConn, t time.Time) {
	c.nc.SetDeadline(t)
	if p.ctx.Err() != nil {
		c.nc.SetDeadline(longAgo)
	}
}

// still tells whether a connection that rested can be used: the watch was quiet, and so is the socket, which the watch did
// not look at again when it was woken. One that rested for long is asked.
func (p *Proxy) still(c *sideConn, timeout time.Duration) bool {
	if !<-c.quiet || !c.silent() {
		return false
	}
	p.until(c, time.Now().Add(timeout/4)) // what is left is for a new one
	if time.Since(c.since) < sideAskAfter {
		return true
	}
	a, err := c.query("")
	return err == nil && a.refused == "" && c.clean(a)
}

// openSide opens a connection and logs in.
func (p *Proxy) openSide(ctx context.Context, ord *order, t engine.Target) (*sideConn, error) {
	o, err := p.openOrder(ctx, ord.server)
	if err != nil {
		return nil, err
	}
	c := &sideConn{raw: o.raw, hangUp: o.hangUp, fit: ord.fit}
	c.serverLogin = &serverLogin{p: p, ctx: ctx, nc: o.nc, r: bufio.NewReader(o.nc), target: t, secrets: ord.server.tls, line: ofOrders}
	c.encrypted, _ = o.nc.(*loop.TLS)
	if deadline, ok := ctx.Deadline(); ok {
		p.until(c, deadline)
	}
	if err := c.run(asking{bare: true}); err != nil {
		c.end()
		return nil, err
	}
	return c, nil
}

// clean tells whether a connection is as after its login: outside of a transaction, and all that came has been read, as far
// as it is in our memory. What is still in the socket the watch sees.
func (c *sideConn) clean(a reply) bool {
	if a.status != 'I' {
		return false
	}
	c.raw.SetReadDeadline(longAgo)
	_, err := c.r.Peek(1)
	return isTimeout(err)
}

// end says goodbye and closes. A second time does nothing.
func (c *sideConn) end() {
	c.nc.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = c.nc.Write(wire.AppendTerminate(nil))
	c.hangUp()
}
