package sim

import (
	"slices"
	"time"

	"cancello/internal/engine"
)

// order is one cancel on its way to a server.
type order struct {
	id      engine.Order
	asker   *client   // whose request it is, where that is known: it was first carried as that was judged
	counted []*ticket // that it went out for
	conn    *conn     // of the server
	backend *backend
	asked   time.Duration
	ready   bool
	gone    bool // written or dropped
	onWire  bool // between go and EOF
	done    bool
	goMark  uint64 // enqueue mark at go
	goAt    time.Duration
	upTill  time.Duration // when its fence has fallen at the latest, where it is kept longer than to EOF
	unsure  bool          // who held the server is not known
	side    *side         // that it goes over; nil: none, or it is done with it
	sql     bool          // by a statement
	reused  bool          // over a connection that rested
	client  *client       // who held the server at go
	unit    *unit         // and the client's earliest unfinished unit
	last    int           // serial of the last unit sent to the server before go

	sideClosed int // how often its side had been closed when it took a connection
}

// Carry opens a connection for a cancel.
func (g *gate) Carry(id engine.Order, s engine.Server, over engine.Side) {
	w := g.w
	k := g.servers[s]
	if k == nil {
		w.violate("contract", "cancel %d is to be carried to server %d, which is gone", id, s)
	}
	if w.pm.keyless && over == 0 {
		w.violate("contract", "cancel %d is to be carried to server %d, which gave no key", id, s)
	}
	if over != 0 && !w.k.statement {
		w.violate("contract", "cancel %d is to be carried to server %d by a statement, which nobody allowed", id, s)
	}
	if old := g.orders[id]; old != nil && !old.done { // an order may go again once it is done
		w.violate("contract", "order %d is carried twice at once", id)
	}
	o := &order{id: id, conn: k, asked: w.now, sql: over != 0, asker: g.judging}
	if old := g.orders[id]; old != nil {
		o.asker = old.asker
	}
	if k != nil {
		o.backend = k.backend
		w.tracef("engine: carry order %d to %s", id, k.name())
	}
	g.orders[id] = o
	g.wire = slices.DeleteFunc(g.wire, func(o *order) bool { return o.done && !o.onWire && w.now > o.upTill })
	g.wire = append(g.wire, o)
	w.checkCarries()
	d := w.between(100*time.Microsecond, 5*time.Millisecond)
	if o.sql && k != nil {
		if o.reused = g.take(o, over, k.backend.addr); o.reused && !w.fault(w.k.badCarries/2) { // else it is found dead, and one is opened
			d = w.between(0, 2*w.k.maxDelay)
		}
	}
	switch {
	case w.fault(w.k.badCarries / 4): // the path hangs
		d = w.k.config.Cancel.Timeout
		fallthrough
	case w.fault(w.k.badCarries / 3):
		w.faults.carries++
		w.after(d, func() { g.carried(o, engine.NotSent) })
	case o.sql && w.fault(w.k.badCarries/3): // it does not let us in
		w.faults.carries++
		w.after(d, func() { g.carried(o, engine.Refused) })
	default:
		if w.fault(w.k.badCarries / 3) {
			d = w.between(0, 2*w.k.config.Cancel.Timeout/3)
			w.faults.carries++
		}
		w.after(d, func() {
			o.ready = true
			w.tracef("order %d is ready", id)
			g.enter(func() { g.m.CancelReady(w.now, id) })
		})
	}
}

func (g *gate) carried(o *order, r engine.Result) {
	if o.done {
		return
	}
	o.done = true
	if settle := g.w.k.config.Databases[0].Cancel.Settle; r == engine.Delivered && settle.Given {
		kept := g.w.takes(settle.Value)
		o.upTill = g.w.now + kept + lateTick
		g.w.after(kept-time.Microsecond, func() { o.onWire = false })
	} else {
		o.onWire = false
	}
	g.giveBack(o, o.gone && (r == engine.Delivered || r == engine.Refused))
	if r == engine.Refused { // nothing was done
		for _, t := range o.counted {
			t.wrote--
		}
	}
	g.w.tracef("order %d is done: %d", o.id, r)
	g.enter(func() { g.m.CancelDone(g.w.now, o.id, r) })
	g.checkRest()
}

// Go writes a CancelRequest, or drops it.
func (g *gate) Go(id engine.Order, write bool) {
	w := g.w
	o := g.orders[id]
	if o == nil || !o.ready || o.gone || o.done {
		w.violate("contract", "Go of order %d out of turn", id)
		return
	}
	o.gone = true
	if o.conn != nil {
		o.conn.fenced = true
	}
	w.tracef("engine: go %d %v", id, write)
	if !write {
		o.done = true
		g.giveBack(o, true)
		return
	}
	o.onWire = true
	o.goMark, o.goAt = g.mark, w.now
	w.checkGo(o)
	limit := w.k.config.Cancel.Timeout
	way := w.between(w.k.minDelay, w.k.maxDelay) + w.between(0, 4*time.Millisecond)
	s := &signal{order: o, c: o.client}
	switch {
	case o.reused && w.fault(w.k.badCarries/3): // it was dead, and the statement's first byte is refused
		w.faults.carries++
		for _, t := range o.counted {
			t.wrote--
		}
		w.after(way, func() { g.carried(o, engine.NotSent) })
		return
	case w.fault(w.k.badCarries / 4): // reset; the signal may come, or not
		w.faults.carries++
		w.after(way, func() { g.carried(o, engine.Broken) })
		if w.chance(0.5) {
			w.after(w.between(0, 2*way), func() { w.pm.cancel(o.backend, s, func() {}) })
		}
		return
	case w.fault(w.k.badCarries / 4): // silence: the signal comes, or comes too late
		w.faults.carries++
		w.after(limit, func() { g.carried(o, engine.Broken) })
		w.after(w.between(0, 2*limit), func() { w.pm.cancel(o.backend, s, func() {}) })
		return
	case w.fault(w.k.badCarries / 3): // slow
		way = w.between(way, limit/3)
	}
	w.after(limit, func() { g.carried(o, engine.Broken) })
	w.after(way, func() {
		if o.sql && (o.backend == nil || o.backend.state == bDead) { // nobody has that pid and that beginning
			w.after(w.between(w.k.minDelay, w.k.maxDelay), func() { g.carried(o, engine.Refused) })
			return
		}
		w.pm.cancel(o.backend, s, func() {
			w.after(w.between(w.k.minDelay, w.k.maxDelay), func() { g.carried(o, engine.Delivered) })
		})
	})
}
