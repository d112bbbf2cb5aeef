package test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
	"cancello/internal/postgres"
)

// While PAUSE waits is when one most wants to cancel: what runs holds it up, and what waits behind it has no end.
func TestCancelDuringPause(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		c := pgtest.Start(t, major)
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: mode, size: 2, set: []string{"admin_users=postgres"}})
		busy := enter(t, g)
		busy.Put(fake.Query(sleeper))
		busy.Want("N")
		console := fake.Dial(t, g.Addr())
		console.Login(fake.V30, "user", "postgres", "database", "cancello")
		console.Put(fake.Query("PAUSE"))
		waiting := enterWaiting(t, g)

		fake.SendCancel(t, g.Addr(), waiting.pid, waiting.key)
		waiting.WantError("57014")
		waiting.Want("Z")
		g.outcome(t, 1, "unqueued")
		fake.SendCancel(t, g.Addr(), busy.pid, busy.key)
		busy.WantError("57014")
		busy.Want("Z")
		g.outcome(t, 2, "cancelled")
		if mode == "session" {
			busy.leave() // its server is its own until then
		}
		console.Want("CZ")

		console.Put(fake.Query("RESUME"))
		console.Want("CZ")
		waiting.Put(fake.Query("SELECT 1"))
		waiting.Want("TDCZ")
	})
}

// enterWaiting logs a client in whose query waits for a server: a cancel proves it, since what has not arrived yet
// can't be cancelled.
func enterWaiting(t *testing.T, g *gate) *joined {
	t.Helper()
	c := enter(t, g)
	c.Put(fake.Query("SELECT 'must not run'"))
	return c
}

// A query that waits while its server is logged in never runs, and the server is good for the next one.
func TestCancelDuringServerLogin(t *testing.T) {
	knocked, open := make(chan struct{}, 8), make(chan struct{})
	var sessions atomic.Int32
	f := fake.NewServer(t, fake.Config{Greet: func(s *fake.Session) {
		if sessions.Add(1) > 1 { // the first one gives clients their parameters
			knocked <- struct{}{}
			<-open
		}
		s.SendGreeting(true)
	}})
	letIn := sync.OnceFunc(func() { close(open) })
	t.Cleanup(letIn)
	g := startGate(t, gateOptions{upstreams: []string{fakeUpstream(f)}, mode: "transaction", size: 2})
	holder, c := enter(t, g), enter(t, g)
	holder.Put(fake.Query("BEGIN"))
	holder.Want("CZ")
	c.Put(fake.Query("SELECT 'must not run'"))
	<-knocked
	fake.SendCancel(t, g.Addr(), c.pid, c.key)
	c.WantError("57014")
	c.Want("Z")
	g.outcome(t, 1, "unqueued")
	letIn()
	c.Put(fake.Query("SELECT 'may run'"))
	c.Want("CZ")
	for _, s := range f.Sessions() {
		for _, m := range s.Seen() {
			if strings.Contains(string(m.Body), "must not run") {
				t.Error("a cancelled query reached the server")
			}
		}
	}
	if n := len(f.Sessions()); n != 2 {
		t.Errorf("%d sessions: the one that was logged in for a cancelled query was not kept", n)
	}
}

// hangs answers like a PostgreSQL for which one kind of statement takes for ever, until a cancel comes.
func hangs(which func(sql string) bool) fake.Config {
	return fake.Config{Query: func(s *fake.Session, sql string) {
		if !which(sql) {
			s.Answer(sql)
			return
		}
		if s.Run(nil) {
			s.Send(fake.Error("ERROR", "57014", "canceling statement due to user request"), fake.Msg('Z', s.Status))
		}
	}}
}

// A client's settings are given to its server first. While they are, its query has not begun: it is answered at once
// and never runs.
func TestCancelDuringSettings(t *testing.T) {
	f := fake.NewServer(t, hangs(func(sql string) bool { return strings.Contains(sql, "a new name") }))
	g := startGate(t, gateOptions{upstreams: []string{fakeUpstream(f)}, mode: "transaction", size: 1, set: []string{"cancel_timeout=2s", "query_wait_notify=0", "server_connect_timeout=3s"}})
	first := enter(t, g)
	first.Put(fake.Query("SELECT"))
	first.Want("CZ")
	nc := fake.Dial(t, g.Addr())
	in := nc.Login(fake.V30, "user", "postgres", "database", "postgres", "application_name", "a new name") // which is not tried at login
	c := &joined{nc, in.PID, in.Key}
	c.Put(fake.Query("SELECT 'must not run'"))
	running(t, f, 1)
	fake.SendCancel(t, g.Addr(), c.pid, c.key)
	c.WantError("57014")
	c.Want("Z")
	for _, s := range f.Sessions() {
		for _, m := range s.Seen() {
			if strings.Contains(string(m.Body), "must not run") {
				t.Error("a cancelled query reached the server")
			}
		}
	}
	first.Put(fake.Query("SELECT"))
	first.Want("CZ")
}

