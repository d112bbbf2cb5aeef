package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
)

// fallbackFile is a configuration of one database, in transaction mode, with more lines for its entry.
func fallbackFile(t *testing.T, to address, size int, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cancello.toml")
	text := fmt.Sprintf("cancel.cancel_timeout = \"5s\"\npool.pool_mode = \"transaction\"\npool.default_pool_size = %d\n[databases.postgres]\nhost = %q\nport = %d\nsslmode = \"disable\"\n%s\n",
		size, to.host, to.port, strings.Join(lines, "\n"))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// PostgreSQL behind something that takes its keys away: a statement ends what runs, and nothing else; the session and its
// server stay, a transaction fails as it would, a neighbour goes on.
func TestCancelByStatement(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			c := pgtest.Start(t, major)
			s := newShim(t, direct(c).Addr())
			g := startGate(t, gateOptions{file: fallbackFile(t, s.address(), 2, `cancel_fallback = "sql"`), set: []string{"cancel_side_idle_timeout=1s"}})
			neighbour := enter(t, g)
			cl := enter(t, g)
			pid := ask(cl, "SELECT pg_backend_pid()")
			neighbour.Put(fake.Query("SELECT pg_sleep(0.01) FROM generate_series(1, 200)"))
			for n := range 10 {
				cl.Put(fake.Query(fmt.Sprintf("SELECT pg_sleep(%d) /* fb */", 1000+n)))
				runsIn(t, c.SocketDSN("postgres", "postgres"), major, fmt.Sprintf("SELECT pg_sleep(%d) /* fb */", 1000+n))
				fake.SendCancel(t, g.Addr(), cl.pid, cl.key)
				cl.Want("T")
				cl.WantError("57014")
				cl.Want("Z")
				g.outcome(t, n+1, "sql")
			}
			cl.Put(fake.Query("BEGIN"))
			cl.Want("CZ")
			cl.Put(fake.Query("SELECT pg_sleep(2000)"))
			runsIn(t, c.SocketDSN("postgres", "postgres"), major, "SELECT pg_sleep(2000)")
			fake.SendCancel(t, g.Addr(), cl.pid, cl.key)
			cl.Want("T")
			cl.WantError("57014")
			if z := cl.Want("Z")[0]; z.Body[0] != 'E' {
				t.Errorf("ReadyForQuery says %q", z.Body[0])
			}
			cl.Put(fake.Query("ROLLBACK"))
			cl.Want("CZ")
			g.outcome(t, 11, "sql")
			for _, m := range neighbour.Until("Z") {
				if m.Type == 'E' {
					t.Errorf("a stranger's statement was ended: %s", errorText(m))
				}
			}
			if now := ask(cl, "SELECT pg_backend_pid()"); pid == "" || now == "" || strings.Contains(g.Log(), "server closed") {
				t.Errorf("the server was lost:\n%s", g.Log())
			}
			if n := s.cancels(); n > 0 {
				t.Errorf("%d CancelRequests were sent to a server without keys", n)
			}
			until(t, "the statement's connection to be closed", func() bool {
				return superuser(t, c, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()") == "2"
			})
		})
	}
}

// A user of its own for the statement: one who may, one who may not, and one who is not let in. In the last two cases the
// next way is taken.
func TestCancelUser(t *testing.T) {
	c := pgtest.Start(t, 18)
	for _, name := range []string{"fb_runs", "fb_may", "fb_may_not"} {
		superuser(t, c, "DROP ROLE IF EXISTS "+name)
		superuser(t, c, "CREATE ROLE "+name+" LOGIN")
	}
	superuser(t, c, "GRANT pg_signal_backend, pg_read_all_stats TO fb_may")
	s := newShim(t, direct(c).Addr())
	for user, want := range map[string]string{"fb_may": "sql", "fb_may_not": "disconnected", "fb_nobody": "disconnected"} {
		t.Run(user, func(t *testing.T) {
			g := startGate(t, gateOptions{file: fallbackFile(t, s.address(), 2, `user = "fb_runs"`, `cancel_fallback = ["sql", "disconnect"]`, `cancel_user = "`+user+`"`)})
			cl := enter(t, g)
			text := "SELECT pg_sleep(3000) /* " + user + " */"
			cl.Put(fake.Query(text))
			runsIn(t, c.SocketDSN("postgres", "postgres"), 18, text)
			fake.SendCancel(t, g.Addr(), cl.pid, cl.key)
			code := map[string]string{"sql": "57014", "disconnected": "08007"}[want]
			for _, m := range cl.Until("E") {
				if m.Type == 'E' && m.Field('C') != code {
					t.Errorf("%s %s, want %s", m.Field('C'), m.Field('M'), code)
				}
			}
			cl.Want("Z")
			g.outcome(t, 1, want)
			ask(cl, "SELECT 1")
		})
	}
}

