package sim

import (
	"fmt"
	"os"
	"runtime/debug"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/key"
	"cancello/internal/relay"
)

// member makes the engine of one process as the program does.
func member(cfg config.Config, out engine.Outside, m *key.Minter) Member {
	return engine.New(cfg, out, m)
}

func runCluster(seed uint64, o ClusterOptions) (r Result) {
	defer func() {
		if p := recover(); p != nil {
			r = Result{Seed: seed, Violations: []Violation{{Rule: "panic", Text: fmt.Sprintf("%v\n%s", p, debug.Stack())}}}
		}
	}()
	o.Machine = member
	return RunCluster(seed, o)
}

// TestCluster runs several production engines with their relays through clusters drawn from seeds.
func TestCluster(t *testing.T) {
	s := sums{}
	if *seedFlag >= 0 {
		s.add(t, "TestCluster", runCluster(uint64(*seedFlag), ClusterOptions{Trace: os.Stdout}))
		s.log(t)
		return
	}
	for i := range uint64(*seedsFlag) {
		s.add(t, "TestCluster", runCluster(*fromFlag+i, ClusterOptions{}))
	}
	s.log(t)
}

// TestClusterBugsAreFound puts each deliberate bug into the relays, and takes the former secret from the nodes: a
// simulation that doesn't find it proves nothing.
func TestClusterBugsAreFound(t *testing.T) {
	for _, b := range []struct {
		name string
		o    ClusterOptions
		rule string
	}{
		{"read when it arrives", ClusterOptions{Bug: relay.BugReadOnArrive, Tune: func(k *ClusterKnobs) { k.takeovers = 0 }}, "P1"},
		{"forwarded twice", ClusterOptions{Bug: relay.BugForwardTwice}, "contract"},
		{"released before the owner's release", ClusterOptions{Bug: relay.BugReleaseEarly}, "P3"},
		{"predecessor not asked", ClusterOptions{Bug: relay.BugKinNotAsked}, "P2"},
		{"repeated anew", ClusterOptions{Bug: relay.BugRepeatAnew}, "P1"},
		{"not repeated", ClusterOptions{Bug: relay.BugNoRepeat}, "P2"},
		{"waited for without limit", ClusterOptions{Bug: relay.BugNoLimit}, "P3"},
		{"the owner's clock is not known", ClusterOptions{Bug: relay.BugGuess}, "P1"},
		{"not told by when it was read", ClusterOptions{
			Bug:    relay.BugBeginsIgnored,
			Tune:   func(k *ClusterKnobs) { k.cuts, k.silent, k.outage = 3, 0, time.Second },
			Member: func(k *Knobs) { k.think, k.longs, k.long = time.Second, 0.8, 2*time.Second },
		}, "P1"},
		{"a process of the node counts as ended when its link breaks", ClusterOptions{Bug: relay.BugKinForgotten}, "P2"},
		{"an outcome that was lost is not told again", ClusterOptions{Bug: relay.BugToldOnce}, "P2"},
		{"sent again as a plain request", ClusterOptions{Bug: relay.BugPlainAgain, Tune: func(k *ClusterKnobs) { k.cuts = 3 }}, "P3"},
		{"guesses may take every place", ClusterOptions{Bug: relay.BugGuessersFirst, Tune: func(k *ClusterKnobs) { k.floods, k.flood = 20, 100 }}, "P2"},
		{"former secret refused", ClusterOptions{Keys: func(now, _ []byte) [][]byte { return [][]byte{now} }}, "P2"},
	} {
		t.Run(b.name, func(t *testing.T) {
			const most = 2000
			for seed := range uint64(most) {
				v, found := breaks(runCluster(seed, b.o), b.rule)
				if !found {
					continue
				}
				if other, too := breaks(runCluster(seed, ClusterOptions{Tune: b.o.Tune, Member: b.o.Member}), b.rule); too {
					t.Fatalf("seed %d breaks %s without the bug, too: %s", seed, b.rule, other.Text)
				}
				t.Logf("found by seed %d: %s %s", seed, v.Rule, v.Text)
				return
			}
			t.Errorf("not found in %d seeds", most)
		})
	}
}

// TestClusterSameSeedSameRun runs some seeds twice: the traces must be equal to the byte.
func TestClusterSameSeedSameRun(t *testing.T) {
	for seed := range uint64(30) {
		a, b := runCluster(seed, ClusterOptions{Sum: true}), runCluster(seed, ClusterOptions{Sum: true})
		if a.Sum != b.Sum || a.Events != b.Events {
			t.Errorf("seed %d: two runs differ: %d events and sum %x, %d and %x", seed, a.Events, a.Sum, b.Events, b.Sum)
		}
	}
}
