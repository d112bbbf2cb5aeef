package engine

import (
	"time"

	"cancello/internal/event"
	"cancello/internal/unit"
)

// orderState is where an order is on its way.
type orderState uint8

const (
	inLine   orderState = iota // its lane carries as many as it may
	carrying                   // its connection is being opened; nothing is held back
	retrying                   // that failed, it is tried again in a moment
	going                      // written or about to be: the fence is up until EOF
	heard                      // EOF was read; the unit still runs
	void                       // settled; the driver's answer is still awaited
)

// order is one cancel to be carried to a server for one unit. Requests for the same unit join it until EOF.
type order struct {
	id      Order
	c       *client
	srv     *server
	unit    uint64
	kind    unit.Kind
	state   orderState
	tickets []ticket
	cause   string // of a cancel of our own, as a setting or command is called
	began   time.Duration
	step    uint64 // counts states, for timers

	fenced    bool // its fence is up
	severed   bool // its server was closed by us while the unit ran: nobody knows how that ended
	sends     int
	goAt      time.Duration
	lastWrite time.Duration // our last write to the server before goAt
	tries     int

	side     *side // over which a statement carries it; nil: it goes by a CancelRequest
	rung     int   // of cancel_fallback that is tried next
	settling bool  // EOF was read, and the fence is kept a little longer
}

// order cancels the unit that c's server works on; t is nil for a cancel of our own, which has a cause.
func (e *Engine) order(c *client, t *ticket, cause string) {
	unit := c.sess.Ended() + 1
	for _, o := range c.orders {
		if o.unit == unit && o.state < heard {
			if t != nil {
				o.tickets = append(o.tickets, *t)
			}
			return
		}
	}
	e.lastOrder++
	o := &order{id: e.lastOrder, c: c, srv: c.srv, unit: unit, kind: c.sess.Kind(), began: e.now, cause: cause}
	if t != nil {
		o.tickets = []ticket{*t}
	}
	c.orders = append(c.orders, o)
	e.orders[o.id] = o
	if c.srv.info.HasKey {
		e.carry(o)
	} else if e.fallBack(o, "the server gave no cancel key"); o.state == void {
		return
	}
	e.after(e.cfg.Cancel.Timeout, func() { e.orderTimedOut(o) })
}

// disconnect ends the unit in the only way a server without a key leaves us (cancel_fallback = disconnect).
func (e *Engine) disconnect(o *order, why string) {
	s := o.srv
	e.settleOrder(o, event.Disconnected, why)
	e.drop(s, loss{reason: "closed to cancel: " + why, running: true, disconnect: true}, Now)
}

func (o *order) become(s orderState) { o.state = s; o.step++ }

// over is the side that a statement for the order goes over; zero: it goes by a CancelRequest.
func (o *order) over() Side {
	if o.side == nil {
		return 0
	}
	return o.side.id
}

// carry opens a connection for the order, when its lane has room for it.
func (e *Engine) carry(o *order) {
	if o.side != nil { // while it waited to be tried again its side may have been closed
		o.side = e.sideTo(o.srv)
	}
	l, most := e.lane(o)
	if l.orders >= most {
		o.become(inLine)
		l.waiting = append(l.waiting, o)
		return
	}
	l.orders++
	o.become(carrying)
	o.tries++
	e.out.Carry(o.id, o.srv.id, o.over())
}

// carried: a connection that carried an order is done; the next in the line gets its place.
func (e *Engine) carried(o *order) {
	l, most := e.lane(o)
	l.orders--
	e.carryOn(l, most)
	e.sideLeft(o)
}

// carryOn carries the orders that waited, as many as there is room for.
func (e *Engine) carryOn(l *lane, most int) {
	for len(l.waiting) > 0 && l.orders < most {
		next := l.waiting[0]
		l.waiting = l.waiting[1:]
		if next.state == inLine {
			e.carry(next)
		}
	}
}

// CancelReady: the order's connection is open and nothing has been written. This is the last moment to drop it.
func (e *Engine) CancelReady(now time.Duration, id Order) {
	e.now = now
	o := e.orders[id]
	spared := len(o.tickets) == 0 && o.state != void && !o.c.lost && e.protected(o.c)
	if o.state == void || !e.runs(o) || spared {
		e.out.Go(id, false)
		switch {
		case o.state == void:
		case spared && e.runs(o):
			o.become(retrying) // the driver owes nothing any more
			e.settleOrder(o, event.Failed, "not sent: a COMMIT was sent behind what runs")
		default:
			e.ended(o)
		}
		delete(e.orders, id)
		e.carried(o)
		return
	}
	o.become(going)
	o.sends++
	o.goAt, o.lastWrite, o.settling = now, o.srv.lastWrite, false
	e.raise(o)
	e.out.Go(id, true)
}

// runs tells whether the unit that the order is for still runs on the server that it is for.
func (e *Engine) runs(o *order) bool {
	if e.bug == BugCancelNextUnit {
		return o.srv.phase != dead
	}
	if o.passes() {
		return o.srv.phase == passing
	}
	return o.c.srv == o.srv && o.srv.phase == leased && o.c.sess.Ended() < o.unit && !o.c.sess.Undoing()
}

