package obs

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"cancello/internal/event"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// aSnapshot is one of each.
func aSnapshot() (event.Snapshot, bool) {
	t := event.Tally{Entry: "shop", Logins: 3, Received: 100, Sent: 2000}
	t.Wait.Observe(0)
	t.Query.Observe(3 * time.Millisecond)
	t.Query.Observe(time.Hour)
	t.Transaction.Observe(2 * time.Second)
	return event.Snapshot{
		Predecessors: []event.Predecessor{{Process: 77, Clients: 3}},
		Draining:     true,
		Pools: []event.PoolState{{
			Database: "shop", User: "ann", Entry: "shop", Limit: 20, Paused: true, ClientsActive: 1, ClientsIdle: 2, ClientsWaiting: 3,
			OldestWait: 1500 * time.Millisecond, ServersActive: 4, ServersIdle: 5, ServersCleaning: 6, ServersDialing: 7, ServersGhost: 8,
			CancelsGoing: 9, CancelsWaiting: 10,
		}},
		Upstreams: []event.UpstreamState{
			{Host: "db1", Port: 5432, State: "up", Servers: 3, Sides: 2, Opened: 5, Fails: 1},
			{Host: "db2", Port: 5433, State: "failing", LastError: "connection refused", Fails: 9},
			{Host: "/run/postgresql", Port: 5432, State: "new"},
		},
		Tallies: []event.Tally{t},
		Peers: []event.PeerState{
			{Node: 1, Up: true, RoundTrip: 2 * time.Millisecond, Open: 1, Asked: 9, Answered: 5, Failed: 2, Throttled: 1, Arrived: 4},
			{Node: 7, Mode: "require", LastError: "connection refused"},
			{Node: 0, Kin: true, Up: true},
		},
	}, true
}

func TestMetrics(t *testing.T) {
	s := New(plain(io.Discard))
	defer s.Close()
	s.Emit(event.CancelSettled{Outcome: event.Cancelled, Took: 4 * time.Millisecond})
	s.Emit(event.CancelSettled{Outcome: event.Cancelled, Took: time.Millisecond})
	s.Emit(event.CancelSettled{Outcome: event.Unqueued, Took: time.Microsecond})
	s.Emit(event.LoginRefused{Code: "53300"})
	s.Emit(event.LoginRefused{Code: "28P01"})
	s.Emit(event.LoginRefused{Code: "28P01"})
	s.Emit(event.DialFailed{})
	for range 3 {
		s.Emit(event.ServerOpened{})
	}
	for range 2 {
		s.Emit(event.ServerClosed{})
	}
	s.Emit(event.ClientLeft{})
	r := s.Registry("1.2.3", aSnapshot)
	problems, err := testutil.GatherAndLint(r)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.Open("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	if err := testutil.GatherAndCompare(r, want, "cancello_cancels_total", "cancello_cancels_under_way", "cancello_clients",
		"cancello_draining", "cancello_predecessor_clients", "cancello_peer_up", "cancello_peer_asks_total", "cancello_logins_refused_total", "cancello_oldest_wait_seconds", "cancello_query_duration_seconds",
		"cancello_server_connection_failures_total", "cancello_servers", "cancello_servers_closed_total", "cancello_servers_opened_total",
		"cancello_upstream_up", "cancello_upstream_servers", "cancello_upstream_side_connections", "cancello_upstream_connection_failures_total"); err != nil {
		t.Error(err)
	}
}

// How long cancels took is told by outcome, each with its own histogram.
func TestCancelDurations(t *testing.T) {
	s := New(plain(io.Discard))
	defer s.Close()
	for _, took := range []time.Duration{time.Millisecond, 4 * time.Millisecond} {
		s.Emit(event.CancelSettled{Outcome: event.Cancelled, Took: took})
	}
	s.Emit(event.CancelSettled{Outcome: event.Swallowed, Took: 10 * time.Second})
	families, err := s.Registry("1", aSnapshot).Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if h := m.GetHistogram(); f.GetName() == "cancello_cancel_duration_seconds" && h.GetSampleCount() > 0 {
				below := uint64(0) // 2.5 ms
				for _, b := range h.GetBucket() {
					if b.GetUpperBound() == 0.0025 {
						below = b.GetCumulativeCount()
					}
				}
				got[m.GetLabel()[0].GetValue()] = fmt.Sprint(h.GetSampleCount(), below, h.GetSampleSum())
			}
		}
	}
	want := map[string]string{"cancelled": "2 1 0.005", "swallowed": "1 0 10"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("count, those below 2.5 ms, and sum (-want +got):\n%s", diff)
	}
}

// A loop that does not answer costs its own metrics, not the others.
func TestMetricsWithoutAnEngine(t *testing.T) {
	s := New(plain(io.Discard))
	defer s.Close()
	r := s.Registry("1", func() (event.Snapshot, bool) { return event.Snapshot{}, false })
	if n, err := testutil.GatherAndCount(r, "cancello_draining", "cancello_peer_up", "cancello_peer_asks_total", "cancello_pool_size"); err != nil || n != 0 {
		t.Errorf("%d metrics of the engine, error %v", n, err)
	}
	if n, err := testutil.GatherAndCount(r, "cancello_cancels_total", "cancello_build_info"); err != nil || n != event.Outcomes+1 {
		t.Errorf("%d metrics besides, error %v", n, err)
	}
}

// Clients choose the names of pools, also such that are no text.
func TestMetricsOfOddNames(t *testing.T) {
	s := New(plain(io.Discard))
	defer s.Close()
	r := s.Registry("1", func() (event.Snapshot, bool) {
		return event.Snapshot{Pools: []event.PoolState{{Database: "a\xff", Limit: 1}, {Database: `"a\xff"`, Limit: 2}, {Database: "a\n\"b\"", Limit: 3}}}, true
	})
	want := `
# HELP cancello_pool_size Most server connections that the pool may have.
# TYPE cancello_pool_size gauge
cancello_pool_size{database="\"a\\xff\"",user=""} 1
cancello_pool_size{database="a\n\"b\"",user=""} 3
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "cancello_pool_size"); err != nil {
		t.Error(err)
	}
}
