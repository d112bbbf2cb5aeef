package proxy

import (
	"time"

	"cancello/internal/engine"
	"cancello/internal/key"
	"cancello/internal/wire"

	"golang.org/x/sys/unix"
)

// cancel takes a CancelRequest of n bytes. What is for the engine is judged at once; what is for another process, or has to
// be kept waiting, is a visit's.
func (c *caller) cancel(now time.Duration, s wire.Startup, n int) {
	p, r := c.p, c.cancelRequest(s)
	if p.guestHere(r, c.began) {
		c.got = c.got[n:]
		c.part()
		return
	}
	_, _, ours := key.Split(s.PID)
	_, foreign := p.config.Load().ForeignKeys()
	to, w, _ := p.route(r, false)
	switch {
	case !ours && foreign, to == toNode, to == toKin, to == toEngine && p.set.Elsewhere.HasKin():
		c.receive()
	case to == toEngine:
		c.got = c.got[n:]
		c.judge(now, r)
	default:
		c.got = c.got[n:]
		if wait := c.nobodys(w, r); wait > 0 {
			c.visit(func(v *visit) {
				defer v.over()
				v.setDeadline()
				v.hold(wait)
				v.part()
			})
			return
		}
		c.part()
	}
}

// nobodys settles a request that is for none of ours, and says how long its connection is to be kept.
func (c *caller) nobodys(w whose, r engine.CancelRequest) time.Duration {
	c.arrived() // a drain waits for nobody who is only kept
	if !c.p.nobodys(w, r.Remote, c.began) {
		return 0
	}
	return c.guessed()
}

// judge has the engine judge a request; its connection is closed when the engine releases it.
func (c *caller) judge(now time.Duration, r engine.CancelRequest) {
	p := c.p
	p.carrying.Add(1) // before a drain that waits for this one can go on
	c.arrived()
	c.ticket = engine.Ticket(p.ids.Add(1))
	c.keep()
	p.own.tickets[c.ticket] = c.part
	p.present(max(now, r.ReadAt), c.ticket, r) // it was read since the loop looked at its clock
}

// part closes the connection of a cancel as a visit does: at once, where that is no reset.
func (c *caller) part() {
	c.arrived()
	if n, err := unix.IoctlGetInt(c.fd, unix.SIOCINQ); len(c.got) > 0 || err == nil && n > 0 {
		c.visit(func(v *visit) {
			defer v.over()
			v.hangUp()
		})
		return
	}
	unix.Close(c.fd)
	c.end()
}
