package test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
	"cancello/internal/postgres"
)

// What has gone wrong with cancels in other poolers and proxies, one test each; docs/cancel.md lists them, with those
// that other files hold.

// latch is a statement that runs until somebody past the gate lets it end.
type latch struct {
	*rider
	t    *testing.T
	c    *postgres.Cluster
	name string
}

func newLatch(t *testing.T, c *postgres.Cluster, name string) *latch {
	t.Helper()
	su, err := ride(c.Addr(), fake.V30, "postgres", "postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { su.Close() })
	l := &latch{su, t, c, name}
	l.do("SELECT pg_advisory_lock(hashtext('" + name + "'))")
	return l
}

func (l *latch) do(sql string) {
	l.t.Helper()
	if a, err := l.query(sql); err != nil || a.code != "" {
		l.t.Fatalf("%s: %+v %v", sql, a, err)
	}
}

// wait is the statement, await waits until it runs, open lets it end.
func (l *latch) wait() string {
	return "SELECT pg_advisory_lock_shared(hashtext('" + l.name + "')), pg_advisory_unlock_shared(hashtext('" + l.name + "'))"
}

func (l *latch) await() {
	l.t.Helper()
	until(l.t, "the statement runs", func() bool { return active(l.t, l.c, "wait_event = 'advisory'", l.name) })
}

func (l *latch) open() { l.do("SELECT pg_advisory_unlock(hashtext('" + l.name + "'))") }

// active says whether a statement with a mark is in the state that is asked for.
func active(t *testing.T, c *postgres.Cluster, condition, mark string) bool {
	t.Helper()
	return superuser(t, c, "SELECT count(*) FROM pg_stat_activity WHERE "+condition+" AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE '%"+mark+"%'") != "0"
}

// A cancel that is on its way for long, and arrives when its query has ended by itself, never ends what runs then: not the
// next query of the same client, in either mode, and not another client's on the same server. Without the fence it does.
func TestDelayedCancel(t *testing.T) {
	for _, tt := range []struct {
		name, mode string
		other      bool // whose query comes next
		bug        engine.Bug
	}{
		{"the next query, session", "session", false, engine.NoBug},
		{"the next query, transaction", "transaction", false, engine.NoBug},
		{"another client", "transaction", true, engine.NoBug},
		{"control: the next query", "session", false, engine.BugNoFence},
		{"control: another client", "transaction", true, engine.BugNoFence},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := pgtest.Start(t, 15)
			x := newToll(t, c.Addr())
			g := startInProcess(t, gateOptions{upstreams: []string{x.before(c) + "?sslmode=disable"}, mode: tt.mode, size: 1, set: []string{"cancel_timeout=60s", "query_wait_notify=0", "server_check_query="}}, tt.bug)
			mark := "delayed_" + strings.NewReplacer(" ", "_", ",", "", ":", "").Replace(tt.name)
			l := newLatch(t, c, mark)
			first := g.enter(t)
			next, bystander := first, (*joined)(nil)
			if tt.other {
				next = g.enter(t)
			}
			if tt.mode == "transaction" {
				bystander = g.enter(t)
			}
			first.Put(fake.Query(l.wait()))
			l.await()
			k, raise := x.hold(t, g.Addr(), first)
			l.open()
			first.Want("TDCZ")

			next.Put(fake.Query("SELECT 'next' FROM pg_sleep(2) AS " + mark + "_next"))
			sleeps := func() bool { return active(t, c, "wait_event = 'PgSleep'", mark+"_next") }
			if tt.bug != engine.NoBug {
				until(t, "the next query runs", sleeps)
				raise()
				if all := next.Until("ZE"); all[len(all)-1].Field('C') != "57014" {
					t.Errorf("a delayed cancel hits nobody without the fence: %q", all)
				}
				return
			}
			if bystander != nil { // the loop has read the query when it has judged what came later
				fake.SendCancel(t, g.Addr(), bystander.pid, bystander.key)
			}
			if sleeps() {
				t.Error("the next query was sent before the cancel had arrived")
			}
			raise()
			if all := next.Want("TDCZ"); firstColumn(all[1].Body) != "next" {
				t.Errorf("%q", all)
			}
			k.WantEOF()
			if n := g.Counts()[event.Late]; n != 1 {
				t.Errorf("outcomes %v, want one late", g.Counts())
			}
		})
	}
}

// enter logs a client in.
func (g *inProcess) enter(t *testing.T) *joined {
	t.Helper()
	c := fake.Dial(t, g.Addr())
	in := c.Login(fake.V30, "user", "postgres", "database", "postgres")
	return &joined{c, in.PID, in.Key}
}

