package test

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"cancello/internal/engine"
	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
	"cancello/internal/postgres"
)

// vanishing is a place where clients and servers go away: one server behind the gate, a table to leave traces in, and
// somebody who looks past the gate.
type vanishing struct {
	*testing.T
	cluster *postgres.Cluster
	gate    *gate
	table   string
	su      *raw
}

func newVanishing(t *testing.T, major int, mode string) *vanishing {
	t.Helper()
	c := pgtest.Start(t, major)
	v := &vanishing{T: t, cluster: c, table: "va_" + mode}
	v.su = login(t, direct(c).Addr(), "postgres", "postgres")
	v.su.value("DROP TABLE IF EXISTS " + v.table)
	v.su.value("CREATE TABLE " + v.table + " (n int primary key)")
	v.gate = startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: mode, size: 1,
		set: []string{"server_ghost_time=100ms"}}) // a server that was closed in the middle counts against the size that long
	return v
}

// join lets a client in.
func (v *vanishing) join() *raw {
	v.Helper()
	return login(v.T, v.gate.Addr(), "postgres", "postgres")
}

// empty says that nothing of the client that has gone is left: no row, no lock, and the pool's one server works for
// the next client. The next insert would wait for the lock if there was one.
func (v *vanishing) empty() {
	v.Helper()
	next := v.join()
	next.value("INSERT INTO " + v.table + " VALUES (1)")
	if n := next.value("SELECT count(*) FROM " + v.table); n != "1" {
		v.Errorf("%s rows, want the next client's one", n)
	}
	if n := v.su.value("SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE c.relname = '" + v.table + "'"); n != "0" {
		v.Errorf("%s locks are left on the table", n)
	}
	next.value("DELETE FROM " + v.table)
	next.send(fake.Msg('X'))
	next.ended()
}

// batchOf is a Parse, Bind and Execute of a statement, without Sync.
func batchOf(sql string) []byte {
	return fake.Join(fake.Msg('P', "", sql, uint16(0)), fake.Msg('B', "", "", uint16(0), uint16(0), uint16(0)), fake.Msg('E', "", 0))
}

// A client that vanishes without a word leaves nothing behind that a direct connection would not.
func TestClientLoss(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		v := newVanishing(t, major, mode)
		insert := "INSERT INTO " + v.table + " VALUES (1)"
		copyIn := "COPY " + v.table + " FROM STDIN"
		half := fake.Msg('d', []byte("1\n2\n3\n"))[:8]
		slow := "INSERT INTO " + v.table + " SELECT 1 FROM pg_sleep(600)"
		for _, loss := range []struct {
			name string
			send [][]byte
			wait string // what is awaited before the client goes
			runs bool   // wait until the server sleeps
		}{
			{"transaction", [][]byte{fake.Query("BEGIN"), fake.Query(insert)}, "CC", false},
			{"failed transaction", [][]byte{fake.Query("BEGIN"), fake.Query(insert), fake.Query("SELECT 1/0")}, "CCE", false},
			{"open batch", [][]byte{batchOf(insert), fake.Msg('H')}, "C", false},
			{"open batch, nothing asked for", [][]byte{fake.Query("BEGIN"), fake.Query(insert), batchOf("SELECT 1")}, "CC", false},
			{"failed batch", [][]byte{batchOf(insert), batchOf("SELECT 1/0"), fake.Msg('H')}, "CE", false},
			{"batch in a transaction", [][]byte{fake.Query("BEGIN"), batchOf(insert), fake.Msg('H')}, "CC", false},
			{"copy", [][]byte{fake.Query(copyIn), fake.Msg('d', []byte("1\n2\n"))}, "G", false},
			{"copy in a batch", [][]byte{batchOf(copyIn), fake.Msg('S'), fake.Msg('d', []byte("1\n"))}, "G", false},
			{"copy in a transaction", [][]byte{fake.Query("BEGIN"), fake.Query(insert), fake.Query(copyIn), fake.Msg('d', []byte("2\n"))}, "CCG", false},
			{"within a message", [][]byte{fake.Query(copyIn), half}, "G", false},
			{"within the first message", [][]byte{fake.Query(insert)[:20]}, "", false},
			{"within a message in a transaction", [][]byte{fake.Query("BEGIN"), fake.Query(insert), fake.Query("COMMIT")[:8]}, "CC", false},
			{"query", [][]byte{fake.Query(slow)}, "", true},
			{"query in a transaction", [][]byte{fake.Query("BEGIN"), fake.Query(slow), fake.Query("COMMIT")}, "C", true},
			{"batch", [][]byte{batchOf(slow), fake.Msg('S')}, "", true},
			{"result", [][]byte{fake.Query("BEGIN"), fake.Query(insert), fake.Query("SELECT repeat('x', 10000000) FROM generate_series(1, 20)")}, "CCD", false},
			{"copy out", [][]byte{fake.Query("COPY (SELECT repeat('x', 10000000) FROM generate_series(1, 20)) TO STDOUT")}, "d", false},
		} {
			t.Run(loss.name, func(t *testing.T) {
				v := *v
				v.T = t
				v.su.value("TRUNCATE " + v.table)
				c := v.join()
				c.send(loss.send...)
				for i := range len(loss.wait) {
					c.until(loss.wait[i : i+1])
				}
				if loss.runs {
					awaitSleep(t, v.cluster, v.table)
				}
				c.reset()
				v.empty()
				if loss.runs {
					awaitNoSleep(t, v.cluster, v.table)
				}
			})
		}
	})
}

