package test

import (
	"fmt"
	"strings"
	"testing"

	"cancello/internal/pgtest/fake"
)

// fakeUpstream is the DSN of a scripted server, for any database and user.
func fakeUpstream(f *fake.Server) string { return "postgres://" + f.Addr() }

// enter logs a client in to a gate.
func enter(t *testing.T, g *gate) *joined {
	t.Helper()
	c := fake.Dial(t, g.Addr())
	in := c.Login(fake.V30, "user", "postgres", "database", "postgres")
	return &joined{c, in.PID, in.Key}
}

// outcome waits for the n-th outcome in the log and judges it.
func (g *gate) outcome(t *testing.T, n int, want string) {
	t.Helper()
	var lines []string
	until(t, fmt.Sprintf("outcome %d in the log", n), func() bool {
		lines = cancelLine.FindAllString(g.Log(), -1)
		return len(lines) >= n
	})
	if len(lines) != n || !strings.Contains(lines[n-1], " outcome="+want+" ") {
		t.Errorf("want %d outcomes, the last one %s:\n%s", n, want, strings.Join(lines, "\n"))
	}
}

// keyless are servers that a CancelRequest can't be sent to: it would mean nobody, or somebody else.
var keyless = map[string]fake.Config{
	"none (RDS Proxy)":      {Key: fake.NoKey},
	"empty":                 {Key: fake.EmptyKey},
	"zero (Doltgres)":       {Key: fake.ZeroKey},
	"one for all (PGlite)":  {Key: func() ([]byte, bool) { return []byte{0, 0x2b, 0xe2, 0x10}, true }, SamePID: 42},
	"before the parameters": {Key: fake.NoKey, KeyFirst: true},
}

// A server without a key: clients have one, and a cancel ends their statement by closing the server's connection, which
// they are told in words that don't claim more than is known (cancel_fallback = disconnect).
func TestKeyless(t *testing.T) {
	for name, config := range keyless {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fake.NewServer(t, config)
			g := startGate(t, gateOptions{upstreams: []string{fakeUpstream(f)}, mode: "transaction", size: 4})
			other := enter(t, g)
			c := enter(t, g)
			if c.pid>>30 != 1 || len(c.key) != 4 {
				t.Fatalf("pid %d, a key of %d bytes", c.pid, len(c.key))
			}
			// The other one's server is opened last: where all have one key it would be hit.
			c.Put(fake.Query("sleep"))
			running(t, f, 1)
			other.Put(fake.Query("sleep"))
			running(t, f, 2)

			fake.SendCancel(t, g.Addr(), c.pid, c.key)
			if text := c.WantError("08007"); !strings.Contains(text, "outcome is unknown") {
				t.Error(text)
			}
			if z := c.Want("Z")[0]; z.Body[0] != 'I' {
				t.Errorf("ReadyForQuery says %q", z.Body[0])
			}
			g.outcome(t, 1, "disconnected")
			c.Put(fake.Query("SELECT"))
			c.Want("CZ")

			// In a transaction the client can't go on: what it sends next would run outside of it.
			c.Put(fake.Query("BEGIN"))
			c.Want("CZ")
			c.Put(fake.Query("sleep"))
			running(t, f, 3)
			fake.SendCancel(t, g.Addr(), c.pid, c.key)
			c.WantError("08007")
			c.WantEOF()
			g.outcome(t, 2, "disconnected")

			fake.SendCancel(t, g.Addr(), other.pid, other.key)
			other.WantError("08007")
			other.Want("Z")
			g.outcome(t, 3, "disconnected")
			if sent := f.Cancels(); len(sent) > 0 {
				t.Errorf("the server was sent a CancelRequest: %+v", sent)
			}
		})
	}
}

// running waits until n sessions of f have run "sleep"; those that were closed still do, for all they know.
func running(t *testing.T, f *fake.Server, n int) {
	t.Helper()
	f.Await(t, "a statement runs", func() bool {
		count := 0
		for _, x := range f.Sessions() {
			if x.Running() {
				count++
			}
		}
		return count >= n
	})
}

// In session mode the server is the client's session: without it the client is closed.
func TestKeylessSession(t *testing.T) {
	f := fake.NewServer(t, fake.Config{Key: fake.NoKey})
	g := startGate(t, gateOptions{upstreams: []string{fakeUpstream(f)}, mode: "session", size: 2})
	c := enter(t, g)
	c.Put(fake.Query("sleep"))
	running(t, f, 1)
	fake.SendCancel(t, g.Addr(), c.pid, c.key)
	c.WantError("08007")
	c.WantEOF()
	g.outcome(t, 1, "disconnected")
}

// A waiting client needs no key of a server's: nothing was sent.
func TestKeylessWaiting(t *testing.T) {
	f := fake.NewServer(t, fake.Config{Key: fake.NoKey})
	g := startGate(t, gateOptions{upstreams: []string{fakeUpstream(f)}, mode: "transaction", size: 1})
	holder, c := enter(t, g), enter(t, g)
	holder.Put(fake.Query("BEGIN"))
	holder.Want("CZ")
	c.Put(fake.Query("BEGIN"), fake.Query("INSERT"))
	fake.SendCancel(t, g.Addr(), c.pid, c.key)
	for range 2 {
		c.WantError("57014")
		c.Want("Z")
	}
	g.outcome(t, 1, "unqueued")
	holder.Put(fake.Query("COMMIT"))
	holder.Want("CZ")
	for _, x := range f.Sessions() {
		for _, m := range x.Seen() {
			if strings.HasPrefix(string(m.Body), "INSERT") {
				t.Errorf("a cancelled %q reached the server", m.Body)
			}
		}
	}
}

// Servers whose cancel connections end in another way than PostgreSQL's: what the request did is not known then, and
// the server is not used again.
func TestCancelConnectionOdd(t *testing.T) {
	for name, tt := range map[string]struct {
		style   fake.CancelStyle
		code    string
		outcome string
	}{
		"never closed":         {fake.HoldIt, "08007", "disconnected"},
		"reset":                {fake.ResetIt, "57014|08007", "cancelled|disconnected"},
		"answered with a byte": {fake.AnswerIt, "57014|08007", "cancelled|disconnected"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fake.NewServer(t, fake.Config{Cancel: tt.style})
			g := startGate(t, gateOptions{upstreams: []string{fakeUpstream(f)}, mode: "transaction", size: 2, set: []string{"cancel_timeout=500ms"}})
			c := enter(t, g)
			c.Put(fake.Query("sleep"))
			running(t, f, 1)
			fake.SendCancel(t, g.Addr(), c.pid, c.key)
			m := c.Want("EZ")[0]
			if !strings.Contains(tt.code, m.Field('C')) {
				t.Errorf("%s %s, want %s", m.Field('C'), m.Field('M'), tt.code)
			}
			g.AwaitLog(` outcome=(` + tt.outcome + `) `)
			g.AwaitLog(`msg="server closed"`)
			c.Put(fake.Query("SELECT"))
			c.Want("CZ")
			if n := len(f.Sessions()); n != 2 {
				t.Errorf("%d sessions: the first one was used again", n)
			}
		})
	}
}
