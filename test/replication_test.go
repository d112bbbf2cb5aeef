package test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
	"cancello/internal/postgres"
)

// replicating is a cluster that can be replicated, and a gate that lets any database name in: a client of physical
// replication says "replication" where it is not told otherwise.
func replicating(t *testing.T, major int, mode string, size int) (*postgres.Cluster, *gate) {
	c := pgtest.Start(t, major, pgtest.Settings(map[string]string{"wal_level": "logical", "max_wal_senders": "10", "max_replication_slots": "10"}))
	return c, startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "")}, mode: mode, size: size})
}

// walsender logs in with a replication parameter; the key is for SendCancel.
func walsender(t *testing.T, g *gate, database string, params ...string) (cl *raw, pid uint32, key []byte) {
	t.Helper()
	cl = dialRaw(t, g.Addr())
	cl.send(fake.Startup(fake.V30, append([]string{"user", "postgres", "database", database}, params...)...))
	cl.listen()
	for _, m := range cl.until("ZE") {
		switch m.Type {
		case 'E':
			t.Fatalf("login: %s", errorText(m))
		case 'K':
			pid, key = binary.BigEndian.Uint32(m.Body), m.Body[4:]
		}
	}
	return cl, pid, key
}

// awaitData reads COPY data until one has the text.
func (c *raw) awaitData(text string) {
	c.t.Helper()
	for {
		for _, m := range c.until("dE") {
			if m.Type == 'E' {
				c.t.Fatal(errorText(m))
			}
			if m.Type == 'd' && bytes.Contains(m.Body, []byte(text)) {
				return
			}
		}
	}
}

// A client of logical replication has a walsender of its own in every mode: changes come, answers go, SQL runs, and a
// cancel ends the stream alone. When it leaves, its server is gone and others have theirs.
func TestLogicalReplication(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		c, g := replicating(t, major, mode, 2)
		su := login(t, direct(c).Addr(), "postgres", "postgres")
		su.value("CREATE TABLE re_t (v text); CREATE PUBLICATION re_p FOR TABLE re_t")
		other := login(t, g.Addr(), "postgres", "postgres")
		pid := other.value("SELECT pg_backend_pid()")
		cl, key, secret := walsender(t, g, "postgres", "replication", "database", "application_name", "re standby", "options", "-c statement_timeout=77s")
		if got := cl.value("SHOW statement_timeout"); got != "77s" {
			t.Errorf("statement_timeout = %s", got)
		}
		if cl.value("IDENTIFY_SYSTEM") == "" {
			t.Error("IDENTIFY_SYSTEM says nothing")
		}
		if mine := cl.value("SELECT pg_backend_pid()"); mine == pid {
			t.Error("a walsender is shared")
		}
		cl.value("CREATE_REPLICATION_SLOT re_s LOGICAL pgoutput")
		start := fake.Query("START_REPLICATION SLOT re_s LOGICAL 0/0 (proto_version '1', publication_names 're_p')")
		for _, text := range []string{"the first", "the second"} {
			cl.send(start)
			cl.until("W")
			su.value("INSERT INTO re_t VALUES ('" + text + "')")
			cl.awaitData(text)
			cl.send(fake.Msg('d', []byte("r"+strings.Repeat("\x00", 32)+"\x01"))) // a status that asks for an answer
			cl.awaitData("k")
			if got := su.value("SELECT application_name FROM pg_stat_replication"); got != "re standby" {
				t.Errorf("the walsender is of %q", got)
			}
			fake.SendCancel(t, g.Addr(), key, secret)
			for _, m := range cl.until("Z") {
				if m.Type == 'E' && m.Field('C') != "57014" {
					t.Error(errorText(m))
				}
			}
		}
		if got := other.value("SELECT pg_backend_pid()"); got != pid {
			t.Errorf("the other client's server is %s, was %s", got, pid)
		}
		cl.send(start)
		cl.until("W")
		cl.nc.Close()
		until(t, "the walsender ends with its client", func() bool { return su.value("SELECT count(*) FROM pg_stat_replication") == "0" })
		other.value("SELECT 1")
	})
}

// Physical replication names no database that exists; a stream that the client ends goes on with the next command.
func TestPhysicalReplication(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		c, g := replicating(t, major, mode, 1)
		su := login(t, direct(c).Addr(), "postgres", "postgres")
		before := login(t, g.Addr(), "postgres", "replication", "replication", "true") // its pool is of one
		if before.value("IDENTIFY_SYSTEM") == "" {
			t.Error("IDENTIFY_SYSTEM says nothing")
		}
		before.send(fake.Msg('X'))
		before.ended()
		cl, _, _ := walsender(t, g, "replication", "replication", "1")
		at := su.value("SELECT pg_current_wal_flush_lsn()")
		for range 2 {
			cl.send(fake.Query("START_REPLICATION PHYSICAL " + at))
			cl.until("W")
			su.value("CREATE TABLE IF NOT EXISTS re_u (v text); INSERT INTO re_u SELECT 'physically there' FROM generate_series(1, 10)")
			cl.awaitData("physically there")
			cl.send(fake.Msg('c'))
			cl.until("Z")
		}
		if code, text := cl.fails("SELECT 1"); code == "" {
			t.Error(text)
		}
		if e := denied(t, g, "postgres", "replication", "replication", "perhaps"); e.Field('C') != "22023" {
			t.Error(errorText(e))
		}
		cl.send(fake.Query("START_REPLICATION PHYSICAL " + su.value("SELECT pg_current_wal_flush_lsn()"))) // nothing is to come
		cl.until("W")
		if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil { // a drain does not wait for a stream
			t.Fatal(err)
		}
		said := cl.ended()
		if len(said) == 0 || said[len(said)-1].Type != 'E' || said[len(said)-1].Field('C') != "57P01" {
			t.Errorf("at a drain: %s", summary(said))
		}
		g.ends(t)
	})
}

