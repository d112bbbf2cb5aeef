package test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
	"cancello/internal/postgres"
)

// soon is less than any limit that could end a wait in these tests, and enough for a loaded machine: what is answered
// within it was not answered by a timeout.
const soon = 5 * time.Second

// scene is a gate before one version, in one mode, with clients of one protocol version: what a cancel is tried on. Its
// pool has one server, so that whoever comes second waits.
type scene struct {
	*gate
	t       *testing.T
	cluster *postgres.Cluster
	major   int
	mode    string
	version uint32
	direct  *rider // past the gate

	keys     [][]byte
	outcomes int // lines seen in the log
}

// cancelCases are what happens to a cancel on a gate that serves one version in one mode.
var cancelCases = []struct {
	name string
	run  func(s *scene)
}{
	{"simple query", cancelsQuery},
	{"batch", cancelsBatch},
	{"function call", cancelsFunctionCall},
	{"inside a batch of several", cancelsInsideBatch},
	{"inside a pipeline", cancelsInsidePipeline},
	{"between Parse and Bind", leavesParsedAlone},
	{"in a transaction", cancelsInTransaction},
	{"COPY IN that waits", cancelsCopyIn},
	{"COPY OUT that nobody reads", cancelsCopyOut},
	{"idle", leavesIdleAlone},
	{"idle in a transaction", leavesIdleTransactionAlone},
	{"many at once", joins},
	{"sender gone at once", outlivesItsSender},
	{"after SSLRequest and GSSENCRequest", comesAfterRequests},
	{"byte by byte", comesInPieces},
	{"waiting query", unqueuesQuery},
	{"waiting batch", unqueuesBatch},
	{"waiting BEGIN", unqueuesBegin},
	{"late", comesLate},
	{"departed client", departedKeyIsDead},
	{"wrong keys", wrongKeysAreSilent},
	{"right behind its query", chasesItsQuery},
	{"client lost", endsForLostClient},
}

// Every cancel ends what it is meant for or nothing, and says in one line what became of it.
func TestCancel(t *testing.T) {
	for _, major := range majors {
		for _, mode := range modes {
			for name, version := range map[string]uint32{"3.0": fake.V30, "3.2": fake.V32} {
				t.Run(fmt.Sprintf("%d %s %s", major, mode, name), func(t *testing.T) {
					t.Parallel()
					s := newScene(t, major, mode, version)
					for _, c := range cancelCases {
						t.Run(c.name, func(t *testing.T) {
							sub := *s
							sub.t = t
							c.run(&sub)
							s.keys, s.outcomes = sub.keys, sub.outcomes
						})
					}
					s.keepsSecrets()
				})
			}
		}
	}
}

func newScene(t *testing.T, major int, mode string, version uint32) *scene {
	t.Helper()
	c := pgtest.Start(t, major)
	database := fmt.Sprintf("cancel_%d_%s_%d", major, mode, version&0xff)
	superuser(t, c, "CREATE DATABASE "+database)
	s := &scene{t: t, cluster: c, major: major, mode: mode, version: version}
	s.gate = startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", database)}, mode: mode, size: 1})
	var err error
	if s.direct, err = ride(c.Addr(), fake.V30, "postgres", database); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.direct.Close() })
	s.ask("CREATE TABLE kept (n int)")
	return s
}

// ask is one value, asked for past the gate.
func (s *scene) ask(sql string) string {
	s.t.Helper()
	a, err := s.direct.query(sql)
	if err != nil || a.code != "" {
		s.t.Fatalf("%s: %+v %v", sql, a, err)
	}
	return strings.Join(a.rows, " ")
}

// joined is a client that the gate has let in.
type joined struct {
	*fake.Client
	pid uint32
	key []byte
}

// join logs one in. It leaves with its test, and the next one may then have its server.
func (s *scene) join() *joined {
	s.t.Helper()
	c := fake.Dial(s.t, s.Addr())
	database, _, _ := strings.Cut(s.ask("SELECT current_database()"), " ")
	g := c.Login(s.version, "user", "postgres", "database", database)
	if want := map[uint32]int{fake.V30: 4, fake.V32: 32}[s.version]; len(g.Key) != want || g.PID>>30 != 1 {
		s.t.Fatalf("pid %d, a key of %d bytes", g.PID, len(g.Key))
	}
	s.keys = append(s.keys, g.Key)
	return &joined{c, g.PID, g.Key}
}

// leave says goodbye and waits for the end.
func (c *joined) leave() {
	c.Put(fake.Msg('X'))
	c.WantEOF()
}