// A cancel that had to wait for its turn on the wire, and whose query has ended meanwhile, is not sent at all.
func TestCancelInLineTooLong(t *testing.T) {
	c, x, g := tolled(t, 15, 2, "max_cancels_per_upstream=1")
	one, two := enter(t, g), enter(t, g)
	one.Put(fake.Query(sleeper))
	one.Want("N")
	l := newLatch(t, c, "in_line_too_long")
	two.Put(fake.Query(l.wait()))
	l.await()
	k1, raise := x.hold(t, g.Addr(), one)
	k2 := fake.Dial(t, g.Addr())
	k2.Put(fake.Cancel(two.pid, two.key))
	two.Put(fake.Query("SELECT 'next' FROM pg_sleep(0.5)")) // pipelined
	l.open()
	two.Want("TDCZ")
	g.outcome(t, 1, "finished")
	k2.WantEOF()
	raise()
	one.WantError("57014")
	one.Want("Z")
	k1.WantEOF()
	if all := two.Want("TDCZ"); firstColumn(all[1].Body) != "next" {
		t.Errorf("%q", all)
	}
	g.outcome(t, 2, "cancelled")
	if n := len(x.passed()); n != 3 {
		t.Errorf("%d connections to the server, want two servers and one cancel", n)
	}
}

// A cancel whose connection hangs costs its own server and no more: at cancel_timeout that one is closed, its client is
// told, and a pool of one goes on with another.
func TestHungCancelBlocksNoPool(t *testing.T) {
	_, x, g := tolled(t, 18, 1, "cancel_timeout=1s", "server_ghost_time=100ms")
	c1, c2 := enter(t, g), enter(t, g)
	c1.Put(fake.Query(sleeper))
	c1.Want("N")
	k, _ := x.hold(t, g.Addr(), c1)
	x.lower()() // who comes now passes: only that cancel hangs
	c2.Put(fake.Query("SELECT 'served'"))
	c1.WantError("08007")
	c1.Want("Z")
	k.WantEOF()
	if all := c2.Want("TDCZ"); firstColumn(all[1].Body) != "served" {
		t.Errorf("%q", all)
	}
	g.outcome(t, 1, "disconnected")
}

