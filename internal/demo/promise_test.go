package demo

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"cancello/internal/wire"
)

// These break what is promised, and the demo has to notice.

// opened is a stage of one test.
func opened(t *testing.T) (*tour, *transcript) {
	t.Helper()
	st, err := openStage(t.Context(), install(t, 0), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.close(); err != nil {
			t.Error(err)
		}
	})
	s := &transcript{}
	return &tour{screen: &screen{out: s, lost: func(err error) { t.Error(err) }}, stage: st}, s
}

func wantBroken(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

// Without a pool between them and PostgreSQL the clients are served, and yet nothing is as promised.
func TestNoPool(t *testing.T) {
	tr, _ := opened(t)
	pooled := tr.clients
	tr.clients = nil
	for i := range crew {
		c, err := connect(t.Context(), tr.cluster.Addr(), fmt.Sprintf("client %d", i+1), wire.V30)
		if err != nil {
			t.Fatal(err)
		}
		tr.clients = append(tr.clients, c)
	}
	t.Cleanup(func() {
		for _, c := range pooled {
			c.close()
		}
	})
	wantBroken(t, tr.share(t.Context()), "there should be 2")
	wantBroken(t, tr.unqueueOne(t.Context(), tr.clients[0], tr.clients[1], tr.clients[2]), "did not have to wait")
	if err := tr.watcher.openGate(t.Context()); err != nil {
		t.Fatal(err)
	}
	// PostgreSQL carries the cancel out, but nobody says what became of it.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	wantBroken(t, tr.hitOne(ctx, tr.clients[3], tr.clients[4:]), "a cancel has no outcome")
}

// A cancel that hits somebody else is seen: here the demo's own watcher sends it.
func TestStray(t *testing.T) {
	tr, s := opened(t)
	stray := func() error {
		return tr.watcher.command(t.Context(), `SELECT pg_cancel_backend(pid) FROM pg_stat_activity
			WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`)
	}

	h, err := tr.occupy(t.Context(), tr.clients[0], tr.clients[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := stray(); err != nil {
		t.Fatal(err)
	}
	for _, q := range h.asked { // until both are hit
		a := q.wait(t.Context())
		q.done <- a
	}
	wantBroken(t, h.release(t.Context()), "the query of client 1, whom no cancel was for")
	if err := tr.watcher.openGate(t.Context()); err != nil {
		t.Fatal(err)
	}

	w := gather(t.Context(), tr.clients[2:])
	for w.round(t.Context(), 1) == nil {
		if err := stray(); err != nil {
			t.Fatal(err)
		}
	}
	_, err = w.disperse()
	wantBroken(t, err, "a bystander")
	wantBroken(t, err, queryCanceled)
	if strings.Contains(s.String(), "✓") {
		t.Errorf("ticked all the same:\n%s", s)
	}
}

// A cancel that never arrives is seen as well.
func TestLost(t *testing.T) {
	tr, _ := opened(t)
	victim := tr.clients[0]
	victim.key = []byte{0, 0, 0, 0}
	wantBroken(t, tr.hitOne(t.Context(), victim, tr.clients[1:]), `outcome is "unknown_key", not "cancelled"`)
}

// Counts that don't agree are seen.
func TestMiscount(t *testing.T) {
	tr, _ := opened(t)
	if err := tr.count(t.Context()); err != nil {
		t.Error(err)
	}
	tr.sent++
	wantBroken(t, tr.count(t.Context()), "1 cancels were sent, and Cancello counted 0 outcomes")
}

// A broken promise is told on the screen, and in the error that ends the demo.
func TestBrokenPromise(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var left remains
	gone := make(chan error, 1)
	s := &transcript{when: "2. A cancel", do: func() {
		left = look(t, os.Getpid())
		go func() { gone <- vandalise(ctx, left.port) }()
	}}
	err := run(t.Context(), options{install: install(t, 0), template: true, out: s})
	cancel()
	wantBroken(t, err, "the demo saw something else than Cancello promises: ")
	if err := <-gone; err != nil {
		t.Error(err)
	}
	if !strings.Contains(s.String(), "✗ NOT AS PROMISED: ") || strings.Contains(s.String(), "3. A waiting") {
		t.Errorf("%s", s)
	}
	left.wantGone(t)
}

// vandalise cancels whatever clients of Cancello's run, until ctx ends or PostgreSQL does.
func vandalise(ctx context.Context, port string) error {
	c, err := connect(ctx, "127.0.0.1:"+port, "vandal", wire.V30)
	if err != nil {
		return err
	}
	defer c.close()
	for ctx.Err() == nil {
		a := c.ask(ctx, `SELECT pg_cancel_backend(pid), pg_sleep(0.002) FROM pg_stat_activity
			WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> 'watcher'`)
		if a.err != nil || a.code != "" {
			break
		}
	}
	return nil
}
