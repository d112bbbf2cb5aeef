package sim

import (
	"time"

	"cancello/internal/engine"
)

// side is the gate's connections over which statements cancel, to one place.
type side struct {
	rest   int    // nobody uses them
	users  int    // orders that have one or wait for one
	place  string // the address of the servers that are meant
	closed int    // counts CloseSide: those taken before come back to be closed
	uses   int    // counts when somebody takes one or gives it back
}

// sideOf finds or makes a side.
func (g *gate) sideOf(id engine.Side) *side {
	if g.sides == nil {
		g.sides = map[engine.Side]*side{}
	}
	if g.sides[id] == nil {
		g.sides[id] = &side{}
	}
	return g.sides[id]
}

// take has an order begin to use a side, and tells whether there is a connection for it that rested.
func (g *gate) take(o *order, over engine.Side, addr string) (rested bool) {
	w, d := g.w, g.sideOf(over)
	if d.place == "" {
		d.place = addr
	}
	if d.place != addr {
		w.violate("P1", "order %d is for a server at %s, its side goes to %s", o.id, addr, d.place)
	}
	o.side, o.sideClosed = d, d.closed
	d.users++
	d.uses++
	if most := g.settings.live.Cancel.SideSize; d.users > most {
		w.violate("P6", "%d orders over one side, cancel_side_pool_size is %d", d.users, most)
	}
	if rested = d.rest > 0; rested {
		d.rest--
	}
	return rested
}

// giveBack ends an order's use of its side; clean says that its connection may be used again. It is called before the engine is
// told, or within its own call.
func (g *gate) giveBack(o *order, clean bool) {
	d := o.side
	if d == nil {
		return
	}
	o.side = nil
	d.users--
	d.uses++
	if clean && o.sideClosed == d.closed {
		d.rest++
	}
	g.expectClose(d)
}

// expectClose sees that connections are closed when they have rested for long enough.
func (g *gate) expectClose(d *side) {
	w, idle, uses := g.w, g.settings.live.Cancel.SideIdle, d.uses
	w.after(idle+time.Millisecond, func() { // a Tick may be late
		if d.rest > 0 && d.users == 0 && d.uses == uses {
			w.violate("P6", "a connection over which statements cancel rests for longer than cancel_side_idle_timeout = %v", idle)
		}
	})
}

// CloseSide closes the connections of a side.
func (g *gate) CloseSide(id engine.Side) {
	d := g.sideOf(id)
	g.w.tracef("engine: close side %d", id)
	d.rest = 0
	d.closed++
}

// checkRest sees that in a pause and in a drain no connection rests.
func (g *gate) checkRest() {
	if !g.paused && !g.w.draining {
		return
	}
	for _, d := range g.sides { // order does not matter: each would be told in the same words
		if d.rest > 0 && d.users == 0 {
			g.w.violate("P6", "a connection over which statements cancel rests in a pause or a drain")
			return
		}
	}
}