// PostgreSQL's own programs: a base backup, WAL as it is written, and changes by a slot.
func TestReplicationPrograms(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			c, g := replicating(t, pgtest.SystemLibpq, mode, 2)
			su := login(t, direct(c).Addr(), "postgres", "postgres")
			dir := t.TempDir()
			dsn := g.DSN("postgres", "postgres")
			out, err := run(t, pgtest.Program(t, pgtest.SystemLibpq, "pg_basebackup", "-d", dsn, "-D", filepath.Join(dir, "base"), "-X", "stream", "-c", "fast"))
			if err != nil {
				t.Fatalf("pg_basebackup: %v\n%s", err, out)
			}
			if _, err := os.Stat(filepath.Join(dir, "base", "backup_manifest")); err != nil {
				t.Error(err)
			}
			out, err = run(t, pgtest.Program(t, pgtest.SystemLibpq, "pg_verifybackup", filepath.Join(dir, "base")))
			if err != nil {
				t.Errorf("pg_verifybackup: %v\n%s", err, out)
			}

			wal := filepath.Join(dir, "wal")
			if err := os.Mkdir(wal, 0o700); err != nil {
				t.Fatal(err)
			}
			receive := pgtest.Program(t, pgtest.SystemLibpq, "pg_receivewal", "-d", dsn, "-D", wal, "-n")
			if err := receive.Start(); err != nil {
				t.Fatal(err)
			}
			until(t, "a whole file of WAL has come", func() bool {
				su.value("CREATE TABLE IF NOT EXISTS re_w (v text); INSERT INTO re_w VALUES ('x'); SELECT pg_switch_wal()")
				files, _ := os.ReadDir(wal)
				for _, f := range files {
					if len(f.Name()) == 24 {
						return true
					}
				}
				return false
			})
			endInOrder(t, receive.Process)
			if err := wait(t, receive); err != nil {
				t.Errorf("pg_receivewal: %v", err)
			}

			slot := []string{"-d", dsn, "-S", "re_slot"}
			if out, err := run(t, pgtest.Program(t, pgtest.SystemLibpq, "pg_recvlogical", append(slot, "--create-slot", "-P", "test_decoding")...)); err != nil {
				t.Fatalf("pg_recvlogical: %v\n%s", err, out)
			}
			su.value("INSERT INTO re_w VALUES ('a change to decode')")
			changes := filepath.Join(dir, "changes")
			logical := pgtest.Program(t, pgtest.SystemLibpq, "pg_recvlogical", append(slot, "--start", "-n", "-f", changes, "-F", "0")...)
			if err := logical.Start(); err != nil {
				t.Fatal(err)
			}
			until(t, "the change has come", func() bool {
				text, _ := os.ReadFile(changes)
				return bytes.Contains(text, []byte("a change to decode"))
			})
			endInOrder(t, logical.Process)
			if err := wait(t, logical); err != nil {
				t.Errorf("pg_recvlogical: %v", err)
			}
			until(t, "the slot is free", func() bool {
				return su.value("SELECT active FROM pg_replication_slots WHERE slot_name = 're_slot'") == "f"
			})
			if out, err := run(t, pgtest.Program(t, pgtest.SystemLibpq, "pg_recvlogical", append(slot, "--drop-slot")...)); err != nil {
				t.Errorf("pg_recvlogical: %v\n%s", err, out)
			}
		})
	}
}

// endInOrder sends SIGINT, at which these programs end in order.
func endInOrder(t *testing.T, p *os.Process) {
	t.Helper()
	if err := p.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
}

// A pool that is all with replication clients has no place for others, who are told so at query_wait_timeout; and it has
// one as soon as one of those leaves.
func TestLoginBehindReplication(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, majors[len(majors)-1])
	g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "")}, mode: "transaction", size: 1, set: []string{"query_wait_timeout=1s"}})
	cl, _, _ := walsender(t, g, "postgres", "replication", "database")
	if e := denied(t, g, "postgres", "postgres"); e.Field('C') != "53300" {
		t.Error(errorText(e))
	}
	cl.send(fake.Msg('X'))
	cl.ended()
	if got := login(t, g.Addr(), "postgres", "postgres").value("SELECT 1"); got != "1" {
		t.Errorf("SELECT 1 is %q", got)
	}
}