// cancel sends a CancelRequest for c and waits for the close of its connection, which must come soon.
func (s *scene) cancel(c *joined) {
	s.t.Helper()
	began := time.Now()
	fake.SendCancel(s.t, s.Addr(), c.pid, c.key)
	if took := time.Since(began); took > soon {
		s.t.Errorf("the cancel's connection was closed after %s", took)
	}
}

// expect waits for the outcomes of the cancels since the last call, in order: one line each. One of them may be given
// as alternatives, "late|finished". It returns the lines.
func (s *scene) expect(want ...string) []string {
	s.t.Helper()
	var lines []string
	until(s.t, fmt.Sprintf("%d outcomes in the log", len(want)), func() bool {
		lines = cancelLine.FindAllString(s.Log(), -1)
		return len(lines) >= s.outcomes+len(want)
	})
	lines = lines[s.outcomes:]
	s.outcomes += len(lines)
	if len(lines) != len(want) {
		s.t.Fatalf("%d outcomes, want %d:\n%s", len(lines), len(want), strings.Join(lines, "\n"))
	}
	for i, line := range lines {
		if !regexp.MustCompile(`outcome=(` + want[i] + `) `).MatchString(line) {
			s.t.Errorf("want outcome %s: %s", want[i], line)
		}
	}
	return lines
}

var cancelLine = regexp.MustCompile(`(?m)^.* msg=cancel .*$`)

// keepsSecrets: no key is in the log, in whatever form.
func (s *scene) keepsSecrets() {
	log := s.Log()
	if len(s.keys) == 0 {
		s.t.Error("no client had a key")
	}
	for _, k := range s.keys {
		forms := []string{string(k), hex.EncodeToString(k), strings.ToUpper(hex.EncodeToString(k)), base64.StdEncoding.EncodeToString(k),
			fmt.Sprint(k), strings.Trim(strconv.QuoteToASCII(string(k)), `"`)}
		if len(k) == 4 {
			forms = append(forms, fmt.Sprintf("=%d ", binary.BigEndian.Uint32(k)))
		}
		for _, f := range forms {
			if strings.Contains(log, f) {
				s.t.Error("a cancel key is in the log")
			}
		}
	}
}

// sleeper is a statement that says when it runs, and then does for longer than anybody waits.
const sleeper = "DO $$ BEGIN RAISE NOTICE 'begun'; PERFORM pg_sleep(600); END $$"

// cancelled reads an answer that ends in 57014, and the ReadyForQuery behind it.
func (s *scene) cancelled(c *joined, status byte) {
	s.t.Helper()
	c.WantError("57014")
	if z := c.Want("Z")[0]; z.Body[0] != status {
		s.t.Errorf("ReadyForQuery says %q, want %q", z.Body[0], status)
	}
}

// works asks c for something that must not be harmed.
func (s *scene) works(c *joined) {
	s.t.Helper()
	c.Put(fake.Query("SELECT 'well' FROM pg_sleep(0.02)"))
	all := c.Want("TDCZ")
	if got := firstColumn(all[1].Body); got != "well" || all[3].Body[0] != 'I' {
		s.t.Errorf("answered %q, then ReadyForQuery %q", got, all[3].Body[0])
	}
}

// waitFor waits for a condition on the server's side.
func (s *scene) waitFor(what, condition string) {
	s.t.Helper()
	until(s.t, what, func() bool {
		return s.ask("SELECT ("+condition+") FROM (SELECT) AS x") == "t"
	})
}

func cancelsQuery(s *scene) {
	c := s.join()
	c.Put(fake.Query(sleeper))
	c.Want("N")
	s.cancel(c)
	s.cancelled(c, 'I')
	s.works(c)
	line := s.expect("cancelled")[0]
	for _, part := range []string{fmt.Sprintf(" pid=%d ", c.pid), " kind=query ", " sends=1 ", " remote=127.0.0.1:"} {
		if !strings.Contains(line, part) {
			s.t.Errorf("no %q in %s", part, line)
		}
	}
	c.leave()
}

func cancelsBatch(s *scene) {
	c := s.join()
	c.Put(batch(sleeper))
	c.Want("12nN")
	s.cancel(c)
	s.cancelled(c, 'I')
	s.works(c)
	if line := s.expect("cancelled")[0]; !strings.Contains(line, " kind=batch ") {
		s.t.Error(line)
	}
	c.leave()
}

