package test

import (
	"testing"

	"cancello/internal/pgtest/fake"
)

// timely is a vanishing place with limits set, and one server that has to be the same one at the end.
func timely(t *testing.T, major int, mode string, set ...string) (v *vanishing, pid string) {
	t.Helper()
	v = newVanishing(t, major, mode)
	v.gate = startGate(t, gateOptions{upstreams: []string{upstream(v.cluster, "postgres", "postgres")}, mode: mode, size: 1, set: set})
	c := v.join()
	pid = c.value("SELECT pg_backend_pid()")
	c.send(fake.Msg('X'))
	c.ended()
	return v, pid
}

// same says that the pool's server is the one it had, and that nothing of its last client is left.
func (v *vanishing) same(pid string) {
	v.Helper()
	v.empty()
	next := v.join()
	if now := next.value("SELECT pg_backend_pid()"); now != pid {
		v.Errorf("the server is another one: %s, was %s", now, pid)
	}
	next.send(fake.Msg('X'))
	next.ended()
}

// fatal says that a client was closed with a FATAL of that code, behind whatever else it was told.
func (v *vanishing) fatal(c *raw, code string) {
	v.Helper()
	said := c.ended()
	if n := len(said); n == 0 || said[n-1].Type != 'E' || said[n-1].Field('S') != "FATAL" || said[n-1].Field('C') != code {
		v.Errorf("the client heard %s, want FATAL %s at the end", summary(said), code)
	}
}

// query_timeout ends a query in PostgreSQL. The client is told and goes on, in its transaction if it has one; what it did
// is not there.
func TestQueryTimeout(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		v, pid := timely(t, major, mode, "query_timeout=200ms")
		slow := "INSERT INTO " + v.table + " SELECT 1 FROM pg_sleep(600)"
		c := v.join()
		if code, _ := c.fails(slow); code != "57014" {
			t.Errorf("a query ended with %s", code)
		}
		awaitNoSleep(t, v.cluster, v.table)
		c.send(batchOf(slow), fake.Msg('S'))
		if said := c.until("Z"); fake.Types(said) != "12EZ" || said[2].Field('C') != "57014" {
			t.Errorf("a batch was answered %s", summary(said))
		}
		c.value("BEGIN")
		if code, _ := c.fails(slow); code != "57014" {
			t.Errorf("a query in a transaction ended with %s", code)
		}
		if code, _ := c.fails("SELECT 1"); code != "25P02" {
			t.Errorf("the transaction goes on: %s", code)
		}
		c.value("ROLLBACK")
		if now := c.value("SELECT pg_backend_pid()"); now != pid {
			t.Errorf("the server is another one: %s, was %s", now, pid)
		}
		c.send(fake.Msg('X'))
		c.ended()
		v.same(pid)
		v.gate.AwaitLog(`msg=cancel outcome=cancelled .*origin=cancello cause=query_timeout`)
	})
}

// idle_transaction_timeout closes a client that lets a transaction or a batch lie, and rolls it back; the server is kept.
// So does client_idle_timeout outside of one.
func TestIdleTimeouts(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		v, pid := timely(t, major, mode, "idle_transaction_timeout=200ms", "client_idle_timeout=400ms")
		insert := "INSERT INTO " + v.table + " VALUES (1)"
		for _, idle := range []struct {
			name string
			send [][]byte
			wait string
			code string
		}{
			{"transaction", [][]byte{fake.Query("BEGIN"), fake.Query(insert)}, "ZZ", "25P03"},
			{"failed transaction", [][]byte{fake.Query("BEGIN"), fake.Query(insert), fake.Query("SELECT 1/0")}, "ZZZ", "25P03"},
			{"batch", [][]byte{batchOf(insert), fake.Msg('H')}, "C", "25P03"},
			{"batch, nothing asked for", [][]byte{batchOf(insert)}, "", "25P03"},
			{"failed batch", [][]byte{batchOf(insert), batchOf("SELECT 1/0")}, "E", "25P03"},
			{"batch in a transaction", [][]byte{fake.Query("BEGIN"), batchOf(insert), fake.Msg('H')}, "ZC", "25P03"},
			{"outside", [][]byte{fake.Query("SELECT 1")}, "Z", "57P05"},
			{"from the start", nil, "", "57P05"},
		} {
			t.Run(idle.name, func(t *testing.T) {
				v := *v
				v.T = t
				v.su.value("TRUNCATE " + v.table)
				c := v.join()
				c.send(idle.send...)
				for i := range len(idle.wait) {
					c.until(idle.wait[i : i+1])
				}
				v.fatal(c, idle.code)
				v.same(pid)
			})
		}
		t.Run("one that works", func(t *testing.T) {
			c := login(t, v.gate.Addr(), "postgres", "postgres")
			c.value("BEGIN")
			c.value("SELECT pg_sleep(0.5)")
			c.send(batchOf("SELECT pg_sleep(0.5)"), fake.Msg('H'))
			c.until("C")
			c.send(fake.Msg('S'))
			c.until("Z")
			c.value("COMMIT")
		})
	})
}

// transaction_timeout ends what runs, then the client; the transaction is rolled back, and the server kept.
func TestTransactionTimeout(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		v, pid := timely(t, major, mode, "transaction_timeout=300ms")
		insert := "INSERT INTO " + v.table + " VALUES (1)"
		slow := "INSERT INTO " + v.table + " SELECT 2 FROM pg_sleep(600)"
		for _, tx := range []struct {
			name string
			send [][]byte
			told string // but for the FATAL at the end
		}{
			{"nothing runs", [][]byte{fake.Query("BEGIN"), fake.Query(insert)}, "CZCZ"},
			{"a query runs", [][]byte{fake.Query("BEGIN"), fake.Query(insert), fake.Query(slow)}, "CZCZEZ"},
			{"a batch runs", [][]byte{fake.Query("BEGIN"), batchOf(slow), fake.Msg('S')}, "CZ12EZ"},
			{"a batch is open", [][]byte{batchOf(insert), fake.Msg('H')}, "12C"},
			{"one statement", [][]byte{fake.Query(slow)}, "EZ"},
		} {
			t.Run(tx.name, func(t *testing.T) {
				v := *v
				v.T = t
				v.su.value("TRUNCATE " + v.table)
				c := v.join()
				c.send(tx.send...)
				said := c.ended()
				if types := fake.Types(said); types != tx.told+"E" || said[len(said)-1].Field('C') != "25P04" || said[len(said)-1].Field('S') != "FATAL" {
					t.Errorf("the client heard %s", summary(said))
				}
				awaitNoSleep(t, v.cluster, v.table)
				v.same(pid)
			})
		}
	})
}

// query_wait_notify tells a client that it waits, once, before its answer.
func TestQueryWaitNotify(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		v, _ := timely(t, major, mode, "query_wait_notify=100ms")
		holder, c := v.join(), v.join()
		holder.value("BEGIN")
		c.send(fake.Query("SELECT 1"))
		notice := c.until("N")
		if n := notice[len(notice)-1]; n.Field('S') != "NOTICE" || n.Field('M') != "No server connection available in postgres backend, client being queued" {
			t.Errorf("the client heard %s", n.Body)
		}
		holder.value("SELECT pg_sleep(0.3)")
		holder.value("COMMIT")
		holder.send(fake.Msg('X'))
		if said := c.until("Z"); fake.Types(said) != "TDCZ" {
			t.Errorf("the client heard %s", summary(said))
		}
	})
}
