package proxy

import (
	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/loop"
)

// outside is engine.Outside: sockets are the loop's, the rest is ours. Its methods are called by the engine, so on
// the loop's goroutine.
type outside struct {
	*loop.Loop
	p *Proxy
}

var _ engine.Outside = outside{}

// Dial opens a server connection off the loop.
func (o outside) Dial(s engine.Server, t engine.Target) {
	what := o.p.own.asked[upstream(t)]
	what.bare = what.bare || t.Replication != ""
	o.p.running.Go(func() { o.p.dial(s, t, what) })
}

// Carry opens the connection for a cancel off the loop.
func (o outside) Carry(id engine.Order, s engine.Server, over engine.Side) { o.p.carry(id, s, over) }

// CloseSide closes connections over which statements cancel.
func (o outside) CloseSide(d engine.Side) { o.p.closeSide(d) }

// Go decides what becomes of an opened one. While it was opened another server may have come with the same key.
func (o outside) Go(id engine.Order, write bool) {
	ord := o.p.own.orders[id]
	if ord == nil {
		return
	}
	delete(o.p.own.orders, id)
	if write && ord.sql == "" && o.p.shared(ord.server) {
		write = false
		o.p.refuse(id, engine.KeyShared)
	}
	if !write && ord.side != nil {
		o.p.letRest(ord.side, ord.conn, ord.sideClosed)
	}
	switch {
	case ord.errand == nil:
		ord.decided <- write
	case write:
		o.p.writeErrand(ord)
	default:
		o.p.dropErrand(ord)
	}
}

// Admit answers a login; one whose client has gone meanwhile is not there any more.
func (o outside) Admit(l engine.Login, v engine.Verdict) {
	if hear := o.p.own.logins[l]; hear != nil {
		delete(o.p.own.logins, l)
		if v.OK {
			o.p.shortKeys.admit(v.PID, v.Key) // before anybody can send it
		}
		hear(v)
	}
}

// Release has the connection of a CancelRequest closed.
func (o outside) Release(t engine.Ticket) {
	if released := o.p.own.tickets[t]; released != nil {
		delete(o.p.own.tickets, t)
		released()
	} else if o.p.own.arrivals[t] {
		o.p.set.Elsewhere.Released(t)
	}
}

// Emit passes an event on; the outcome of what another process passed on to us is told by who tells that one.
func (o outside) Emit(e event.Event) {
	if c, ok := e.(event.CancelSettled); ok && o.p.own.arrivals[engine.Ticket(c.Ticket)] {
		delete(o.p.own.arrivals, engine.Ticket(c.Ticket))
		o.p.set.Elsewhere.Settled(engine.Ticket(c.Ticket), c)
		return
	}
	o.p.set.Emit(e)
}
