package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"net"
	"strings"
	"testing"
	"time"

	"cancello/internal/pgtest"
	"cancello/internal/wire"

	"github.com/google/go-cmp/cmp"
)

func TestCancelArgs(t *testing.T) {
	a, err := parseCancelArgs([]string{"-out", "x", "-rounds", "3", "-cancels", "5", "-crowd", "7"})
	if err != nil || a.out != "x" || a.plan.rounds != 3 || a.plan.each != 5 || a.plan.crowd != 7 {
		t.Errorf("%+v, %v", a, err)
	}
	whole, err := parseCancelArgs(nil)
	if err != nil || whole.plan.crowd != 200 || whole.plan.watchers == 0 || whole.plan.rounds < 7 {
		t.Errorf("%+v, %v", whole, err)
	}
	quick, err := parseCancelArgs([]string{"-quick"})
	if err != nil || quick.plan.rounds >= whole.plan.rounds || quick.plan.each >= whole.plan.each || quick.plan.forged >= whole.plan.forged || quick.plan.crowd != 200 {
		t.Errorf("%+v, %v", quick, err)
	}
	for args, want := range map[string]string{
		"fast":       `what is "fast"?`,
		"-rounds=0":  "at least 1",
		"-cancels=0": "at least 1",
		"-crowd=0":   "between 1 and 1000",
	} {
		if _, err := parseCancelArgs([]string{args}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
	if err := run(context.Background(), []string{"cancel", "-help"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-help: %v", err)
	}
}

// What was lost has no time, and doesn't make a target look fast.
func TestSummed(t *testing.T) {
	got := summed("p", "x", []hit{{took: 3 * time.Millisecond}, {took: time.Nanosecond, lost: true}, {took: time.Millisecond, stray: 2}, {took: 2 * time.Millisecond}})
	if diff := cmp.Diff(cancelFigure{Part: "p", Target: "x", Cancels: 4, P50: 2000, P99: 3000, Lost: 1, Stray: 2}, got); diff != "" {
		t.Error(diff)
	}
	got = summed("p", "x", []hit{{lost: true}})
	if diff := cmp.Diff(cancelFigure{Part: "p", Target: "x", Cancels: 1, Lost: 1}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTally(t *testing.T) {
	began := time.Now()
	got := tally(began, []ending{{cancelled, began.Add(5 * time.Millisecond)}, {"", began.Add(time.Minute)}, {cancelled, began.Add(2 * time.Millisecond)}}, []int{0, 1, 2})
	if diff := cmp.Diff(cancelFigure{Part: partCrowd, Cancels: 3, All: 5, Lost: 1, Stray: 3}, got); diff != "" {
		t.Error(diff)
	}
}

func TestEverybody(t *testing.T) {
	s := &stage{direct: target{name: "direct"}, proxies: []target{{name: "a"}, {name: "b"}}}
	for round, want := range []string{"direct a b", "a b direct", "b direct a", "direct a b"} {
		var names []string
		for _, one := range everybody(s, round) {
			names = append(names, one.name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("round %d: %s", round, got)
		}
	}
}

// A real server is cancelled by both transports, and every query is unharmed that nobody cancels.
func TestCancelPostgres(t *testing.T) {
	pair, err := selfSigned()
	if err != nil {
		t.Fatal(err)
	}
	c := pgtest.Start(t, 18,
		pgtest.Settings(map[string]string{"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}),
		pgtest.Files(map[string][]byte{"server.crt": pair.cert, "server.key": pair.key}))
	to := target{name: "direct", addr: c.Addr()}
	for _, over := range []transport{inClear, withTLS} {
		for _, v := range []wire.Version{wire.V30, wire.V32} {
			h, err := hold(to, over, v)
			if err != nil {
				t.Fatalf("%s: %v", over, err)
			}
			defer h.leave()
			for range 3 {
				if one, err := h.once(); err != nil || one.lost || one.stray != 0 || one.took <= 0 {
					t.Errorf("%s, %s: %+v, %v", over, v, one, err)
				}
			}
		}
	}
	people, err := holdAll(to, inClear, 5)
	if err != nil {
		t.Fatal(err)
	}
	defer leaveAll(people)
	f, err := crowd{people[:3], people[3:]}.burst()
	if err != nil || f.Cancels != 3 || f.Lost != 0 || f.Stray != 0 || f.All <= 0 {
		t.Errorf("%+v, %v", f, err)
	}
}

// A cancel that hits what nobody cancelled is counted.
func TestStrayIsSeen(t *testing.T) {
	c := pgtest.Start(t, 18)
	h, err := hold(target{name: "direct", addr: c.Addr()}, inClear, wire.V30)
	if err != nil {
		t.Fatal(err)
	}
	defer h.leave()
	strays, done := 0, make(chan error, 1)
	go func() { done <- h.unharmed("SELECT pg_sleep(60)", &strays) }()
	for over := false; !over; { // one that comes before the query is swallowed
		conn, err := h.cancel()
		if err != nil {
			t.Fatal(err)
		}
		awaitEnd(conn)
		select {
		case err := <-done:
			if over = true; err != nil {
				t.Fatal(err)
			}
		case <-time.After(20 * time.Millisecond):
		}
	}
	if strays != 1 {
		t.Errorf("%d strays", strays)
	}
}

// A query that ends by itself is no cancelled one, and another error is one of the run.
func TestEnd(t *testing.T) {
	for name, c := range map[string]struct {
		bytes []byte
		code  string
		want  string
	}{
		"ran on":    {row(), "", ""},
		"cancelled": {wire.AppendReadyForQuery(wire.AppendError(nil, "ERROR", cancelled, "canceling", "", ""), 'I'), cancelled, ""},
		"other":     {wire.AppendError(nil, "FATAL", "57P01", "terminating", "", ""), "57P01", "x: terminating (57P01)"},
		"cut off":   {row()[:9], "", "x: "},
	} {
		h := &holder{to: target{name: "x"}, in: bufio.NewReader(strings.NewReader(string(c.bytes)))}
		e, err := h.end()
		if e.code != c.code || (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}

func TestForged(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { _ = serveBare(l) }() // it ends with its listener
	n, took, err := storm(l.Addr().String(), packets([]*holder{{pid: 1 << 30, key: []byte{1, 2, 3, 4}}}), 20*time.Millisecond)
	if err != nil || n < forgers || took < 20*time.Millisecond {
		t.Errorf("%d in %v, %v", n, took, err)
	}
	key := []byte{1, 2, 3, 4}
	if got := packets([]*holder{{pid: 7, key: key}}); string(got[0][12:]) != "\x01\x02\x03\x05" || key[3] != 4 {
		t.Errorf("%x, and the victim's own key is %x", got, key)
	}
}

// Who answers a CancelRequest is no target.
func TestForgedAnswered(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			_, _ = conn.Read(make([]byte, 1)) // closed on an unread byte, the answer would be dropped
			_, _ = conn.Write([]byte("E"))    // whether it arrives is what is asked below
			conn.Close()
		}
	}()
	if err := forgeOne(l.Addr().String(), []byte("x")); err == nil || !strings.Contains(err.Error(), "was said") {
		t.Errorf("%v", err)
	}
}

func TestRelayCounts(t *testing.T) {
	c := pgtest.Start(t, 18)
	r, err := openRelay(c.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer r.listener.Close()
	h, err := hold(target{name: "relay", addr: r.listener.Addr().String()}, inClear, wire.V32)
	if err != nil {
		t.Fatal(err)
	}
	defer h.leave()
	if one, err := h.once(); err != nil || one.lost || r.dialed.Load() != 2 { // the login and the cancel
		t.Errorf("%+v, %v, %d dials", one, err, r.dialed.Load())
	}
}

func TestCounts(t *testing.T) {
	before, err := parseCounts("# HELP x y\ncancello_cancels_total{outcome=\"forged\"} 5\ncancello_servers_opened_total 2\n")
	if err != nil {
		t.Fatal(err)
	}
	after, err := parseCounts(`cancello_cancels_total{outcome="forged"} 8
cancello_cancels_total{outcome="idle"} 0
cancello_cancels_total{outcome="unknown_key"} 1
cancello_cancel_duration_seconds_count{outcome="forged"} 8
cancello_servers_opened_total 3
cancello_server_connection_failures_total 1
go_memstats_x 1.5e+06
`)
	if err != nil {
		t.Fatal(err)
	}
	outcomes, dialed := after.since(before)
	if diff := cmp.Diff(map[string]int{"forged": 3, "unknown_key": 1}, outcomes); diff != "" || dialed != 2 {
		t.Errorf("%d dialed, %s", dialed, diff)
	}
	if _, err := parseCounts("x many\n"); err == nil {
		t.Error("a metric that is no number is taken")
	}
}

func TestParseModel(t *testing.T) {
	for info, want := range map[string]string{
		"processor\t: 0\nmodel\t\t: 7\nmodel name\t: A (R) 7: x\nmodel name\t: B\n": "A (R) 7: x",
		"processor\t: 0\n": "arm",
	} {
		if got := parseModel(info, "arm"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
