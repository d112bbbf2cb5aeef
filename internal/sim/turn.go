package sim

import (
	"slices"
	"time"
)

// longestTurn is how long what has ended may wait until its clients are told: the loop reads from many, then writes to many.
const longestTurn = 300 * time.Microsecond

// turn is what the gate has read and not written anything for.
type turn struct {
	untold []*client // whose unit has ended in it
	ending bool      // its end is planned
}

// enter runs one event through the engine, behind all that was read. Outside never calls back inside a call; neither may the
// sim.
func (g *gate) enter(f func()) {
	g.endTurn()
	g.event(f)
	g.endTurn()
}

// enterReading runs one that comes of a read, or of a write, and may leave the turn open. Who has something to hear hears it first.
func (g *gate) enterReading(k *conn, f func()) {
	if k.pumping {
		g.endTurn()
	}
	g.event(f)
	if g.over() || !g.m.Ending(0) || !g.w.chance(g.w.k.turns) {
		g.endTurn()
		return
	}
	if !g.turn.ending {
		g.turn.ending = true
		g.w.after(g.w.between(0, longestTurn), func() { g.turn.ending = false; g.endTurn() })
	}
}

func (g *gate) event(f func()) {
	if g.inside {
		panic("sim: an event inside an event")
	}
	if g.over() {
		return
	}
	g.inside = true
	f()
	g.inside = false
	if dialed := g.dialed; dialed != [len(clientUsers)]bool{} {
		g.dialed = [len(clientUsers)]bool{}
		g.w.checkPoolSize(dialed)
	}
}

// over tells whether the process of this gate was killed.
func (g *gate) over() bool { return g.w.proc != nil && g.w.proc.dead }

// ends notes that a unit's end goes to its client.
func (g *gate) ends(c *client) {
	c.lastEnd, c.toldAt = g.w.now, g.w.now
	if !slices.Contains(g.turn.untold, c) { // several units may end in one read
		g.turn.untold = append(g.turn.untold, c)
	}
}

// tell says that something is written to k's peer now.
func (g *gate) tell(k *conn) {
	if i := slices.Index(g.turn.untold, k.client); i >= 0 {
		k.client.toldAt = g.w.now
		g.turn.untold = slices.Delete(g.turn.untold, i, i+1)
	}
	if !g.over() && g.m.Ending(k.id) {
		g.m.Told(g.w.now, k.id)
	}
}

// endTurn writes to all who have to hear of an end, and says so of those to whom nothing is written.
func (g *gate) endTurn() {
	if g.over() {
		return
	}
	for len(g.turn.untold) > 0 {
		k := g.turn.untold[0].conn
		if k.pumping {
			k.pump()
		}
		g.tell(k)
	}
	if g.m.Ending(0) {
		g.m.Told(g.w.now, 0)
	}
}

// drawTurns decides how much is read before anything of it is written.
func (k *Knobs) drawTurns(seed uint64) {
	k.turns = newWorld(seed^0x7f4a7c15, Knobs{}, nil).some(0.7, 1)
}
