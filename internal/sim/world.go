package sim

import (
	"math/rand/v2"
	"time"
)

// World is one run: everything there is, and what went wrong.
type World struct {
	*timeline
	seed  uint64
	k     Knobs
	rng   *rand.Rand
	trace *tracer // nil when nobody reads it

	gate    *gate    // nil: clients speak to the servers directly
	proc    *process // of a cluster that it is; nil: there is no other
	pm      *postmaster
	db      database
	clients []*client
	tickets []*ticket
	asyncs  []*async

	calm     bool          // the faults have stopped
	calmAt   time.Duration // when
	draining bool
	faults   faultCount
	joining  int // clients still to come

	strays     int
	onlyHits   bool // see Options
	violations []Violation
}

// faultCount is how often something was broken on purpose; what was never broken must never be excused.
type faultCount struct {
	dials   int // refused, failed or hung
	carries int // not delivered cleanly
	servers int // died or were terminated
	cuts    int // connections of clients or servers that were reset
}

// Violation is one broken promise.
type Violation struct {
	Rule string // "P1" to "P8", or "contract" for a broken rule of engine.Outside
	At   time.Duration
	Text string
}

func newWorld(seed uint64, k Knobs, t *tracer) *World {
	w := &World{timeline: &timeline{}, seed: seed, k: k, trace: t, rng: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))}
	w.now = time.Hour // no moment of the run is zero
	return w
}

// violate notes a broken promise. The first one matters; some more help to understand it.
func (w *World) violate(rule, format string, args ...any) {
	if len(w.violations) >= 8 || w.onlyHits || w.proc != nil && w.proc.dead {
		return
	}
	v := Violation{rule, w.now, sprintf(format, args...)}
	w.violations = append(w.violations, v)
	w.tracef("!!! %s %s", v.Rule, v.Text)
}

// chance is true with probability p.
func (w *World) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

// fault is chance while faults happen.
func (w *World) fault(p float64) bool { return !w.calm && w.chance(p) }

// between is a duration out of [lo, hi].
func (w *World) between(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + time.Duration(w.rng.Int64N(int64(hi-lo)+1))
}

// pick is a number out of [lo, hi].
func (w *World) pick(lo, hi int) int { return lo + w.rng.IntN(hi-lo+1) }