// A server that dies while a cancel for it is on the wire, and a client that goes: nobody stumbles over the other, the
// cancel has one outcome, and the pool works.
func TestEndsWhileACancelIsOnTheWire(t *testing.T) {
	for _, tt := range []struct {
		name, outcome string
		end           func(t *testing.T, c *postgres.Cluster, busy *joined)
	}{
		{"the server dies", "late", func(t *testing.T, c *postgres.Cluster, busy *joined) {
			superuser(t, c, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%600%' AND pid <> pg_backend_pid()")
			busy.WantError("08007")
			busy.Want("Z")
		}},
		{"the client goes", "cancelled", func(t *testing.T, _ *postgres.Cluster, busy *joined) {
			if err := busy.Conn.(*net.TCPConn).SetLinger(0); err != nil {
				t.Fatal(err)
			}
			busy.Close()
		}},
		{"the client says goodbye", "cancelled", func(_ *testing.T, _ *postgres.Cluster, busy *joined) {
			busy.Put(fake.Msg('X'))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, x, g := tolled(t, 15, 1, "server_ghost_time=100ms")
			busy, next := enter(t, g), enter(t, g)
			busy.Put(fake.Query(sleeper))
			busy.Want("N")
			k, raise := x.hold(t, g.Addr(), busy)
			tt.end(t, c, busy)
			next.Put(fake.Query("SELECT 'next'"))
			raise()
			k.WantEOF()
			if all := next.Want("TDCZ"); firstColumn(all[1].Body) != "next" {
				t.Errorf("%q", all)
			}
			g.outcome(t, 1, tt.outcome)
		})
	}
}

// Requests that mean nobody are dropped where they come in: nothing is dialed for them, they take no client's place, and
// they hold nobody up, however many and however they look. (Zeros are what libpq up to 17 sends where it had no key.)
func TestForgedCancelsCostNothing(t *testing.T) {
	f := fake.NewServer(t, fake.Config{})
	g := startGate(t, gateOptions{upstreams: []string{fakeUpstream(f)}, mode: "transaction", size: 1, set: []string{"max_client_conn=2"}})
	busy := enter(t, g)
	busy.Put(fake.Query("sleep"))
	running(t, f, 1)
	forged := func(pid uint32, n int) []byte {
		k := make([]byte, n)
		rand.Read(k) // it never fails
		return fake.Cancel(pid, k)
	}
	requests := [][]byte{
		fake.Cancel(0, make([]byte, 4)), fake.Cancel(0, nil), fake.Cancel(busy.pid, nil), fake.Cancel(busy.pid, make([]byte, 4)),
		forged(busy.pid, 4), forged(busy.pid, 32), forged(busy.pid+1, 4), forged(4711, 4), forged(1<<31|busy.pid, 4),
		forged(busy.pid, 5), forged(busy.pid, 255), forged(busy.pid, 256), forged(busy.pid, 257),
	}
	const rounds = 50
	var open []net.Conn
	for range rounds {
		for _, r := range requests {
			nc, err := net.Dial("tcp", g.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close() // not before: what matters is what they hold
			if _, err := nc.Write(r); err != nil {
				t.Fatal(err)
			}
			open = append(open, nc)
		}
	}
	other := enter(t, g) // the second of two
	for _, nc := range open {
		if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if err := drained(nc); err != nil {
			t.Fatal(err)
		}
	}
	outcomes, total := outcomesIn(g.Log())
	for o := range outcomes {
		if o != "unknown_key" && o != "forged" && o != "malformed" {
			t.Errorf("%d times %s", outcomes[o], o)
		}
	}
	if total >= rounds*len(requests) {
		t.Errorf("%d lines in the log for %d forged requests", total, rounds*len(requests))
	}
	if n := f.Accepted(); n != 1 {
		t.Errorf("%d connections to the server, want that of the session", n)
	}
	g.AwaitLog("more cancels that mean nobody: lines were left out, counts were not")
	other.leave()
	fake.SendCancel(t, g.Addr(), busy.pid, busy.key)
	busy.WantError("57014")
	g.AwaitLog(" outcome=cancelled ")
}

// Keys of servers are taken as long as they are, and come back whole.
func TestServerKeyGoesWhole(t *testing.T) {
	for _, n := range []int{4, 5, 8, 32, 36, 255, 256} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			f := fake.NewServer(t, fake.Config{Key: fake.RandomKey(n), KeyFirst: n%2 == 0})
			g := startGate(t, gateOptions{upstreams: []string{fakeUpstream(f)}, mode: "transaction", size: 1})
			c := enter(t, g)
			if len(c.key) != 4 {
				t.Errorf("the client's own key has %d bytes", len(c.key))
			}
			c.Put(fake.Query("sleep"))
			running(t, f, 1)
			fake.SendCancel(t, g.Addr(), c.pid, c.key)
			c.WantError("57014")
			c.Want("Z")
			g.outcome(t, 1, "cancelled")
			if sent := f.Cancels(); len(sent) != 1 || !sent[0].Matched || len(sent[0].Key) != n {
				t.Errorf("sent %d requests, matched %v", len(sent), len(sent) > 0 && sent[0].Matched)
			}
		})
	}
}

// Of several BackendKeyData the last one counts, as with libpq. One that comes later, when clients are being served, is
// not passed to them: their key is ours.
func TestSecondServerKey(t *testing.T) {
	f := fake.NewServer(t, fake.Config{Greet: func(s *fake.Session) {
		s.Send(fake.Msg('R', 0), fake.Msg('K', 4711, []byte("no.1")))
		params := fake.DefaultParams()
		s.Send(fake.Msg('S', params[0], params[1]), fake.Msg('K', s.PID, s.Key), fake.Msg('Z', byte('I')))
	}, Query: func(s *fake.Session, sql string) {
		if sql == "another key" {
			s.Send(fake.Msg('K', 4712, []byte("no.3")))
		}
		s.Answer(sql)
	}})
	g := startGate(t, gateOptions{upstreams: []string{fakeUpstream(f)}, mode: "transaction", size: 1, set: []string{"server_ghost_time=100ms"}})
	c := enter(t, g)
	c.Put(fake.Query("sleep"))
	running(t, f, 1)
	fake.SendCancel(t, g.Addr(), c.pid, c.key)
	c.WantError("57014")
	c.Want("Z")
	g.outcome(t, 1, "cancelled")
	if sent := f.Cancels(); len(sent) != 1 || !sent[0].Matched {
		t.Errorf("%d requests were sent, not with the last key", len(sent))
	}
	c.Put(fake.Query("another key"))
	for _, m := range c.Until("Z") {
		if m.Type == 'K' {
			t.Error("a client was given its server's key")
		}
	}
	c.Put(fake.Query("SELECT"))
	c.Want("CZ")
}