// What a server is asked to forget between two clients is nobody's query: the next one waits, and so can be cancelled.
func TestCancelDuringReset(t *testing.T) {
	f := fake.NewServer(t, hangs(func(sql string) bool { return strings.Contains(sql, "DISCARD ALL") }))
	g := startGate(t, gateOptions{upstreams: []string{fakeUpstream(f)}, mode: "session", size: 1})
	former := enter(t, g)
	former.Put(fake.Query("SELECT"))
	former.Want("CZ")
	former.leave()
	running(t, f, 1)
	c := enter(t, g)
	c.Put(fake.Query("SELECT 'must not run'"))
	for i, k := range []*joined{former, c} {
		fake.SendCancel(t, g.Addr(), k.pid, k.key)
		g.outcome(t, i+1, []string{"unknown_key", "unqueued"}[i])
	}
	c.WantError("57014")
	c.Want("Z")
	if n := len(f.Cancels()); n != 0 {
		t.Errorf("%d CancelRequests were sent to a server that nobody uses", n)
	}
}

// A statement that is prepared on demand can wait for a lock. The client's own message is what runs then.
func TestCancelDuringInjectedParse(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			c := pgtest.Start(t, major)
			superuser(t, c, "DROP TABLE IF EXISTS parsed; CREATE TABLE parsed (n int)")
			g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: 2})
			client, other := enter(t, g), enter(t, g)
			client.Put(fake.Msg('P', "p", "SELECT n FROM parsed", uint16(0)), fake.Msg('S'))
			client.Want("1Z")
			other.Put(fake.Query("BEGIN"), fake.Query("SELECT 1")) // takes the server that knows p
			other.Want("CZTDCZ")

			locker, err := ride(c.Addr(), fake.V30, "postgres", "postgres")
			if err != nil {
				t.Fatal(err)
			}
			defer locker.Close()
			for _, sql := range []string{"BEGIN", "LOCK TABLE parsed IN ACCESS EXCLUSIVE MODE"} {
				if a, err := locker.query(sql); err != nil || a.code != "" {
					t.Fatalf("%+v %v", a, err)
				}
			}
			execute := [][]byte{fake.Msg('B', "", "p", uint16(0), uint16(0), uint16(0)), fake.Msg('E', "", uint32(0)), fake.Msg('S')}
			client.Put(execute...)
			until(t, "the Parse waits for the lock", func() bool {
				return superuser(t, c, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == "1"
			})
			fake.SendCancel(t, g.Addr(), client.pid, client.key)
			client.WantError("57014")
			client.Want("Z")
			g.outcome(t, 1, "cancelled")
			if a, err := locker.query("ROLLBACK"); err != nil || a.code != "" {
				t.Fatalf("%+v %v", a, err)
			}
			client.Put(execute...)
			client.Want("2CZ")
		})
	}
}

// While the fence of a cancel is up the client's next unit waits: it can be cancelled like any other that waits, and
// Terminate goes through.
func TestCancelUnderAFence(t *testing.T) {
	end := make(chan struct{})
	f := fake.NewServer(t, fake.Config{Cancel: fake.HoldIt, Query: func(s *fake.Session, sql string) {
		s.Run(end)
		s.Send(fake.Msg('C', "SELECT 0"), fake.Msg('Z', s.Status))
	}})
	g := startGate(t, gateOptions{upstreams: []string{fakeUpstream(f)}, mode: "transaction", size: 1, set: []string{"cancel_timeout=60s"}})
	c := enter(t, g)
	c.Put(fake.Query("ends by itself"))
	running(t, f, 1)
	first := fake.Dial(t, g.Addr())
	first.Put(fake.Cancel(c.pid, c.key))
	f.Await(t, "the cancel is on the wire", func() bool { return len(f.Cancels()) == 1 })
	close(end)
	c.Want("CZ") // its cancel's connection is still open
	c.Put(fake.Query("SELECT 'must not run'"))
	fake.SendCancel(t, g.Addr(), c.pid, c.key)
	c.WantError("57014")
	c.Want("Z")
	g.outcome(t, 1, "unqueued")
	for _, m := range f.Sessions()[0].Seen() {
		if strings.Contains(string(m.Body), "must not run") {
			t.Error("a unit went to a server under a fence")
		}
	}
	c.leave()
}

// turnstile stands before a cluster: connections that were made stay, new ones are refused while it is shut.
type turnstile struct {
	address
	to string
	ln net.Listener
}