// What a client asked for in order before it said goodbye is done, as on a direct connection, whether it stays to hear
// of it or not; what it left open is not.
func TestTerminate(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		v := newVanishing(t, major, mode)
		insert := "INSERT INTO " + v.table + " VALUES (%d)"
		bye := fake.Msg('X')
		for i, leave := range []struct {
			name string
			send [][]byte
			done bool
		}{
			{"query", [][]byte{fake.Query(fmt.Sprintf(insert, 0))}, true},
			{"batch", [][]byte{batchOf(fmt.Sprintf(insert, 1)), fake.Msg('S')}, true},
			{"slow query", [][]byte{fake.Query("SELECT pg_sleep(0.3)"), fake.Query(fmt.Sprintf(insert, 2))}, true},
			{"transaction", [][]byte{fake.Query("BEGIN"), fake.Query(fmt.Sprintf(insert, 3)), fake.Query("COMMIT")}, true},
			{"open transaction", [][]byte{fake.Query("BEGIN"), fake.Query(fmt.Sprintf(insert, 4))}, false},
			{"open batch", [][]byte{batchOf(fmt.Sprintf(insert, 5))}, false},
			{"open copy", [][]byte{fake.Query("COPY " + v.table + " FROM STDIN"), fake.Msg('d', []byte("6\n"))}, false},
			{"large result", [][]byte{fake.Query("SELECT repeat('x', 5000000)"), fake.Query(fmt.Sprintf(insert, 7))}, true},
		} {
			for _, waits := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s waits %v", leave.name, waits), func(t *testing.T) {
					v := *v
					v.T = t
					v.su.value("TRUNCATE " + v.table)
					var holder *raw
					c := v.join()
					if waits { // for the one server
						holder = v.join()
						holder.value("BEGIN")
					}
					c.send(append(leave.send, bye)...)
					c.nc.Close() // a client with unread input resets, one without sends FIN: either may be
					if holder != nil {
						holder.value("COMMIT")
						holder.send(bye)
						holder.ended()
					}
					marker := v.join() // comes after it in the line
					marker.value("SELECT 1")
					count := func() string { return v.su.value(fmt.Sprintf("SELECT count(*) FROM %s WHERE n = %d", v.table, i)) }
					if leave.done {
						until(t, "what was asked for is done", func() bool { return count() == "1" })
					} else if count() != "0" {
						t.Error("what was left open was committed")
					}
					marker.send(bye)
					marker.ended()
				})
			}
		}
	})
}

