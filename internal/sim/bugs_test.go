package sim

import (
	"testing"

	"cancello/internal/engine"
)

// TestBugsAreFound puts each deliberate bug into the engine: a simulation that doesn't find it proves nothing. The
// worlds are those of TestSim, and the rule that is broken must be one of those that the bug is about.
func TestBugsAreFound(t *testing.T) {
	for _, b := range []struct {
		name  string
		bug   engine.Bug
		rules []string
	}{
		{"no fence", engine.BugNoFence, []string{"P1"}},
		{"EOF not awaited", engine.BugIgnoreEOF, []string{"P1"}},
		{"key outlives client", engine.BugKeyOutlivesClient, []string{"P1"}},
		{"cancel hits the next unit", engine.BugCancelNextUnit, []string{"P1"}},
		{"Sync commits what was left", engine.BugSyncCommitsDeparted, []string{"P8"}},
		{"handed on with an unread byte", engine.BugUnreadHandOn, []string{"P4"}},
	} {
		t.Run(b.name, func(t *testing.T) {
			const most = 1000
			for seed := range uint64(most) {
				for _, v := range run(seed, Options{Machine: production(b.bug)}).Violations {
					for _, rule := range b.rules {
						if v.Rule == rule {
							t.Logf("found by seed %d: %s %s", seed, v.Rule, v.Text)
							return
						}
					}
				}
			}
			t.Errorf("not found in %d seeds", most)
		})
	}
}

// TestStraysHappen shows that the model servers can be made to end a stranger's unit at all: without the fence, and
// with the checks of the order's way left aside, a 57014 hits a unit that was sent after go.
func TestStraysHappen(t *testing.T) {
	for _, b := range []engine.Bug{engine.BugNoFence, engine.BugIgnoreEOF} {
		hits := 0
		for seed := range uint64(1000) {
			hits += run(seed, Options{Machine: production(b), OnlyHits: true}).Strays
		}
		if hits == 0 {
			t.Errorf("bug %d: no stray in 1000 seeds", b)
		}
		t.Logf("bug %d: %d strays in 1000 seeds", b, hits)
	}
}

// TestSameSeedSameRun runs some seeds twice: the traces must be equal to the byte.
func TestSameSeedSameRun(t *testing.T) {
	for seed := range uint64(60) {
		a := run(seed, Options{Machine: production(engine.NoBug), Sum: true})
		b := run(seed, Options{Machine: production(engine.NoBug), Sum: true})
		if a.Sum != b.Sum || a.Events != b.Events {
			t.Errorf("seed %d: two runs differ: %d events and sum %x, %d and %x", seed, a.Events, a.Sum, b.Events, b.Sum)
		}
		if c := run(seed+1000, Options{Machine: production(engine.NoBug), Sum: true}); c.Sum == a.Sum {
			t.Errorf("seeds %d and %d give the same trace", seed, seed+1000)
		}
	}
}
