package sim

import (
	"fmt"
	"runtime/debug"
	"testing"
)

// TestDirect connects clients straight to servers: what the checkers find there is their own mistake.
func TestDirect(t *testing.T) {
	sums := sums{}
	for seed := range uint64(400) {
		sums.add(t, "TestDirect", run(seed, Options{}))
	}
	sums.log(t)
	if sums.units < 400 || sums.commits < 400 || sums.raised == 0 {
		t.Errorf("hardly anything happened: %+v", sums)
	}
}

// run is Run; a panic of the engine is the worst of violations.
func run(seed uint64, o Options) (r Result) {
	defer func() {
		if p := recover(); p != nil {
			r = Result{Seed: seed, Violations: []Violation{{Rule: "panic", Text: fmt.Sprintf("%v\n%s", p, debug.Stack())}}}
		}
	}()
	return Run(seed, o)
}

// sums adds runs up.
type sums struct {
	runs, events, units, commits, raised, cancels, bad int
}

func (s *sums) add(t *testing.T, test string, r Result) {
	t.Helper()
	s.runs++
	s.events += r.Events
	s.units += r.Units
	s.commits += r.Commits
	s.raised += r.Raised
	s.cancels += r.Cancels
	if len(r.Violations) > 0 {
		v := r.Violations[0]
		if s.bad++; s.bad <= 10 {
			t.Errorf("seed %d: %s %s\n  replay: go test ./internal/sim -run '^%s$' -v -seed %d", r.Seed, v.Rule, v.Text, test, r.Seed)
		}
	}
}

func (s *sums) log(t *testing.T) {
	t.Helper()
	t.Logf("%d seeds, %d bad: %d events, %d units, %d cancels, %d raised, %d commits", s.runs, s.bad, s.events, s.units, s.cancels, s.raised, s.commits)
}