func cancelsFunctionCall(s *scene) {
	const pgSleep = 2626 // the oid of pg_sleep(float8)
	c := s.join()
	c.Put(fake.Msg('F', pgSleep, uint16(1), uint16(0), uint16(1), 3, []byte("600"), uint16(0)))
	s.waitFor("a function call runs", "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database())")
	s.cancel(c)
	s.cancelled(c, 'I')
	s.works(c)
	if line := s.expect("cancelled")[0]; !strings.Contains(line, `kind="function call"`) {
		s.t.Error(line)
	}
	c.leave()
}

// A batch of several statements fails as one: what stands before the cancelled one is rolled back, what stands behind
// it is not done.
func cancelsInsideBatch(s *scene) {
	s.ask("DELETE FROM kept")
	c := s.join()
	insert := unsynced("INSERT INTO kept VALUES (1)")
	c.Put(insert, unsynced(sleeper), insert, fake.Msg('S'))
	c.Want("12nC12nN")
	s.cancel(c)
	s.cancelled(c, 'I')
	s.works(c)
	s.expect("cancelled")
	if n := s.ask("SELECT count(*) FROM kept"); n != "0" {
		s.t.Errorf("%s rows of a batch that failed", n)
	}
	c.leave()
}

// Units pipelined in front of the cancelled one have ended, those behind it go on. PostgreSQL up to 17 signals twice,
// and may end the next one too: that is its own doing, as on a direct connection.
func cancelsInsidePipeline(s *scene) {
	c := s.join()
	c.Put(batch("SELECT 1"), batch(sleeper), batch("SELECT 'behind' FROM pg_sleep(0.02)"), fake.Query("SELECT 'last'"))
	c.Want("12TDCZ12nN")
	s.cancel(c)
	s.cancelled(c, 'I')
	if behind := c.Until("Z"); fake.Types(behind) != "12TDCZ" && (s.major >= 18 || !strings.HasSuffix(fake.Types(behind), "EZ")) {
		s.t.Errorf("behind the cancelled unit came %q", fake.Types(behind))
	}
	if last := c.Want("TDCZ"); firstColumn(last[1].Body) != "last" {
		s.t.Errorf("%q", last)
	}
	s.expect("cancelled")
	c.leave()
}

// Between two messages of a batch PostgreSQL waits for the client, and a cancel does nothing, as direct: it does not wait
// for the next message either, nor is it sent again.
func leavesParsedAlone(s *scene) {
	c := s.join()
	c.Put(fake.Msg('P', "", "SELECT 'well' FROM pg_sleep(0.4)", uint16(0)), fake.Msg('H'))
	c.Want("1")
	s.cancel(c)
	c.Put(fake.Msg('B', "", "", uint16(0), uint16(0), uint16(0)), fake.Msg('E', "", 0), fake.Msg('S'))
	if all := c.Want("2DCZ"); firstColumn(all[1].Body) != "well" {
		s.t.Errorf("%q", all)
	}
	if line := s.expect("late")[0]; !strings.Contains(line, " sends=1 ") {
		s.t.Error(line)
	}
	c.leave()
}

func cancelsInTransaction(s *scene) {
	c := s.join()
	c.Put(fake.Query("BEGIN"))
	c.Want("CZ")
	c.Put(fake.Query(sleeper))
	c.Want("N")
	s.cancel(c)
	s.cancelled(c, 'E')
	c.Put(fake.Query("SELECT 1"))
	c.WantError("25P02")
	c.Want("Z")
	c.Put(fake.Query("ROLLBACK"))
	c.Want("CZ")
	s.works(c)
	s.expect("cancelled")
	c.leave()
}

// A server that waits for COPY data hears of a cancel when data comes (as direct): the request is delivered and its
// sender let go before.
func cancelsCopyIn(s *scene) {
	s.ask("DELETE FROM kept")
	c := s.join()
	c.Put(fake.Query("COPY kept FROM STDIN"))
	c.Want("G")
	s.cancel(c)
	c.Put(fake.Msg('d', []byte("1\n")), fake.Msg('d', []byte("2\n")), fake.Msg('c'))
	s.cancelled(c, 'I')
	s.works(c)
	s.expect("cancelled")
	if n := s.ask("SELECT count(*) FROM kept"); n != "0" {
		s.t.Errorf("%s rows of a COPY that failed", n)
	}
	c.leave()
}

