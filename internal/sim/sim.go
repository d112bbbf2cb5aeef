package sim

import (
	"io"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
)

// Options say what kind of world Run makes.
type Options struct {
	// Machine makes what stands between clients and servers. Nil: they are connected directly.
	Machine func(cfg config.Config, out engine.Outside, seed uint64) Machine
	// Tune may change the knobs of the seed.
	Tune func(k *Knobs)
	// Trace takes a line for each event, if not nil.
	Trace io.Writer
	// Sum asks for Result.Sum.
	Sum bool
	// OnlyHits lets a cancel go where it should not, to count what it really hits (Result.Strays).
	OnlyHits bool
}

// Result is what became of a run.
type Result struct {
	Seed       uint64
	Violations []Violation
	Events     int
	Units      int // answered
	Cancels    int // requests judged
	Raised     int // units ended with 57014 by a server
	Strays     int // of these, the units that no request was for
	Commits    int
	Virtual    time.Duration
	Sum        uint64 // of the trace, with Options.Sum or Options.Trace
}

const (
	patience  = 600 * time.Second // from the end of the faults to the end of everything
	maxEvents = 1_000_000         // more means that something spins
)

// Run draws a world from a seed, runs it to its end and judges it.
func Run(seed uint64, o Options) Result {
	k := drawKnobs(seed)
	k.direct = o.Machine == nil
	if o.Tune != nil {
		o.Tune(&k)
	}
	var t *tracer
	if o.Trace != nil || o.Sum {
		t = &tracer{to: o.Trace}
	}
	w := newWorld(seed, k, t)
	w.onlyHits = o.OnlyHits
	w.tracef("seed %d: %+v", seed, k)
	w.populate(o.Machine)
	w.run()
	r := Result{Seed: seed, Violations: w.violations, Events: w.ran, Virtual: w.now - time.Hour}
	w.addTo(&r)
	if t != nil {
		r.Sum = t.sum
	}
	return r
}

// populate puts everything there is into a world; machine makes what stands between clients and servers, if not nil.
func (w *World) populate(machine func(cfg config.Config, out engine.Outside, seed uint64) Machine) {
	k := &w.k
	w.pm = &postmaster{w: w, twice: k.twice, keyless: k.keyless, early: k.early, checks: k.checks, maxConns: max(1, k.config.Pool.DefaultSize+k.spareConns)}
	if machine != nil {
		w.gate = &gate{w: w, servers: make(map[engine.Server]*conn), orders: make(map[engine.Order]*order)}
		w.gate.settings.live, w.gate.at = k.config, k.config.Databases[0]
		w.gate.m = machine(k.config, w.gate, w.seed)
	}
	for range k.clients {
		d := w.between(0, 100*time.Millisecond)
		if w.chance(0.3) {
			d = w.between(0, k.horizon/2)
		}
		w.newClient(d)
	}
	w.startFaults()
}

// addTo adds what became of a world to a result.
func (w *World) addTo(r *Result) {
	r.Strays += w.strays
	r.Commits += len(w.db.commits)
	for _, c := range w.clients {
		r.Units += c.answered
		for _, u := range c.units {
			if u.raisedAt != 0 {
				r.Raised++
			}
		}
	}
	for _, x := range w.tickets {
		if x.judged != 0 {
			r.Cancels++
		}
	}
}

// run is the two phases and the drain at the end.
func (w *World) run() {
	start := w.now
	for !w.broken() && (w.ran%64 != 0 || !w.finished()) && w.step(start+w.k.horizon) {
	}
	if w.broken() {
		return
	}
	w.settle()
	limit := w.calmAt + patience
	for before := -1; before != w.ran && w.now < limit && !w.broken() && (before < 0 || !w.quiet()); {
		before = w.ran
		for !w.broken() && (w.ran%64 != 0 || !w.quiet()) && w.step(limit) {
		}
		end := w.now + 10*time.Second // what is under way and nobody waits for comes to its end, too
		for !w.broken() && w.step(end) {
		}
	}
	if w.broken() {
		return
	}
	w.checkEnd()
	if w.gate == nil || w.broken() || len(w.violations) > 0 {
		return
	}
	if !w.draining {
		w.gate.drain()
	}
	end := w.now + 40*time.Second
	for !w.broken() && w.step(end) {
	}
	w.checkDrained()
}

// broken is true when going on makes no sense.
func (w *World) broken() bool {
	if w.ran > maxEvents && len(w.violations) == 0 {
		w.violate("P5", "a million events have passed: something spins")
	}
	return len(w.violations) > 0 && w.trace == nil || w.ran > maxEvents
}

// finished is true when all clients have gone.
func (w *World) finished() bool {
	if w.joining > 0 {
		return false
	}
	for _, c := range w.clients {
		if !c.gone() {
			return false
		}
	}
	return true
}

// quiet is true when, besides, every ticket is settled and no server of the engine's works.
func (w *World) quiet() bool {
	if !w.finished() {
		return false
	}
	for _, t := range w.tickets {
		if t.released == 0 || t.settled == 0 {
			return false
		}
	}
	for _, b := range w.pm.backends {
		if b.conn != nil && !b.conn.over && b.state != bReading {
			return false
		}
	}
	return true
}
