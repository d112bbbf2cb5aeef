package sim

import (
	"time"

	"cancello/internal/engine"
	"cancello/internal/event"
)

// ticket is one CancelRequest of a model client.
type ticket struct {
	id     engine.Ticket
	why    why
	client *client // whose key it bears, or meant to
	readAt time.Duration
	judged time.Duration // 0 not yet
	// allowed is the unit it may end: the client's earliest unfinished one when the engine judged it, unless another
	// unit of that client ended since the request was read.
	allowed   *unit
	next      *unit // the one behind it, where allowed was owed nothing but its ReadyForQuery
	failed    bool  // the unit had met an error then: nothing is left to be ended
	gone      bool  // the client had gone by then
	endedIn   bool  // a unit ended between reading and judging
	inhand    int   // units begun by then, the last serial
	released  int
	settled   int
	settledAt time.Duration
	outcome   event.Outcome
	wrote     int // orders that went out for it
	done      func()
}

type why uint8

const (
	ownKey why = iota
	oldKey     // of a client that left
	wrongKey
)

// ask sends a CancelRequest after d. done runs when the request's connection is closed by the other side.
func (w *World) ask(y why, c *client, pid uint32, key []byte, d time.Duration, done func()) {
	w.after(d+w.between(w.k.minDelay, w.k.maxDelay), func() {
		if w.gate == nil {
			w.askDirect(y, c, done)
			return
		}
		t := &ticket{id: engine.Ticket(len(w.tickets) + 1), why: y, client: c, readAt: w.now, done: done}
		w.tickets = append(w.tickets, t)
		w.tracef("cancel request %d for %s is read", t.id, c.name())
		post := w.between(0, 200*time.Microsecond)
		if w.chance(0.1) {
			post = w.between(0, 5*time.Millisecond)
		}
		if w.proc != nil {
			w.proc.c.spread(t, pid, key, post)
			return
		}
		w.after(post, func() { w.gate.judge(t, pid, key) })
	})
}

// askDirect is a CancelRequest without a gate.
func (w *World) askDirect(y why, c *client, done func()) {
	var b *backend
	if y == ownKey && c.peer.state != bDead {
		b = c.peer
	}
	w.pm.cancel(b, &signal{c: c}, func() { w.after(w.between(w.k.minDelay, w.k.maxDelay), done) })
}

// judge hands a request to the engine as the program's loop does: first what the client's socket holds, once.
func (g *gate) judge(t *ticket, pid uint32, key []byte) {
	w := g.w
	w.noteJudged(t, g.look(pid, key))
	g.judges(t, func() {
		g.m.CancelRequested(w.now, t.id, engine.CancelRequest{PID: pid, Key: key, ReadAt: t.readAt, Remote: "10.0.1." + t.client.name()})
	})
}

// look delivers what the socket of the client holds that a request names, and says whether there is one.
func (g *gate) look(pid uint32, key []byte) bool {
	var id engine.Conn
	var ok bool
	g.enter(func() { id, ok = g.m.CancelTarget(pid, key) })
	if ok {
		if k := g.find(id); k != nil && !k.closing && k.adopted {
			if n := min(len(k.end.in), 64<<10); n > 0 {
				k.give(k.end.read(n), n == 64<<10)
				k.arrived()
			}
		}
	}
	return ok
}

// judges runs the event in which the engine judges a request, or a command as if it were one.
func (g *gate) judges(t *ticket, f func()) {
	g.judging = t.client
	g.enter(f)
	g.judging = nil
}

// Release closes the client's cancel connection.
func (g *gate) Release(id engine.Ticket) {
	w := g.w
	if w.proc != nil && away(id) {
		w.proc.released(id)
		return
	}
	if id < 1 || int(id) > len(w.tickets) {
		w.violate("contract", "ticket %d is released but was never asked", id)
		return
	}
	t := w.tickets[id-1]
	if t.released++; t.released > 1 {
		w.violate("P3", "ticket %d is released twice", id)
		return
	}
	w.tracef("engine: release ticket %d", id)
	w.after(w.between(w.k.minDelay, w.k.maxDelay), t.done)
}

// planCancels decides how a unit is cancelled while it waits or runs.
func (c *client) planCancels(u *unit) {
	w := c.w
	p := w.k.cancels
	if u.long {
		p = max(p, 0.6)
	}
	if !w.chance(p) {
		return
	}
	d := w.between(0, 5*time.Millisecond)
	switch {
	case u.long:
		d = w.between(0, w.k.long+5*time.Millisecond)
		if w.chance(0.3) {
			d = w.between(max(0, w.k.long-2*time.Millisecond), w.k.long+2*time.Millisecond)
		}
	case w.chance(0.5):
		d = w.between(0, time.Millisecond)
	}
	c.cancel(d)
	for range 3 {
		if w.chance(0.25) {
			c.cancel(d + w.between(0, 10*time.Millisecond))
		}
	}
}

// lateCancel is a request after the unit's end.
func (c *client) lateCancel(u *unit) {
	p := c.w.k.cancels / 4
	if c.w.proc != nil {
		p *= 3 // on the way to another node such a one may meet the next unit
	}
	if c.w.chance(p) {
		c.cancel(c.w.between(0, 2*time.Millisecond))
	}
}

func (c *client) cancel(d time.Duration) {
	w := c.w
	c.cancels++
	end := func() {
		c.cancels--
		c.wake()
	}
	if w.chance(w.k.forged) {
		pid, key := c.pid, append([]byte(nil), c.key...)
		switch {
		case w.chance(0.3):
			key = key[:w.rng.IntN(len(key)+1)]
			if len(key) == len(c.key) {
				key = append(key, 1)
			}
		case w.chance(0.3):
			pid, key = 0, make([]byte, 4)
		case len(key) > 0:
			key[w.rng.IntN(len(key))] ^= 1 << w.rng.IntN(8)
		}
		w.ask(wrongKey, c, pid, key, d, end)
		return
	}
	w.ask(ownKey, c, c.pid, c.key, d, end)
}

// planDeparted may use the old key once the client has left: it must reach nobody.
func (c *client) planDeparted() {
	w := c.w
	if w.gate == nil || c.pid == 0 || !w.chance(w.k.departed) {
		return
	}
	for range w.pick(1, 3) {
		w.ask(oldKey, c, c.pid, c.key, w.between(0, 3*time.Second), func() {})
	}
}
