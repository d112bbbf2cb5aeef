package test

import (
	"encoding/binary"
	"strconv"
	"syscall"
	"testing"
	"time"

	"cancello/internal/pgtest/fake"
)

// on_client_loss = wait lets a query end whose client has vanished, as PostgreSQL does on a direct connection, but no longer
// than client_loss_timeout. close leaves it to PostgreSQL to notice.
func TestLossPolicy(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		t.Run("wait", func(t *testing.T) {
			v, pid := timely(t, major, mode, "on_client_loss=wait", "client_loss_timeout=1h")
			c := v.join()
			c.send(fake.Query("INSERT INTO " + v.table + " SELECT 7 FROM pg_sleep(0.5)"))
			awaitSleep(t, v.cluster, v.table)
			c.reset()
			until(t, "it is done", func() bool { return v.su.value("SELECT count(*) FROM "+v.table+" WHERE n = 7") == "1" })
			v.su.value("TRUNCATE " + v.table)
			c = v.join()
			c.send(fake.Query("BEGIN"), fake.Query("INSERT INTO "+v.table+" SELECT 8 FROM pg_sleep(0.5)"))
			awaitSleep(t, v.cluster, v.table)
			c.reset()
			v.same(pid) // rolled back when it has ended
		})
		t.Run("wait no longer", func(t *testing.T) {
			v, pid := timely(t, major, mode, "on_client_loss=wait", "client_loss_timeout=200ms")
			c := v.join()
			c.send(fake.Query("INSERT INTO " + v.table + " SELECT 7 FROM pg_sleep(600)"))
			awaitSleep(t, v.cluster, v.table)
			c.reset()
			awaitNoSleep(t, v.cluster, v.table)
			v.same(pid)
			v.gate.AwaitLog(`msg=cancel outcome=cancelled .*cause=client_loss_timeout`)
		})
		if mode == "session" {
			return // PostgreSQL takes its time to notice a close, in any mode
		}
		t.Run("close", func(t *testing.T) {
			v, pid := timely(t, major, mode, "on_client_loss=close", "server_ghost_time=100ms")
			c := v.join()
			c.send(fake.Query("INSERT INTO " + v.table + " SELECT 7 FROM pg_sleep(600)"))
			awaitSleep(t, v.cluster, v.table)
			c.reset()
			v.gate.AwaitLog(`msg="server closed" .*on_client_loss = close`)
			next := v.join()
			if now := next.value("SELECT pg_backend_pid()"); now == pid {
				t.Error("the server works on for somebody else")
			}
			awaitNoSleep(t, v.cluster, v.table) // client_connection_check_interval
			v.gate.Stop()
		})
	})
}

// A drain does not wait longer than shutdown_timeout: what runs is cancelled in PostgreSQL, what is open is rolled back,
// who is there is told, and the process ends.
func TestShutdownTimeout(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		v := newVanishing(t, major, mode)
		v.gate = startGate(t, gateOptions{upstreams: []string{upstream(v.cluster, "postgres", "postgres")}, mode: mode, size: 3, set: []string{"shutdown_timeout=300ms"}})
		insert := "INSERT INTO " + v.table + " VALUES (1)"
		runs, opened, waits := v.join(), v.join(), v.join()
		opened.value("BEGIN")
		opened.value(insert)
		runs.send(fake.Query("INSERT INTO " + v.table + " SELECT 2 FROM pg_sleep(600)"))
		awaitSleep(t, v.cluster, v.table)
		waits.send(batchOf("SELECT 1"), fake.Msg('H'))
		waits.until("C")
		if err := v.gate.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*raw{runs, opened, waits} {
			v.fatal(c, "57P01")
		}
		select {
		case <-v.gate.done:
		case <-time.After(patience):
			t.Fatal("the process does not end")
		}
		awaitNoSleep(t, v.cluster, v.table)
		if n := v.su.value("SELECT count(*) FROM " + v.table); n != "0" {
			t.Errorf("%s rows are left", n)
		}
	})
}

// CANCEL at the console ends in PostgreSQL what a client runs; the client goes on, on the same server.
func TestConsoleCancel(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		v, pid := timely(t, major, mode, "admin_users=postgres")
		admin := login(t, v.gate.Addr(), "postgres", "cancello")
		c := v.join()
		id := ""
		for _, m := range c.got {
			if m.Type == 'K' {
				id = strconv.Itoa(int(binary.BigEndian.Uint32(m.Body)))
			}
		}
		if code, text := admin.fails("CANCEL " + id); code != "55000" || text != "client "+id+" runs nothing" {
			t.Errorf("idle: %s %s", code, text)
		}
		c.value("BEGIN")
		c.send(fake.Query("INSERT INTO " + v.table + " SELECT 1 FROM pg_sleep(600)"))
		awaitSleep(t, v.cluster, v.table)
		if said := admin.query("CANCEL " + id); fake.Types(said) != "CZ" {
			t.Errorf("the console says %s", summary(said))
		}
		said := c.until("Z")
		if fake.Types(said) != "EZ" || said[0].Field('C') != "57014" || string(said[1].Body) != "E" {
			t.Errorf("the client heard %s", summary(said))
		}
		awaitNoSleep(t, v.cluster, v.table)
		c.value("ROLLBACK")
		if now := c.value("SELECT pg_backend_pid()"); now != pid {
			t.Errorf("the server is another one: %s, was %s", now, pid)
		}
		v.gate.AwaitLog(`msg=cancel outcome=cancelled .*origin=cancello cause=CANCEL`)
		c.send(fake.Query("INSERT INTO " + v.table + " SELECT 1 FROM pg_sleep(600)"))
		awaitSleep(t, v.cluster, v.table)
		if said := admin.query("KILL_CLIENT " + id); fake.Types(said) != "CZ" {
			t.Errorf("the console says %s", summary(said))
		}
		v.fatal(c, "57P01")
		awaitNoSleep(t, v.cluster, v.table)
		v.same(pid)
	})
}