// ask runs a query and returns its one value.
func ask(c *joined, sql string) string {
	c.Put(fake.Query(sql))
	for _, m := range c.Until("Z") {
		if m.Type == 'D' {
			return string(m.Body[6:])
		}
	}
	return ""
}

// runsIn waits until a statement runs in a PostgreSQL.
func runsIn(t *testing.T, dsn string, major int, text string) {
	t.Helper()
	until(t, text+" to run", func() bool {
		out := pgtest.PSQL(t, major, "-At", "-d", dsn, "-c", "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep' AND query = '"+text+"'")
		return strings.TrimSpace(out.Stdout) == "1"
	})
}

// CockroachDB's statement, and one of the operator's own, as the server hears them.
func TestCancelStatements(t *testing.T) {
	for name, tt := range map[string]struct {
		lines []string
		want  string
	}{
		"cockroachdb": {[]string{`cancel_sql = "cockroachdb"`}, "CANCEL QUERIES IF EXISTS (SELECT query_id FROM [SHOW CLUSTER QUERIES] WHERE session_id = '17f3'')1')"},
		"own":         {[]string{`cancel_sql = "CALL stop({session_id}, 1)"`}, "CALL stop('17f3'')1', 1)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var heard = make(chan string, 10)
			var running = make(chan *fake.Session, 1)
			f := fake.NewServer(t, fake.Config{Key: fake.NoKey, Query: func(s *fake.Session, sql string) {
				switch sql {
				case "SHOW session_id":
					s.Send(fake.Msg('T', uint16(1), "session_id", 0, uint16(0), 25, uint16(0xffff), 0xffffffff, uint16(0)),
						fake.Msg('D', uint16(1), uint32(7), []byte("17f3')1")), fake.Msg('C', "SHOW 1"), fake.Msg('Z', byte('I')))
				case "work":
					running <- s
				case "again":
					s.Send(fake.Msg('C', "SELECT 1"), fake.Msg('Z', byte('I')))
				default:
					heard <- sql
					x := <-running
					x.Send(fake.Error("ERROR", "57014", "query execution canceled"), fake.Msg('Z', byte('I')))
					s.Send(fake.Msg('C', "CANCEL QUERIES 1"), fake.Msg('Z', byte('I')))
				}
			}})
			port := f.Port()
			g := startGate(t, gateOptions{file: fallbackFile(t, address{"127.0.0.1", port}, 1, append(tt.lines, `cancel_fallback = "sql"`)...)})
			cl := enter(t, g)
			cl.Put(fake.Query("work"))
			f.Await(t, "it runs", func() bool { return len(running) == 1 })
			fake.SendCancel(t, g.Addr(), cl.pid, cl.key)
			if got := fake.Next(t, heard, "the statement"); got != tt.want {
				t.Errorf("the server hears %q", got)
			}
			cl.WantError("57014")
			cl.Want("Z")
			g.outcome(t, 1, "sql")
			cl.Put(fake.Query("again"))
			cl.Want("CZ")
		})
	}
}

// Where nothing is to be tried the request has its outcome and nothing else happens.
func TestCancelUnsupported(t *testing.T) {
	f := fake.NewServer(t, fake.Config{Key: fake.ZeroKey})
	g := startGate(t, gateOptions{file: fallbackFile(t, address{"127.0.0.1", f.Port()}, 2, `cancel_fallback = "none"`)})
	cl, other := enter(t, g), enter(t, g)
	cl.Put(fake.Query("sleep"))
	running(t, f, 1)
	fake.SendCancel(t, g.Addr(), cl.pid, cl.key)
	g.outcome(t, 1, "unsupported")
	other.Put(fake.Query("SELECT"))
	other.Want("CZ")
	running(t, f, 1) // still
	if n := strings.Count(g.Log(), "gives no usable cancel key"); n != 1 {
		t.Errorf("zeros were told %d times:\n%s", n, g.Log())
	}
	if sent := f.Cancels(); len(sent) > 0 {
		t.Errorf("the server was sent %+v", sent)
	}
}
