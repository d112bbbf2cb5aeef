package sim

import (
	"time"

	"cancello/internal/event"
)

// operator is what a Machine can be commanded besides: the production engine can.
type operator interface {
	Pause(now time.Duration, database string) bool
	Resume(now time.Duration, database string) bool
	Reconnect(now time.Duration, database string) bool
	KillClient(now time.Duration, pid uint32) bool
	CancelClient(now time.Duration, pid uint32) event.Asked
}

// startPauses pauses the database, or all, at random moments and resumes it a little later; in between it has servers
// opened anew.
func (w *World) startPauses() {
	m, ok := w.gate.m.(operator)
	if !ok {
		return
	}
	w.poisson(w.k.pauses, func() {
		g := w.gate
		if w.chance(0.3) {
			w.tracef("reconnect")
			g.renewed = w.now
			g.enter(func() { m.Reconnect(w.now, "") })
			return
		}
		if g.paused {
			return
		}
		name := ""
		if w.chance(0.5) && g.settings.configured() {
			name = theDatabase
		}
		w.tracef("pause %q", name)
		g.enter(func() { g.paused = m.Pause(w.now, name) && !w.draining })
		g.checkRest()
		w.after(w.between(time.Millisecond, 100*time.Millisecond), func() {
			w.tracef("resume")
			g.paused = false
			g.enter(func() { m.Resume(w.now, "") })
		})
	})
}

// startCommands cancels what a client runs, or lets it go, at random moments.
func (w *World) startCommands() {
	m, ok := w.gate.m.(operator)
	if !ok {
		return
	}
	w.poisson(w.k.commands, func() {
		c := w.clients[w.rng.IntN(len(w.clients))]
		if c.pid == 0 || c.conn == nil || c.conn.over || c.conn.closing {
			return
		}
		if w.chance(0.3) {
			w.tracef("KILL_CLIENT %s", c.name())
			c.killed = true
			w.gate.enter(func() { m.KillClient(w.now, c.pid) })
			return
		}
		w.tracef("CANCEL %s", c.name())
		w.gate.endTurn()
		t := &ticket{client: c, readAt: w.now}
		w.noteJudged(t, true)
		c.commands = append(c.commands, t)
		w.gate.judges(t, func() { m.CancelClient(w.now, c.pid) })
	})
}

// checkPaused sees a server opened: not in a pause.
func (g *gate) checkPaused() {
	if g.paused && !g.w.draining {
		g.w.violate("P8", "a server is opened in a pause")
	}
}