// terminateBackend ends the pool's server from outside, as an administrator does, and waits until it has gone.
func (v *vanishing) terminateBackend(pid string) {
	v.Helper()
	v.su.value("SELECT pg_terminate_backend(" + pid + ")")
	until(v.T, "the backend has gone", func() bool {
		return v.su.value("SELECT count(*) FROM pg_stat_activity WHERE pid = "+pid) == "0"
	})
}

// A server that goes away at rest is nobody's loss, but its client's who had it for itself.
func TestServerLossIdle(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		v := newVanishing(t, major, mode)
		c := v.join()
		pid := c.value("SELECT pg_backend_pid()")
		v.terminateBackend(pid)
		if mode == "session" {
			said := c.ended()
			if fake.Types(said) != "E" || said[0].Field('C') != "57P01" || said[0].Field('S') != "FATAL" {
				t.Errorf("the client heard %s", summary(said))
			}
			c = v.join()
		}
		if again := c.value("SELECT pg_backend_pid()"); again == pid {
			t.Error("the same server")
		}
	})
}

// A server that goes away within a transaction or batch takes its client along, as directly: what follows would run
// outside of it. So it does in session mode. Otherwise the client is told that nothing is known and goes on.
func TestServerLossBusy(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		v := newVanishing(t, major, mode)
		insert := "INSERT INTO " + v.table + " VALUES (1)"
		slow := fake.Query("SELECT pg_sleep(600) AS " + v.table)
		for _, loss := range []struct {
			name   string
			before [][]byte
			wait   string
			during []byte // what runs when the server goes; nil: nothing
			goesOn bool   // in transaction mode
		}{
			{"query", nil, "", slow, true},
			{"batch", nil, "", fake.Join(batchOf("SELECT pg_sleep(600) AS "+v.table), fake.Msg('S')), true},
			{"pipeline", nil, "", fake.Join(slow, fake.Query(insert)), false},
			{"idle in transaction", [][]byte{fake.Query("BEGIN"), fake.Query(insert)}, "CC", nil, false},
			{"query in transaction", [][]byte{fake.Query("BEGIN"), fake.Query(insert)}, "CC", slow, false},
			{"failed transaction", [][]byte{fake.Query("BEGIN"), fake.Query("SELECT 1/0")}, "CE", nil, false},
			{"open batch", [][]byte{batchOf(insert), fake.Msg('H')}, "C", nil, false},
			{"copy", [][]byte{fake.Query("COPY " + v.table + " FROM STDIN")}, "G", fake.Msg('d', []byte("1\n")), true},
		} {
			t.Run(loss.name, func(t *testing.T) {
				v := *v
				v.T = t
				v.su.value("TRUNCATE " + v.table)
				c := v.join()
				pid := c.value("SELECT pg_backend_pid()")
				c.send(loss.before...)
				for i := range len(loss.wait) {
					c.until(loss.wait[i : i+1])
				}
				if len(loss.before) > 1 && loss.name != "open batch" {
					c.until("Z")
				}
				c.send(loss.during)
				if loss.during != nil && loss.wait != "G" {
					awaitSleep(t, v.cluster, v.table)
				}
				v.terminateBackend(pid)
				if mode == "transaction" && loss.goesOn {
					said := c.until("Z")
					e := said[len(said)-2]
					if e.Type != 'E' || e.Field('C') != "08007" || e.Field('S') != "ERROR" || string(said[len(said)-1].Body) != "I" {
						t.Errorf("the client heard %s", summary(said))
					}
					if loss.wait == "G" { // the rest of the data is on its way already
						c.send(fake.Msg('d', []byte("1\n")), fake.Msg('c'))
					}
					c.value(insert)
					c.send(fake.Msg('X'))
					c.ended()
					return
				}
				said := c.ended()
				if n := len(said); n == 0 || said[n-1].Type != 'E' || said[n-1].Field('S') != "FATAL" {
					t.Fatalf("the client heard %s", summary(said))
				}
				if e := said[len(said)-1]; e.Field('C') != "57P01" && loss.wait != "G" {
					t.Errorf("%s, want the server's own 57P01", errorText(e))
				}
				v.empty()
			})
		}
	})
}