func newTurnstile(t *testing.T, c *postgres.Cluster) *turnstile {
	t.Helper()
	x := &turnstile{address: address{host: "127.0.0.1"}, to: c.Addr()}
	x.open(t)
	return x
}

// open lets people in, at the same port as before.
func (x *turnstile) open(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", x.Addr())
	if err != nil {
		t.Fatal(err)
	}
	x.ln, x.port = ln, ln.Addr().(*net.TCPAddr).Port
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go x.pass(nc)
		}
	}()
}

func (x *turnstile) pass(nc net.Conn) {
	defer nc.Close()
	back, err := net.Dial("tcp", x.to)
	if err != nil {
		return
	}
	defer back.Close()
	go func() {
		_, _ = io.Copy(back, nc)
		_ = back.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(nc, back)
}

// An upstream that takes no connections for a moment: the cancel is tried again, and its server is kept meanwhile.
func TestCancelWhileUpstreamRefuses(t *testing.T) {
	c := pgtest.Start(t, 18)
	x := newTurnstile(t, c)
	dsn := strings.Replace(upstream(c, "postgres", "postgres"), c.Addr(), x.Addr(), 1)
	g := startGate(t, gateOptions{upstreams: []string{dsn}, mode: "transaction", size: 1, set: []string{"cancel_timeout=30s"}})
	busy := enter(t, g)
	busy.Put(fake.Query(sleeper))
	busy.Want("N")
	x.ln.Close()
	k := fake.Dial(t, g.Addr())
	k.Put(fake.Cancel(busy.pid, busy.key))
	waiting := enterWaiting(t, g)
	fake.SendCancel(t, g.Addr(), waiting.pid, waiting.key) // answered, while the other one can't be
	waiting.WantError("57014")
	waiting.Want("Z")
	g.outcome(t, 1, "unqueued")
	x.open(t)
	busy.WantError("57014")
	busy.Want("Z")
	k.WantEOF()
	g.outcome(t, 2, "cancelled")
	busy.Put(fake.Query("SELECT 1"))
	busy.Want("TDCZ")
}

// An upstream that is never there again: the cancel has an end, and its server is left alone.
func TestCancelThatCannotBeSent(t *testing.T) {
	c := pgtest.Start(t, 18)
	x := newTurnstile(t, c)
	dsn := strings.Replace(upstream(c, "postgres", "postgres"), c.Addr(), x.Addr(), 1)
	g := startGate(t, gateOptions{upstreams: []string{dsn}, mode: "transaction", size: 1, set: []string{"cancel_timeout=300ms"}})
	busy := enter(t, g)
	busy.Put(fake.Query("DO $$ BEGIN RAISE NOTICE 'begun'; PERFORM pg_sleep(2); END $$"))
	busy.Want("N")
	x.ln.Close()
	fake.SendCancel(t, g.Addr(), busy.pid, busy.key)
	g.outcome(t, 1, "failed")
	busy.Want("CZ")
	busy.Put(fake.Query("SELECT 1"))
	busy.Want("TDCZ")
}

// PostgreSQL that has no place left takes cancels, and so must we.
func TestCancelWhenUpstreamIsFull(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			c := pgtest.Start(t, major, pgtest.Settings(map[string]string{"max_connections": "6", "superuser_reserved_connections": "0", "max_wal_senders": "0"}))
			g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: 5})
			busy := enter(t, g)
			busy.Put(fake.Query(sleeper))
			busy.Want("N")
			for full := false; !full; {
				nc := fake.Dial(t, c.Addr())
				nc.Put(fake.Startup(fake.V30, "user", "postgres", "database", "postgres"))
				for {
					m := nc.Message()
					if full = m.Type == 'E' && m.Field('C') == "53300"; full || m.Type == 'Z' {
						break
					}
				}
			}
			fake.SendCancel(t, g.Addr(), busy.pid, busy.key)
			busy.WantError("57014")
			busy.Want("Z")
			g.outcome(t, 1, "cancelled")
		})
	}
}

