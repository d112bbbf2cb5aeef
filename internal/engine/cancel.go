package engine

import (
	"time"

	"cancello/internal/event"
	"cancello/internal/key"
	"cancello/internal/sqlstate"
	"cancello/internal/unit"
)

// ticket is one CancelRequest until its outcome.
type ticket struct {
	id       Ticket
	readAt   time.Duration
	remote   string
	released bool
}

// CancelTarget names the connection whose socket has to be read once before CancelRequested is called: the query that is
// meant may still be in it. ok is false where that cannot change the judgement.
func (e *Engine) CancelTarget(pid uint32, k []byte) (c Conn, ok bool) {
	cl, _ := e.find(pid, k)
	if cl == nil || cl.gone || cl.passes() || cl.waits() || cl.sess.Begun() > cl.sess.Ended() {
		return 0, false
	}
	return cl.conn, true
}

// CancelRequested judges one CancelRequest. Its ticket is released and settled exactly once each.
func (e *Engine) CancelRequested(now time.Duration, id Ticket, r CancelRequest) {
	e.now = now
	t := ticket{id: id, readAt: r.ReadAt, remote: r.Remote}
	c, outcome := e.find(r.PID, r.Key)
	switch {
	case c == nil:
		e.settleTicket(t, outcome, nil, &order{}, "")
	case c.gone && e.bug == BugKeyOutlivesClient:
		e.cancelStranger(c, t)
	case c.passes():
		e.passCancel(c, t)
	case c.endedBy >= t.readAt || c.sess.Undoing():
		e.settleTicket(t, event.Finished, c, &order{}, "") // what it meant has ended since
	case c.begunSince(r):
		e.settleTicket(t, event.Idle, c, &order{}, "") // when it was read there was nothing to end
	case c.sess.Begun() > c.sess.Ended():
		e.order(c, &t, "")
	default:
		if kind := c.sess.Waits(c.pending); kind != unit.NoUnit {
			serial := c.sess.Begun() + 1
			e.unqueue(c)
			e.settleTicket(t, event.Unqueued, c, &order{unit: serial, kind: kind}, "")
			return
		}
		e.settleTicket(t, event.Idle, c, &order{}, "")
	}
}

// find is the client that a key belongs to, or the outcome where there is none.
func (e *Engine) find(pid uint32, k []byte) (*client, event.Outcome) {
	switch e.minter.Check(pid, k) {
	case key.Malformed:
		return nil, event.Malformed
	case key.Forged:
		return nil, event.Forged
	case key.Former, key.Foreign, key.PlainForeign:
		return nil, event.UnknownKey
	}
	_, slot, _ := key.Split(pid)
	if int(slot) >= len(e.slots) || e.slots[slot] == nil {
		return nil, event.UnknownKey
	}
	c := e.slots[slot]
	if c.pid != pid || !key.Equal([]byte(c.key), k) {
		return nil, event.UnknownKey
	}
	return c, 0
}

// unqueue answers the unit that waits in c's unsent bytes with 57014. Outside of a transaction nothing has to be sent for
// that; in one the server is made to fail, so that the transaction fails with the unit, as on a direct connection.
func (e *Engine) unqueue(c *client) {
	if c.srv != nil && c.sess.Tx() != 'I' {
		c.sess.RefuseNext(sqlstate.Canceled())
		return
	}
	n, out := c.sess.Unqueue(c.pending, sqlstate.Canceled())
	e.say(c, out)
	e.ends(c)
	c.keep(c.pending[n:])
	if c.place.Waits() && c.sess.Waits(c.pending) != unit.NoUnit {
		return // what waited behind it has its place in the line
	}
	if c.login == 0 { // else it waits to be let in
		c.place.Leave()
	}
	e.proceed(c)
	if s := c.srv; s != nil {
		e.settle(s)
	}
	e.closeIfDraining(c)
}

// unitEnded settles what depends on the end of c's units.
func (e *Engine) unitEnded(c *client) {
	e.ends(c)
	e.clockOut(c)
	for i := 0; i < len(c.orders); {
		o := c.orders[i]
		if o.unit > c.sess.Ended() {
			i++
			continue
		}
		if e.bug == BugCancelNextUnit && o.state == carrying {
			o.unit = c.sess.Ended() + 1
			i++
			continue
		}
		e.ended(o)
		if i < len(c.orders) && c.orders[i] == o {
			i++
		}
	}
	c.overrun()
	e.attend(c)
}

// settleTicket ends a ticket: its connection is closed if that has not been done, and its outcome is told.
func (e *Engine) settleTicket(t ticket, outcome event.Outcome, c *client, o *order, reason string) {
	if !t.released && t.id != 0 {
		e.out.Release(t.id)
	}
	ev := event.CancelSettled{
		Outcome: outcome, Ticket: uint64(t.id), Remote: t.remote, Unit: o.unit, Kind: o.kind.String(),
		Sends: o.sends, Took: max(e.now-t.readAt, 0), Reason: reason, Cause: o.cause, // the driver's clock may be a little old
	}
	if c != nil {
		ev.User, ev.Database, ev.PID = c.pool.name.user, c.pool.name.database, c.pid
	}
	e.out.Emit(ev)
}

// cancelStranger is BugKeyOutlivesClient at work.
func (e *Engine) cancelStranger(c *client, t ticket) {
	if s := e.lastHeld[c]; s != nil && s.cl != nil && s.cl.sess.Begun() > s.cl.sess.Ended() {
		e.order(s.cl, &t, "")
		return
	}
	e.settleTicket(t, event.Idle, c, &order{}, "")
}
