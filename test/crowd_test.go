package test

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
)

// Where nobody else is let in a cancel is: max_client_conn is full, and more silent connections than Cancello keeps.
func TestCancelFull(t *testing.T) {
	const limit = 3
	c := pgtest.Start(t, 18)
	g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: limit, set: []string{fmt.Sprintf("max_client_conn=%d", limit)}})
	clients := make([]*joined, limit)
	for i := range clients {
		clients[i] = enter(t, g)
		clients[i].Put(fake.Query(sleeper))
		clients[i].Want("N")
	}
	turnedAway := fake.Dial(t, g.Addr())
	turnedAway.Put(fake.Startup(fake.V30, "user", "postgres", "database", "postgres"))
	turnedAway.WantError("53300")
	turnedAway.WantEOF()

	const silent = 1100
	for range silent {
		nc, err := net.Dial("tcp", g.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	for i, cl := range clients {
		fake.SendCancel(t, g.Addr(), cl.pid, cl.key)
		cl.WantError("57014")
		cl.Want("Z")
		g.outcome(t, i+1, "cancelled")
	}
}

// More cancels at once than may be on the wire to one server: they take turns, none is lost, each finds its own.
func TestCancelCrowd(t *testing.T) {
	const crowd = 20
	c := pgtest.Start(t, 15)
	g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: crowd, set: []string{"max_cancels_per_upstream=1"}})
	var clients []*rider
	for range crowd + 1 {
		cl, err := ride(g.Addr(), fake.V32, "postgres", "postgres")
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		clients = append(clients, cl)
	}
	spared := clients[crowd/2]
	clients = append(clients[:crowd/2], clients[crowd/2+1:]...)
	for _, cl := range append(clients[:crowd-1:crowd-1], spared) {
		if err := cl.put(fake.Query("SELECT pg_sleep(600)")); err != nil {
			t.Fatal(err)
		}
	}
	asleep := func() string {
		return superuser(t, c, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query = 'SELECT pg_sleep(600)'")
	}
	until(t, "all sleep", func() bool { return asleep() == fmt.Sprint(crowd) })
	clients = clients[:crowd-1]
	cancelAtOnce(t, g, clients, "cancelled")
	if got := asleep(); got != "1" {
		t.Errorf("%s statements run, want the one that was spared", got)
	}
}

// While Cancello drains, cancels work: for what runs and for what waits. New clients are told to come back later, and
// when the last one has left Cancello ends by itself.
func TestCancelDraining(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		c := pgtest.Start(t, major)
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: mode, size: 1})
		idle, busy, waiting := enter(t, g), enter(t, g), enter(t, g)
		busy.Put(fake.Query(sleeper))
		busy.Want("N")
		waiting.Put(fake.Query("SELECT 1"), fake.Query("SELECT 2"))
		fake.SendCancel(t, g.Addr(), waiting.pid, waiting.key)
		waiting.WantError("57014") // the second one is known to wait now
		waiting.Want("Z")
		g.terminate(t, "draining")
		if text := idle.WantError("57P01"); text == "" {
			t.Error("closed without a word")
		}
		idle.WantEOF()
		late := fake.Dial(t, g.Addr())
		late.Put(fake.Startup(fake.V30, "user", "postgres", "database", "postgres"))
		late.WantError("57P03")
		late.WantEOF()

		fake.SendCancel(t, g.Addr(), waiting.pid, waiting.key)
		waiting.WantError("57014")
		waiting.Want("Z")
		waiting.WantError("57P01")
		waiting.WantEOF()
		g.outcome(t, 2, "unqueued")
		fake.SendCancel(t, g.Addr(), busy.pid, busy.key)
		busy.WantError("57014")
		busy.Want("Z")
		busy.WantError("57P01")
		busy.WantEOF()
		g.ends(t)
		g.outcome(t, 3, "cancelled")
	})
}

// A second SIGTERM does not wait for what runs.
func TestSecondSIGTERM(t *testing.T) {
	c := pgtest.Start(t, 18)
	g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: 1})
	busy := enter(t, g)
	busy.Put(fake.Query(sleeper))
	busy.Want("N")
	g.terminate(t, "draining")
	select {
	case <-g.done:
		t.Fatal("the first SIGTERM did not wait for what ran")
	case <-time.After(200 * time.Millisecond):
	}
	g.terminate(t, "stopping at once")
	g.ends(t)
	for {
		if _, err := busy.TryMessage(); err != nil {
			break
		}
	}
}

// terminate sends SIGTERM and waits for the line that says what it does about it.
func (g *gate) terminate(t *testing.T, line string) {
	t.Helper()
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	g.AwaitLog(line)
}

// ends waits for the end of the process, which must be one without an error.
func (g *gate) ends(t *testing.T) {
	t.Helper()
	select {
	case <-g.done:
	case <-time.After(patience):
		t.Fatalf("still there after %s", patience)
	}
	if g.err != nil || strings.Contains(g.Log(), "panic") {
		t.Errorf("Cancello ended: %v", g.err)
	}
}

// cancelAtOnce cancels what all clients run at the same moment: each hears of it, and every outcome is the one that is given.
func cancelAtOnce(t *testing.T, g *gate, clients []*rider, outcome string) {
	t.Helper()
	var senders sync.WaitGroup
	errs := make(chan error, len(clients))
	for _, cl := range clients {
		senders.Go(func() {
			nc, err := net.Dial("tcp", g.Addr())
			if err == nil {
				defer nc.Close()
				err = knock(nc, cl.pid, cl.key)
			}
			errs <- err
		})
	}
	senders.Wait()
	for _, cl := range clients {
		if err := <-errs; err != nil {
			t.Error(err)
		}
		if a, err := cl.until('Z'); err != nil || a.code != "57014" {
			t.Errorf("%+v %v", a, err)
		}
	}
	until(t, "all outcomes", func() bool {
		outcomes, _ := outcomesIn(g.Log())
		return outcomes[outcome] == len(clients)
	})
}