// One host of two sends no key: its clients get in all the same, and a cancel does on each host what it can do there.
func TestOneHostWithoutKey(t *testing.T) {
	with, without := fake.NewServer(t, fake.Config{}), fake.NewServer(t, fake.Config{Key: fake.NoKey})
	g := startGate(t, gateOptions{upstreams: []string{"postgres://" + with.Addr() + "," + without.Addr() + "/?sslmode=disable&load_balance_hosts=random"}, mode: "session", size: 2})
	one, two := enter(t, g), enter(t, g)
	for _, c := range []*joined{one, two} {
		c.Put(fake.Query("sleep"))
	}
	running(t, with, 1)
	running(t, without, 1)
	told := map[string]bool{}
	for i, c := range []*joined{one, two} {
		fake.SendCancel(t, g.Addr(), c.pid, c.key)
		code := c.Want("E")[0].Field('C')
		told[code] = true
		g.outcome(t, i+1, map[string]string{"57014": "cancelled", "08007": "disconnected"}[code])
	}
	if !told["57014"] || !told["08007"] {
		t.Errorf("the clients were told %v", told)
	}
	if sent := without.Cancels(); len(sent) > 0 {
		t.Errorf("the host without a key was sent %d CancelRequests", len(sent))
	}
}

// A cancel leaves as its session did: nothing of it is on the wire in clear.
func TestCancelIsNeverInClear(t *testing.T) {
	a := fake.NewAuthority(t)
	ask := fake.Msg(0, fake.SSLCode)
	for _, tt := range []struct{ name, params string }{
		{"asked for", "sslmode=verify-full"},
		{"direct", "sslmode=verify-full&sslnegotiation=direct"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := encrypted(t, a, 18, false)
			x := newToll(t, c.Addr())
			g := startGate(t, gateOptions{upstreams: []string{x.before(c) + "?" + tt.params + "&sslrootcert=" + a.File}, mode: "transaction", size: 1})
			busy := enter(t, g)
			busy.Put(fake.Query(sleeper))
			busy.Want("N")
			fake.SendCancel(t, g.Addr(), busy.pid, busy.key)
			busy.WantError("57014")
			g.outcome(t, 1, "cancelled")
			sent := x.passed()
			if len(sent) != 2 {
				t.Fatalf("%d connections, want a session and a cancel", len(sent))
			}
			for i, b := range sent {
				if tt.name == "asked for" {
					if !bytes.HasPrefix(b, ask) {
						t.Fatalf("connection %d begins with %x", i, b[:min(len(b), 8)])
					}
					b = b[len(ask):]
				}
				if len(b) == 0 || b[0] != 0x16 {
					t.Errorf("connection %d goes on with %x, not with a handshake of TLS", i, b[:min(len(b), 8)])
				}
				if bytes.Contains(b, binary.BigEndian.AppendUint32(nil, fake.CancelCode)) {
					t.Errorf("connection %d has a CancelRequest in clear", i)
				}
			}
		})
	}
}

// Cancels that can't be delivered are nobody's failed login: when their upstream is back, who comes is served, whatever
// server_login_retry says.
func TestFailedCancelsDelayNoLogin(t *testing.T) {
	c := pgtest.Start(t, 18)
	x := newTurnstile(t, c)
	dsn := strings.Replace(upstream(c, "postgres", "postgres"), c.Addr(), x.Addr(), 1)
	g := startGate(t, gateOptions{upstreams: []string{dsn}, mode: "transaction", size: 4, set: []string{"cancel_timeout=300ms", "query_wait_notify=0", "server_login_retry=600s"}})
	busy := enter(t, g)
	busy.Put(fake.Query(sleeper))
	busy.Want("N")
	x.ln.Close()
	for i := range 5 {
		fake.SendCancel(t, g.Addr(), busy.pid, busy.key)
		g.outcome(t, i+1, "failed")
	}
	x.open(t)
	next := enter(t, g)
	next.Put(fake.Query("SELECT 1"))
	next.Want("TDCZ")
	fake.SendCancel(t, g.Addr(), busy.pid, busy.key)
	busy.WantError("57014")
	busy.Want("Z")
}