// A server that cannot get rid of its rows hears of a cancel when its reader reads on (F5).
func cancelsCopyOut(s *scene) {
	c := s.join()
	c.Put(fake.Query("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000000)) TO STDOUT"))
	c.Want("H")
	s.waitFor("a COPY that nobody reads", "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'ClientWrite' AND datname = current_database())")
	s.cancel(c)
	rows := 0
	for {
		m := c.Message()
		if m.Type == 'd' {
			rows++
			continue
		}
		if m.Type != 'E' || m.Field('C') != "57014" {
			s.t.Fatalf("behind %d rows came %q %q", rows, m.Type, m.Body)
		}
		break
	}
	c.Want("Z")
	s.works(c)
	s.expect("cancelled")
	c.leave()
}

func leavesIdleAlone(s *scene) {
	c := s.join()
	s.cancel(c)
	s.works(c)
	for range 20 {
		s.cancel(c)
		s.works(c)
	}
	s.expect(repeated("idle", 21)...)
	c.leave()
}

func repeated(word string, n int) []string { return strings.Fields(strings.Repeat(word+" ", n)) }

func leavesIdleTransactionAlone(s *scene) {
	s.ask("DELETE FROM kept")
	c := s.join()
	c.Put(fake.Query("BEGIN"), fake.Query("INSERT INTO kept VALUES (1)"))
	c.Want("CZCZ")
	s.cancel(c)
	c.Put(fake.Query("SELECT pg_sleep(0.02)"), fake.Query("COMMIT"))
	c.Want("TDCZCZ")
	s.expect("idle")
	if n := s.ask("SELECT count(*) FROM kept"); n != "1" {
		s.t.Errorf("%s rows, want the committed one", n)
	}
	c.leave()
}

// Many requests for one unit end it once. Those that come when it has ended mean nothing any more: the next unit goes
// out when they have all been read.
func joins(s *scene) {
	const many = 8
	c := s.join()
	for range 10 {
		c.Put(fake.Query(sleeper))
		c.Want("N")
		var senders sync.WaitGroup
		errs := make(chan error, many)
		for range many {
			nc, err := net.Dial("tcp", s.Addr())
			if err != nil {
				s.t.Fatal(err)
			}
			defer nc.Close()
			senders.Go(func() { errs <- knock(nc, c.pid, c.key) })
		}
		s.cancelled(c, 'I')
		senders.Wait()
		for range many {
			if err := <-errs; err != nil {
				s.t.Error(err)
			}
		}
		s.works(c)
		if lines := s.expect(repeated("cancelled|finished|idle", many)...); !strings.Contains(strings.Join(lines, ""), "outcome=cancelled") {
			s.t.Errorf("nobody cancelled: %q", lines)
		}
	}
	c.leave()
}

// Drivers that don't wait for the close: half-closed (tokio-postgres), closed (epgsql), reset.
func outlivesItsSender(s *scene) {
	c := s.join()
	for _, end := range []func(*net.TCPConn) error{
		(*net.TCPConn).CloseWrite, (*net.TCPConn).Close,
		func(nc *net.TCPConn) error { return nc.SetLinger(0) }, // and closed below
	} {
		c.Put(fake.Query(sleeper))
		c.Want("N")
		nc, err := net.Dial("tcp", s.Addr())
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := nc.Write(fake.Cancel(c.pid, c.key)); err != nil {
			s.t.Fatal(err)
		}
		if err := end(nc.(*net.TCPConn)); err != nil {
			s.t.Fatal(err)
		}
		s.cancelled(c, 'I')
		nc.Close()
		s.works(c)
		s.expect("cancelled")
	}
	c.leave()
}

func comesAfterRequests(s *scene) {
	c := s.join()
	for _, asks := range [][]uint32{{fake.SSLCode}, {fake.GSSCode}, {fake.GSSCode, fake.SSLCode}} {
		c.Put(fake.Query(sleeper))
		c.Want("N")
		k := fake.Dial(s.t, s.Addr())
		for _, code := range asks {
			k.Put(fake.Msg(0, code))
			if b := k.Byte(); b != 'N' {
				s.t.Errorf("%d was answered %q", code, b)
			}
		}
		k.Put(fake.Cancel(c.pid, c.key))
		k.WantEOF()
		s.cancelled(c, 'I')
		s.expect("cancelled")
	}
	c.leave()
}

func comesInPieces(s *scene) {
	c := s.join()
	c.Put(fake.Query(sleeper))
	c.Want("N")
	k := fake.Dial(s.t, s.Addr())
	for _, b := range fake.Cancel(c.pid, c.key) {
		k.Put([]byte{b})
	}
	k.WantEOF()
	s.cancelled(c, 'I')
	s.expect("cancelled")
	c.leave()
}

