package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
)

// snapshot words a Snapshot, what is zero left out.
func (w *world) snapshot() string {
	var b strings.Builder
	s := w.e.Snapshot(w.now)
	if s.Draining {
		b.WriteString("draining\n")
	}
	for _, p := range s.Pools {
		fmt.Fprintf(&b, "pool %s of %s for %s, %s, limit %d", p.Database, p.User, p.Entry, p.Mode, p.Limit)
		if p.Paused {
			b.WriteString(", paused")
		}
		for _, f := range []struct {
			name string
			n    int
		}{
			{"clients active", p.ClientsActive}, {"clients idle", p.ClientsIdle}, {"clients waiting", p.ClientsWaiting},
			{"servers active", p.ServersActive}, {"servers idle", p.ServersIdle}, {"servers cleaning", p.ServersCleaning},
			{"fenced", p.ServersFenced}, {"dialing", p.ServersDialing}, {"ghosts", p.ServersGhost},
			{"cancels going", p.CancelsGoing}, {"cancels waiting", p.CancelsWaiting},
		} {
			if f.n != 0 {
				fmt.Fprintf(&b, ", %s %d", f.name, f.n)
			}
		}
		if p.OldestWait != 0 {
			fmt.Fprintf(&b, ", oldest wait %v", p.OldestWait)
		}
		b.WriteString("\n")
	}
	for _, t := range s.Tallies {
		fmt.Fprintf(&b, "tally %s: logins %d", t.Entry, t.Logins)
		for _, h := range []struct {
			name string
			h    event.Histogram
		}{{"waits", t.Wait}, {"queries", t.Query}, {"transactions", t.Transaction}} {
			fmt.Fprintf(&b, ", %s %d in %v", h.name, h.h.Count(), h.h.Sum)
		}
		if t.ClientParses+t.ServerParses+t.Binds > 0 {
			fmt.Fprintf(&b, ", parses %d by clients and %d to servers, binds %d", t.ClientParses, t.ServerParses, t.Binds)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// list words Clients or Servers.
func (w *world) list(what string) string {
	var b strings.Builder
	if what == "clients" {
		for _, c := range w.e.Clients(w.now) {
			fmt.Fprintf(&b, "%s of %s from %s: %s, server %d, wait %v, joined %v, request %v, name %q%s\n", c.Database, c.User, c.Remote, c.State,
				c.Server, c.Wait, c.ConnectedAt, c.RequestAt, c.ApplicationName, replicating(c.Replication))
		}
		return b.String()
	}
	for _, s := range w.e.Servers(w.now) {
		fmt.Fprintf(&b, "s%d, %s of %s at %s: %s, pid %d, client %t, dialed %v, request %v, name %q%s\n", s.Server, s.Database, s.User, s.Remote,
			s.State, s.PID, s.Client != 0, s.DialedAt, s.RequestAt, s.ApplicationName, replicating(s.Replication))
	}
	return b.String()
}

func replicating(kind string) string {
	if kind == "" {
		return ""
	}
	return ", " + kind + " replication"
}

// The bytes that pass are counted on the client's side.
func TestTallyBytes(t *testing.T) {
	r := newRoundTrip(t, config.Transaction, `Q "select 1"`, `T | D 20 | C "SELECT 1" | Z I`)
	for range 3 {
		r.run()
	}
	tally := r.e.Snapshot(r.now).Tallies[0]
	if want := uint64(3 * len(r.question)); tally.Received != want {
		t.Errorf("received %d bytes, want %d", tally.Received, want)
	}
	if want := uint64(3 * len(r.answer)); tally.Sent != want {
		t.Errorf("sent %d bytes, want %d", tally.Sent, want)
	}
}

// A Snapshot shares nothing with the engine: what happens later does not change it.
func TestSnapshotIsACopy(t *testing.T) {
	r := newRoundTrip(t, config.Transaction, `Q "select 1"`, `C "SELECT 1" | Z I`)
	before := r.e.Snapshot(r.now)
	r.run()
	if n := before.Tallies[0].Query.Count(); n != 0 {
		t.Errorf("%d queries in a snapshot taken before the first", n)
	}
	if n := r.e.Snapshot(r.now + time.Second).Tallies[0].Query.Count(); n != 1 {
		t.Errorf("%d queries, want 1", n)
	}
}

func (w *world) upstreams() string {
	var b strings.Builder
	for _, u := range w.e.Snapshot(w.now).Upstreams {
		fmt.Fprintf(&b, "%s of %s: %s, servers %d, dialing %d, opened %d, fails %d", u.Name(), strings.Join(u.Entries, " "), u.State, u.Servers, u.Dialing, u.Opened, u.Fails)
		for _, one := range [][2]string{{"at", strings.Join(u.Addrs, " ")}, {"last error", u.LastError}, {"version", u.Version}, {"key", u.Key}} {
			if one[1] != "" {
				fmt.Fprintf(&b, ", %s %s", one[0], one[1])
			}
		}
		if u.FailingAt != 0 {
			fmt.Fprintf(&b, ", since %v", u.FailingAt)
		}
		b.WriteString("\n")
	}
	return b.String()
}