// PostgreSQL is killed, and stopped and started again, under a pool that is in use. Clients at rest notice nothing in
// transaction mode; whoever asks while it is away is told so, and later answered.
func TestRestart(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			c := pgtest.Start(t, major, pgtest.Private())
			g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: 3,
				set: []string{"server_connect_timeout=3s"}})
			var idle []*raw
			for range 5 {
				cl := login(t, g.Addr(), "postgres", "postgres")
				cl.value("SELECT 1")
				idle = append(idle, cl)
			}
			if err := c.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, cl := range idle {
				cl.value("SELECT 1")
			}
			busy := login(t, g.Addr(), "postgres", "postgres")
			busy.value("BEGIN")
			if err := c.Kill(); err != nil {
				t.Fatal(err)
			}
			if said := busy.ended(); len(said) == 0 || said[len(said)-1].Field('S') != "FATAL" {
				t.Errorf("in a transaction: %s", summary(said))
			}
			if code, text := idle[0].fails("SELECT 1"); code != "08006" {
				t.Errorf("while it is away: %s %s", code, text)
			}
			if code, text := idle[0].fails("SELECT 2"); code != "08006" {
				t.Errorf("while it is away: %s %s", code, text)
			}
			if err := c.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, cl := range idle {
				cl.value("SELECT 1")
			}
			crash(t, c, g, idle)
		})
	}
}

// crash kills one backend, upon which PostgreSQL throws out all others and recovers. Clients at rest get over it.
func crash(t *testing.T, c *postgres.Cluster, g *gate, idle []*raw) {
	t.Helper()
	ready := func() int { return strings.Count(c.Log(), "ready to accept connections") }
	before := ready()
	busy := login(t, g.Addr(), "postgres", "postgres")
	busy.value("BEGIN")
	pid, err := strconv.Atoi(busy.value("SELECT pg_backend_pid()"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if said := busy.ended(); len(said) == 0 || said[len(said)-1].Field('S') != "FATAL" {
		t.Errorf("in a transaction: %s", summary(said))
	}
	until(t, "PostgreSQL has recovered", func() bool { return ready() > before }) // it may be late to see that one is gone
	until(t, "clients notice it", func() bool {
		said := idle[0].query("SELECT 1")
		if e := said[0]; e.Type == 'E' && e.Field('S') != "ERROR" {
			t.Fatalf("at rest: %s", summary(said))
		}
		return said[0].Type == 'T'
	})
	for _, cl := range idle {
		cl.value("SELECT 1")
	}
	login(t, g.Addr(), "postgres", "postgres").value("SELECT 1")
}

// The control: with the bug that ends a lost client's batch by a bare Sync, what it left open is committed, and would
// be seen.
func TestClientLossIsSeen(t *testing.T) {
	c := pgtest.Start(t, 18)
	su := login(t, direct(c).Addr(), "postgres", "postgres")
	su.value("DROP TABLE IF EXISTS va_control")
	su.value("CREATE TABLE va_control (n int)")
	g := startInProcess(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: 1}, engine.BugSyncCommitsDeparted)
	cl := login(t, g.Addr(), "postgres", "postgres")
	cl.send(batchOf("INSERT INTO va_control VALUES (1)"), fake.Msg('H'))
	cl.until("C")
	cl.reset()
	until(t, "the open batch is committed", func() bool { return su.value("SELECT count(*) FROM va_control") == "1" })
}