// holder is a client that has the pool's one server.
func (s *scene) holder() *joined {
	s.t.Helper()
	c := s.join()
	c.Put(fake.Query("BEGIN"))
	c.Want("CZ")
	return c
}

// release lets the holder finish, which nothing may have disturbed.
func (s *scene) release(c *joined) {
	s.t.Helper()
	c.Put(fake.Query("COMMIT"))
	if tag := c.Want("CZ")[0].Strings()[0]; tag != "COMMIT" {
		s.t.Errorf("the holder's COMMIT was answered %s", tag)
	}
	c.leave()
}

// A client that waits for the pool's one server is answered at once, and loses nothing but the unit.
func unqueuesQuery(s *scene) {
	holder, c := s.holder(), s.join()
	c.Put(fake.Query("SELECT 1"))
	s.cancel(c)
	s.cancelled(c, 'I')
	if line := s.expect("unqueued")[0]; !strings.Contains(line, " sends=0 ") {
		s.t.Error(line)
	}
	// Part of a body: the rest is dropped when it comes.
	long := fake.Query("SELECT '" + strings.Repeat("x", 100000) + "'")
	c.Put(long[:5])
	s.cancel(c)
	s.cancelled(c, 'I')
	c.Put(long[5:], fake.Query("SELECT 'behind'"))
	s.expect("unqueued")
	s.release(holder)
	if all := c.Want("TDCZ"); firstColumn(all[1].Body) != "behind" {
		s.t.Errorf("%q", all)
	}
	s.works(c)
	c.leave()
}

func unqueuesBatch(s *scene) {
	s.ask("DELETE FROM kept")
	holder, c := s.holder(), s.join()
	insert := unsynced("INSERT INTO kept VALUES (1)")
	c.Put(insert, fake.Msg('S'))
	s.cancel(c)
	s.cancelled(c, 'I')
	s.expect("unqueued")
	c.Put(insert, fake.Msg('H')) // its Sync is still to come
	s.cancel(c)
	c.WantError("57014")
	c.Put(insert, fake.Msg('S'))
	c.Want("Z")
	s.expect("unqueued")
	s.release(holder)
	s.works(c)
	if n := s.ask("SELECT count(*) FROM kept"); n != "0" {
		s.t.Errorf("%s rows of cancelled batches", n)
	}
	c.leave()
}

// What waits behind a BEGIN would run outside of the transaction if only the BEGIN were cancelled (trap A6).
func unqueuesBegin(s *scene) {
	s.ask("DELETE FROM kept")
	holder, c := s.holder(), s.join()
	insert := "INSERT INTO kept VALUES (1)"
	for _, units := range [][][]byte{
		{fake.Query("BEGIN"), fake.Query(insert)},
		{fake.Query("/* to begin with */ start transaction"), fake.Query(insert), fake.Query(insert)},
		{batch("BEGIN"), batch(insert)},
		{fake.Query("BEGIN; " + insert), fake.Query(insert)},
	} {
		c.Put(units...)
		s.cancel(c)
		for range units {
			s.cancelled(c, 'I')
		}
		s.expect("unqueued")
	}
	c.Put(fake.Query(insert), fake.Query("SELECT 'behind'")) // no BEGIN: only the first is meant
	s.cancel(c)
	s.cancelled(c, 'I')
	s.expect("unqueued")
	s.release(holder)
	c.Want("TDCZ")
	if n := s.ask("SELECT count(*) FROM kept"); n != "0" {
		s.t.Errorf("%s rows of cancelled transactions", n)
	}
	s.works(c)
	c.leave()
}

// A cancel that is sent when its unit has just ended does nothing to the next.
func comesLate(s *scene) {
	const rounds = 30
	c := s.join()
	for range rounds {
		c.Put(fake.Query("SELECT 1"))
		c.Want("TDCZ")
		s.cancel(c)
		s.works(c)
	}
	s.expect(repeated("idle|finished", rounds)...)
	c.leave()
}

func departedKeyIsDead(s *scene) {
	gone := s.join()
	s.works(gone)
	gone.leave()
	s.AwaitLog(fmt.Sprintf(`msg="client left" pid=%d `, gone.pid))
	c := s.join()
	c.Put(fake.Query("SELECT 'mine' FROM pg_sleep(0.3)"))
	c.Want("T")
	s.cancel(gone)
	c.Want("DCZ")
	s.expect("unknown_key")
	c.leave()
}