// An upstream that takes no cancels, and one whose cancels hang, hold up nobody's at another.
func TestUnreachableUpstreamStopsNobody(t *testing.T) {
	dead, slow, well := pgtest.Start(t, 15), pgtest.Start(t, 15), pgtest.Start(t, 18)
	for _, n := range []string{"un_dead", "un_slow", "un_well"} {
		for _, c := range []*postgres.Cluster{dead, slow, well} {
			superuser(t, c, "DROP DATABASE IF EXISTS "+n)
			superuser(t, c, "CREATE DATABASE "+n)
		}
	}
	shut, held := newTurnstile(t, dead), newToll(t, slow.Addr())
	g := startGate(t, gateOptions{upstreams: []string{
		strings.Replace(upstream(dead, "postgres", "un_dead"), dead.Addr(), shut.Addr(), 1),
		strings.Replace(upstream(slow, "postgres", "un_slow"), slow.Addr(), held.Addr(), 1) + "?sslmode=disable",
		upstream(well, "postgres", "un_well"),
	}, mode: "transaction", size: 40, set: []string{"cancel_timeout=60s", "query_wait_notify=0", "max_cancels_per_upstream=2"}})
	at := func(database string) *joined {
		c := fake.Dial(t, g.Addr())
		in := c.Login(fake.V30, "user", "postgres", "database", database)
		c.Put(fake.Query(sleeper))
		c.Want("N")
		return &joined{c, in.PID, in.Key}
	}
	var stuck []*joined
	for range 4 {
		stuck = append(stuck, at("un_dead"), at("un_slow"))
	}
	spared := at("un_well")
	shut.ln.Close()
	raise := held.lower()
	defer raise()
	for _, c := range stuck {
		fake.Dial(t, g.Addr()).Put(fake.Cancel(c.pid, c.key))
	}
	until(t, "two hang", func() bool { return held.waiting() == 2 })
	fake.SendCancel(t, g.Addr(), spared.pid, spared.key)
	spared.WantError("57014")
	spared.Want("Z")
	g.outcome(t, 1, "cancelled")
	raise()
	shut.open(t)
	for _, c := range stuck {
		c.WantError("57014")
	}
}

// A cancel may come from another address and at another door than its session did: it is the key that counts.
func TestCancelComesFromAnywhere(t *testing.T) {
	c := pgtest.Start(t, 18)
	dir := socketFolder(t)
	g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: 1, listen: []string{dir + ":6432"}})
	busy := enter(t, g)
	elsewhere := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 77)}}
	for i, dial := range []func() (net.Conn, error){
		func() (net.Conn, error) { return elsewhere.Dial("tcp", g.Addr()) },
		func() (net.Conn, error) { return net.Dial("unix", dir+"/.s.PGSQL.6432") },
	} {
		busy.Put(fake.Query(sleeper))
		busy.Want("N")
		nc, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if err := knock(nc, busy.pid, busy.key); err != nil {
			t.Error(err)
		}
		busy.WantError("57014")
		busy.Want("Z")
		g.outcome(t, i+1, "cancelled")
	}
}

// A client that leaves in the transaction that its cancel has failed leaves nothing of it to the next one.
func TestCancelledTransactionIsNotHandedOn(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		c := pgtest.Start(t, major)
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: mode, size: 1})
		superuser(t, c, "CREATE TABLE IF NOT EXISTS handed_on (n int)")
		for _, bye := range []bool{true, false} {
			first := enter(t, g)
			first.Put(fake.Query("BEGIN"), fake.Query("INSERT INTO handed_on VALUES (1)"), fake.Query(sleeper))
			first.Want("CZCZN")
			fake.SendCancel(t, g.Addr(), first.pid, first.key)
			first.WantError("57014")
			if z := first.Want("Z")[0]; z.Body[0] != 'E' {
				t.Errorf("ReadyForQuery says %q", z.Body[0])
			}
			if bye {
				first.leave()
			} else {
				first.Close()
			}
			next := enter(t, g)
			next.Put(fake.Query("SELECT count(*) FROM handed_on"))
			if all := next.Want("TDCZ"); firstColumn(all[1].Body) != "0" || all[3].Body[0] != 'I' {
				t.Errorf("the next client finds %q rows, and ReadyForQuery %q", firstColumn(all[1].Body), all[3].Body[0])
			}
			next.leave()
		}
	})
}

// Ctrl-C of a psql that logged in by SCRAM, in transaction mode.
func TestCancelBehindSCRAM(t *testing.T) {
	c := pgtest.Start(t, 18)
	superuser(t, c, "CREATE TABLE scrammed (n int, t text)")
	g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "")}, mode: "transaction", size: 1, auth: "scram-sha-256", authFile: userlist(t, entry("sc_ann", "right"))})
	usePSQL(t, c, g, pgtest.SystemLibpq, "postgres://sc_ann:right@"+g.Addr()+"/postgres?sslmode=disable", "scrammed")
}