// CancelDone: the order's connection is closed.
func (e *Engine) CancelDone(now time.Duration, id Order, r Result) {
	e.now = now
	o := e.orders[id]
	switch r {
	case KeyShared:
		e.keyShared(o)
		return
	case Refused:
		e.refused(o)
		return
	}
	if d := e.settling(o); r == Delivered && d > 0 {
		o.settling = true
		e.after(d, func() { e.CancelDone(e.now, id, r) })
		return
	}
	switch o.state {
	case carrying, void:
		e.notSent(o)
		return
	}
	s := o.srv
	o.lower()
	if r == NotSent { // the very first byte was refused
		o.sends--
		e.notSent(o)
		e.settle(s)
		return
	}
	o.release(e)
	e.carried(o)
	o.become(heard)
	if o.passes() {
		e.passedOn(o, r)
		return
	}
	if r == Broken && s.phase != dead {
		e.broken(o)
	} else if !e.runs(o) || o.c.sess.Ended() >= o.unit {
		e.ended(o)
	} else {
		e.resendLater(o)
	}
	if s.phase != dead {
		e.settle(s)
	}
}

// keyShared: nothing was written, since the server's key is another one's too (there are servers that give one key to
// everybody). From now on it is a server without a key.
func (e *Engine) keyShared(o *order) {
	s, was := o.srv, o.state
	s.info.HasKey = false
	e.dummyKey(s, "it gives the same cancel key to several connections")
	if was == going {
		o.sends--
	}
	o.lower()
	e.carried(o)
	if was == void {
		delete(e.orders, o.id)
	} else {
		o.become(retrying) // the driver owes nothing any more
		if o.passes() {
			e.settleOrder(o, event.Unsupported, sharedKey)
		} else if e.runs(o) {
			e.fallBack(o, sharedKey)
		} else {
			e.ended(o)
		}
	}
	if s.phase != dead {
		e.settle(s)
	}
}

const sharedKey = "the server's cancel key is another server's too"

// notSent: nothing was written; it is tried again while that makes sense.
func (e *Engine) notSent(o *order) {
	was := o.state
	delay := min(20*time.Millisecond<<min(o.tries, 5), 500*time.Millisecond)
	switch {
	case was == void:
		delete(e.orders, o.id)
	case !e.runs(o):
		o.become(retrying)
		e.ended(o)
	default:
		o.become(retrying)
		step := o.step
		e.after(delay, func() {
			if o.step == step {
				e.carry(o)
			}
		})
	}
	e.carried(o)
}

// broken: something was written and then anything but EOF came. Whether and when the server hears of it is unknown, so
// it is closed; its client gets what a lost server gives it.
func (e *Engine) broken(o *order) {
	s := o.srv
	if o.c.sess.Ended() < o.unit && !o.c.sess.WasCancelled(o.unit) {
		e.settleOrder(o, event.Disconnected, "the cancel's connection broke after it was written")
	} else {
		e.ended(o)
	}
	e.drop(s, loss{reason: "closed: a cancel for it broke off", running: true, disconnect: true}, Now)
}

// release closes the clients' cancel connections: nothing of the order is on the wire any more.
func (o *order) release(e *Engine) {
	for i := range o.tickets {
		if t := &o.tickets[i]; !t.released {
			t.released = true
			e.out.Release(t.id)
		}
	}
}

// resendLater sends the order again where PostgreSQL may have swallowed the signal: it came when the query had not been
// read yet. That is so if our last write was shortly before, and the server has been silent since.
func (e *Engine) resendLater(o *order) {
	limit := e.cfg.Cancel.Resend
	if limit == 0 || o.sends > maxResends || o.goAt-o.lastWrite >= limit {
		return
	}
	step := o.step
	e.after(limit, func() {
		if o.step == step && o.state == heard && e.runs(o) && o.srv.lastData <= o.lastWrite {
			e.carry(o)
		}
	})
}

// maxResends is how often an order goes out again.
const maxResends = 3

// orderTimedOut ends the wait for an order's effect.
func (e *Engine) orderTimedOut(o *order) {
	switch o.state {
	case void, going: // going ends by the driver's own limit, which is the same
		if o.state == going {
			e.after(e.cfg.Cancel.Timeout, func() { e.orderTimedOut(o) })
		}
	case heard:
		e.settleOrder(o, event.Swallowed, "the unit still runs at cancel_timeout")
		e.giveUp(o)
	default:
		if o.side != nil && o.sends == 0 {
			e.fallBack(o, "the server gave no cancel key, and there was no way to it for the statement within cancel_timeout")
			return
		}
		outcome, reason := event.Failed, "could not be delivered within cancel_timeout"
		if o.sends > 0 {
			outcome, reason = event.Swallowed, "the unit still runs at cancel_timeout"
		}
		e.settleOrder(o, outcome, reason)
		e.giveUp(o)
	}
}

// giveUp closes a server that works on for a client that is gone.
func (e *Engine) giveUp(o *order) {
	if o.c.lost && e.runs(o) {
		e.dismiss(o.srv, "its client is gone and a cancel did not end what runs")
	}
}