// Keys that nobody has end in silence and a FIN, and harm nobody (R6).
func wrongKeysAreSilent(s *scene) {
	c := s.join()
	c.Put(fake.Query(sleeper))
	c.Want("N")
	flipped := append([]byte(nil), c.key...)
	flipped[len(flipped)-1] ^= 1
	for _, k := range []struct {
		name    string
		pid     uint32
		key     []byte
		outcome string
	}{
		{"one bit off", c.pid, flipped, "unknown_key|forged"},
		{"zero", c.pid, make([]byte, len(c.key)), "unknown_key|forged|malformed"},
		{"no client's pid", c.pid + 1000, c.key, "unknown_key|forged"},
		{"pid and key zero", 0, make([]byte, 4), "unknown_key|malformed"},
		{"negative pid", c.pid | 1<<31, c.key, "unknown_key|forged"},
		{"a server's pid", 4711, c.key, "unknown_key|forged"},
		{"none: 12 bytes", c.pid, nil, "malformed|unknown_key"},
		{"too short", c.pid, c.key[:3], "malformed|unknown_key"},
		{"cut", c.pid, c.key[:len(c.key)-1], "malformed|unknown_key"},
		{"one byte more", c.pid, append(append([]byte(nil), c.key...), 0), "malformed|unknown_key"},
		{"the other protocol's length", c.pid, make([]byte, 36-len(c.key)), "unknown_key|forged|malformed"},
		{"longest", c.pid, make([]byte, 256), "malformed|unknown_key"},
		{"too long", c.pid, make([]byte, 257), "malformed"},
		{"much too long", c.pid, make([]byte, 9000), "malformed"},
	} {
		began := time.Now()
		fake.SendCancel(s.t, s.Addr(), k.pid, k.key)
		if took := time.Since(began); took > soon {
			s.t.Errorf("%s: closed after %s", k.name, took)
		}
		if line := s.expect(k.outcome)[0]; !strings.Contains(line, " sends=0 ") {
			s.t.Errorf("%s: %s", k.name, line)
		}
	}
	s.cancel(c) // which shows that it ran all the time
	s.cancelled(c, 'I')
	s.expect("cancelled")
	c.leave()
}

// A cancel right behind its query: PostgreSQL swallows a signal that comes before it has read the query, so it is sent
// again where the unit still runs.
func chasesItsQuery(s *scene) {
	const rounds = 150
	c := s.join()
	resent := 0
	for range rounds {
		k := fake.Dial(s.t, s.Addr())
		c.Put(fake.Query("SELECT pg_sleep(600)"))
		k.Put(fake.Cancel(c.pid, c.key))
		all := append(c.Until("E"), c.Want("Z")...)
		if types := fake.Types(all); types != "TEZ" && types != "EZ" || all[len(all)-2].Field('C') != "57014" {
			s.t.Fatalf("answered %q", types)
		}
		k.WantEOF()
		k.Close()
	}
	for _, line := range s.expect(repeated("cancelled|unqueued", rounds)...) {
		if !strings.Contains(line, " sends=1 ") && !strings.Contains(line, " sends=0 ") {
			resent++
		}
	}
	s.works(c)
	if resent > 0 {
		s.t.Logf("%d of %d were sent again", resent, rounds)
	}
	c.leave()
}

// A client that is lost in the middle of a statement ends it on the server, and what it had open is rolled back; the
// next one works.
func endsForLostClient(s *scene) {
	const busy = "EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND datname = current_database())"
	s.ask("DELETE FROM kept")
	for _, reset := range []bool{false, true} {
		c := s.join()
		c.Put(fake.Query("BEGIN"), fake.Query("INSERT INTO kept VALUES (1)"), fake.Query("SELECT pg_sleep(600)"))
		c.Want("CZCZ")
		s.waitFor("a statement that can be ended", busy)
		if reset {
			if err := c.Conn.(*net.TCPConn).SetLinger(0); err != nil {
				s.t.Fatal(err)
			}
		}
		c.Close()
		began := time.Now()
		s.waitFor("the end of a lost client's statement", "NOT "+busy)
		if took := time.Since(began); took > soon {
			s.t.Errorf("a lost client's statement ran on for %s", took)
		}
		if line := s.expect("cancelled")[0]; !strings.Contains(line, "origin=cancello") {
			s.t.Error(line)
		}
		next := s.join()
		s.works(next)
		next.leave()
	}
	if n := s.ask("SELECT count(*) FROM kept"); n != "0" {
		s.t.Errorf("%s rows of lost clients", n)
	}
}