// The server's certificate was replaced, and its authority with it, since the session began: the cancel is verified by
// what its session knew, then by what is known now.
func TestCancelAfterCertificatesRotated(t *testing.T) {
	a, b := fake.NewAuthority(t), fake.NewAuthority(t)
	c := encrypted(t, a, 18, true)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	write := func(path string, content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(path string) []byte {
		t.Helper()
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	write(roots, read(a.File))
	g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres") + "?sslmode=verify-full&sslrootcert=" + roots}, mode: "transaction", size: 1})
	busy := enter(t, g)
	busy.Put(fake.Query(sleeper))
	busy.Want("N")

	next := b.Issue("postgres", "127.0.0.1")
	for name, content := range map[string][]byte{"server.crt": next.PEM, "server.key": next.KeyPEM} {
		path := filepath.Join(c.DataDir(), name)
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0) // its owner stays
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	superuser(t, c, "SELECT pg_reload_conf()")
	until(t, "PostgreSQL serves the new certificate", func() bool {
		out := pgtest.PSQL(t, pgtest.SystemLibpq, "-d", over(direct(c), "verify-full", "sslrootcert="+b.File), "-Atc", "SELECT 1")
		return out.Code == 0
	})
	write(roots, read(b.File))
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	g.AwaitLog("reloaded")
	fake.SendCancel(t, g.Addr(), busy.pid, busy.key)
	busy.WantError("57014")
	busy.Want("Z")
	g.outcome(t, 1, "cancelled")
}

// A key of a Cancello that was here before means nobody.
func TestCancelOfThePreviousIncarnation(t *testing.T) {
	for name, version := range map[string]uint32{"3.0": fake.V30, "3.2": fake.V32} {
		t.Run(name, func(t *testing.T) {
			c := pgtest.Start(t, 18)
			o := gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: 2}
			before := startGate(t, o)
			in := fake.Dial(t, before.Addr()).Login(version, "user", "postgres", "database", "postgres")
			before.Stop()
			g := startGate(t, o)
			nc := fake.Dial(t, g.Addr())
			again := nc.Login(version, "user", "postgres", "database", "postgres")
			busy := &joined{nc, again.PID, again.Key}
			busy.Put(fake.Query(sleeper))
			busy.Want("N")
			for i, pid := range []uint32{in.PID, busy.pid} { // the place of the living one, too
				fake.SendCancel(t, g.Addr(), pid, in.Key)
				g.outcome(t, i+1, map[uint32]string{fake.V30: "unknown_key", fake.V32: "forged"}[version])
			}
			fake.SendCancel(t, g.Addr(), busy.pid, busy.key)
			busy.WantError("57014")
			g.outcome(t, 3, "cancelled")
		})
	}
}

// A cancel takes no client's place, however many come and however slowly they are carried.
func TestCancelsTakeNoPlace(t *testing.T) {
	f := fake.NewServer(t, fake.Config{Cancel: fake.HoldIt})
	g := startGate(t, gateOptions{upstreams: []string{fakeUpstream(f)}, mode: "transaction", size: 1, set: []string{"max_client_conn=2", "cancel_timeout=60s"}})
	c := enter(t, g)
	c.Put(fake.Query("sleep"))
	running(t, f, 1)
	for i := range 20 {
		k := fake.Dial(t, g.Addr())
		pid := c.pid // held until its cancel has been carried
		if i%2 == 1 {
			pid++ // nobody
		}
		k.Put(fake.Cancel(pid, c.key))
	}
	f.Await(t, "one is on the wire", func() bool { return len(f.Cancels()) == 1 })
	other := enter(t, g) // the second of two
	other.leave()
	if n := len(f.Cancels()); n != 1 {
		t.Errorf("%d CancelRequests for one unit", n)
	}
}

// Drivers that say goodbye on the connection of a cancel, or send more: it ends in order, with a FIN.
func TestCancelConnectionThatTalks(t *testing.T) {
	c := pgtest.Start(t, 18)
	g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: 1})
	busy := enter(t, g)
	for i, more := range [][]byte{fake.Msg('X'), fake.Query("SELECT 1"), make([]byte, 30_000)} {
		busy.Put(fake.Query(sleeper))
		busy.Want("N")
		k := fake.Dial(t, g.Addr())
		k.Put(fake.Cancel(busy.pid, busy.key), more)
		busy.WantError("57014")
		busy.Want("Z")
		k.WantEOF()
		g.outcome(t, i+1, "cancelled")
	}
}

// Clients of 3.0 and of 3.2 take turns on one server, and a cancel finds its own.
func TestCancelBothVersionsOneServer(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			c := pgtest.Start(t, major)
			g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: 1})
			backend := ""
			for round, version := range []uint32{fake.V30, fake.V32, fake.V30, fake.V32} {
				nc := fake.Dial(t, g.Addr())
				in := nc.Login(version, "user", "postgres", "database", "postgres")
				nc.Put(fake.Query("SELECT pg_backend_pid()"))
				pid := firstColumn(nc.Want("TDCZ")[1].Body)
				if backend != "" && pid != backend {
					t.Errorf("another server: %s, not %s", pid, backend)
				}
				backend = pid
				nc.Put(fake.Query(sleeper))
				nc.Want("N")
				fake.SendCancel(t, g.Addr(), in.PID, in.Key)
				nc.WantError("57014")
				nc.Want("Z")
				g.outcome(t, round+1, "cancelled")
			}
		})
	}
}
