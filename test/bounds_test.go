package test

import (
	"strings"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
	"cancello/internal/postgres"
)

// bounded is a gate before a database of the test's own, with users of its own.
type bounded struct {
	*testing.T
	cluster *postgres.Cluster
	gate    *gate
	name    string
}

// newBounded starts a gate with settings for the database name; user is the one who logs in for all, "" each himself.
func newBounded(t *testing.T, name, user, mode string, size int, set ...string) *bounded {
	t.Helper()
	c := pgtest.Start(t, majors[len(majors)-1])
	superuser(t, c, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	superuser(t, c, "CREATE DATABASE "+name)
	for _, role := range []string{"bo_ann", "bo_bob"} {
		superuser(t, c, "DO $$ BEGIN CREATE ROLE "+role+" LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
	}
	b := &bounded{T: t, cluster: c, name: name}
	b.gate = startGate(t, gateOptions{upstreams: []string{upstream(c, user, name)}, mode: mode, size: size, set: set})
	return b
}

func (b *bounded) join(user string) *raw {
	b.Helper()
	return login(b.T, b.gate.Addr(), user, b.name)
}

// refused is what a login is told.
func (b *bounded) refused(user string) fake.Message {
	b.Helper()
	c := dialRaw(b.T, b.gate.Addr())
	c.send(fake.Startup(fake.V30, "user", user, "database", b.name))
	c.listen()
	said := c.until("EZ")
	return said[len(said)-1]
}

// servers is how many are logged in.
func (b *bounded) servers() string {
	return superuser(b.T, b.cluster, "SELECT count(*) FROM pg_stat_activity WHERE datname = '"+b.name+"'")
}

const whichServer = "SELECT pg_backend_pid()"

// server_reset_query is what runs between two sessions, and nothing else: what it doesn't undo, stays.
func TestResetQuery(t *testing.T) {
	for _, c := range []struct{ reset, workMem, executes string }{
		{"DISCARD ALL", "4MB", "26000"}, {"RESET ALL", "4MB", ""}, {"DEALLOCATE ALL", "2MB", "26000"}, {"", "2MB", ""},
	} {
		t.Run(c.reset, func(t *testing.T) {
			b := newBounded(t, "bo_reset", "postgres", "session", 1, "server_reset_query="+c.reset)
			one := b.join("postgres")
			pid := one.value(whichServer)
			one.value("SET work_mem TO '2MB'")
			one.query("PREPARE bo_p AS SELECT 1")
			one.query("BEGIN")
			one.send(fake.Msg('X'))
			one.ended()
			two := b.join("postgres")
			if got := two.value(whichServer); got != pid {
				t.Fatalf("server %s, want %s", got, pid)
			}
			if got := two.value("SHOW work_mem"); got != c.workMem {
				t.Errorf("work_mem is %s, want %s", got, c.workMem)
			}
			said := two.query("EXECUTE bo_p")
			if e := strings.IndexByte(fake.Types(said), 'E'); c.executes == "" && e >= 0 || c.executes != "" && (e < 0 || said[e].Field('C') != c.executes) {
				t.Errorf("EXECUTE: %s, want %q", summary(said), c.executes)
			}
			if strings.HasSuffix(fake.Types(two.query("COMMIT")), "NCZ") == false {
				t.Error("the transaction was not rolled back")
			}
		})
	}
}

// server_reset_query_always runs it after each transaction.
func TestResetQueryAlways(t *testing.T) {
	for always, want := range map[string]string{"true": "4MB", "false": "2MB"} {
		b := newBounded(t, "bo_always", "postgres", "transaction", 1, "server_reset_query=RESET ALL", "server_reset_query_always="+always)
		one := b.join("postgres")
		one.value("SET work_mem TO '2MB'")
		if got := one.value("SHOW work_mem"); got != want {
			t.Errorf("always = %s: work_mem is %s, want %s", always, got, want)
		}
	}
}

// A server that fails server_check_query is closed, and its client has another without noticing.
func TestServerCheck(t *testing.T) {
	b := newBounded(t, "bo_check", "postgres", "transaction", 1, "server_check_query=SELECT 1/count(*) FROM bo_ok", "server_check_delay=1ms")
	su := login(t, direct(b.cluster).Addr(), "postgres", b.name)
	su.value("CREATE TABLE bo_ok (n int)")
	su.value("INSERT INTO bo_ok VALUES (1)")
	c := b.join("postgres")
	pid := c.value(whichServer)
	su.value("SELECT pg_sleep(0.05)")
	if got := c.value(whichServer); got != pid {
		t.Errorf("server %s passes the check and is not kept", pid)
	}
	su.value("TRUNCATE bo_ok")
	su.value("SELECT pg_sleep(0.05)")
	if got := c.value(whichServer); got == pid {
		t.Error("a server that fails the check is kept")
	}
	b.gate.AwaitLog(`division by zero`)
}

// A server as old as server_lifetime is closed when it is free, not within a transaction.
func TestServerLifetime(t *testing.T) {
	b := newBounded(t, "bo_life", "postgres", "transaction", 1, "server_lifetime=300ms")
	c := b.join("postgres")
	c.query("BEGIN")
	pid := c.value(whichServer)
	c.value("SELECT pg_sleep(0.6)")
	if got := c.value(whichServer); got != pid {
		t.Errorf("server %s within a transaction of server %s", got, pid)
	}
	c.query("COMMIT")
	if got := c.value(whichServer); got == pid {
		t.Error("a server is kept beyond server_lifetime")
	}
	until(t, "the idle server is closed for its age", func() bool { return b.servers() == "0" })
	once := newBounded(t, "bo_once", "postgres", "transaction", 1, "server_lifetime=0").join("postgres")
	if first := once.value(whichServer); once.value(whichServer) == first {
		t.Error("a server serves twice with server_lifetime = 0")
	}
}

// A login to the server that fails is tried again soon, whatever server_login_retry is, and its client is let in.
func TestLoginRetry(t *testing.T) {
	b := newBounded(t, "bo_retry", "", "transaction", 1, "server_login_retry=1h", "server_connect_timeout=60")
	superuser(t, b.cluster, "ALTER ROLE bo_ann CONNECTION LIMIT 0")
	c := dialRaw(t, b.gate.Addr())
	c.send(fake.Startup(fake.V30, "user", "bo_ann", "database", b.name))
	c.listen()
	b.gate.AwaitLog(`(?s)too many connections for role.*too many connections for role`)
	superuser(t, b.cluster, "ALTER ROLE bo_ann CONNECTION LIMIT -1")
	if said := c.until("EZ"); said[len(said)-1].Type != 'Z' {
		t.Errorf("the client is told %s", summary(said))
	}
}

// min_pool_size: for a forced user from the start, for others while they have a client.
func TestMinPoolSize(t *testing.T) {
	b := newBounded(t, "bo_min", "postgres", "transaction", 5, "min_pool_size=3")
	until(t, "three servers without a client", func() bool { return b.servers() == "3" })
	superuser(t, b.cluster, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'bo_min'")
	until(t, "three servers again", func() bool { return b.servers() == "3" })

	b = newBounded(t, "bo_own", "", "transaction", 5, "min_pool_size=2", "server_idle_timeout=100ms")
	c := b.join("bo_ann")
	until(t, "two servers for the client's user", func() bool { return b.servers() == "2" })
	c.value("SELECT pg_sleep(0.5)") // five times server_idle_timeout
	if n := b.servers(); n != "2" {
		t.Errorf("%s servers are kept", n)
	}
	c.send(fake.Msg('X'))
	c.ended()
	until(t, "no server without a client", func() bool { return b.servers() == "0" })
}

// Who has waited reserve_pool_timeout gets a server of the reserve.
func TestReservePool(t *testing.T) {
	b := newBounded(t, "bo_reserve", "postgres", "transaction", 1, "reserve_pool_size=1", "reserve_pool_timeout=100ms", "query_wait_timeout=0")
	one, two, three := b.join("postgres"), b.join("postgres"), b.join("postgres")
	one.query("BEGIN")
	pid := one.value(whichServer)
	two.query("BEGIN")
	if got := two.value(whichServer); got == pid {
		t.Errorf("two transactions on server %s", got)
	}
	three.send(fake.Query(whichServer))
	one.value("SELECT pg_sleep(0.3)")
	if n := b.servers(); n != "2" {
		t.Errorf("%s servers, pool and reserve are 2", n)
	}
	one.query("COMMIT")
	three.until("Z")
}

// max_db_connections and max_user_connections: an idle server of another pool makes room; one in use does not, and who
// waits is told so.
func TestMaxConnections(t *testing.T) {
	for setting, users := range map[string][2]string{"max_db_connections": {"bo_ann", "bo_bob"}, "max_user_connections": {"postgres", "postgres"}} {
		t.Run(setting, func(t *testing.T) {
			b := newBounded(t, "bo_max", "", "transaction", 5, setting+"=1", "query_wait_timeout=300ms", "server_idle_timeout=0")
			one := b.join(users[0])
			pid := one.value(whichServer)
			if users[0] != users[1] {
				if b.join(users[1]).value(whichServer) == pid {
					t.Error("one server for two users")
				}
				if n := b.servers(); n != "1" {
					t.Errorf("%s servers", n)
				}
			}
			one.query("BEGIN")
			if users[0] == users[1] {
				if code, text := b.join(users[1]).fails(whichServer); code != "53300" {
					t.Errorf("a query beyond the limit: %s %s", code, text)
				}
				return
			}
			superuser(t, b.cluster, "DO $$ BEGIN CREATE ROLE bo_eve LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
			if m := b.refused("bo_eve"); m.Field('C') != "53300" || !strings.Contains(m.Field('D'), setting+" = 1") {
				t.Errorf("a login beyond the limit: %s", errorText(m))
			}
			one.query("COMMIT")
			if b.join("bo_eve").value(whichServer) == "" {
				t.Error("no server though one is idle")
			}
		})
	}
}

// max_db_client_connections and max_user_client_connections refuse one client more.
func TestMaxClientConnections(t *testing.T) {
	b := newBounded(t, "bo_clients", "postgres", "transaction", 1, "max_db_client_connections=3", "max_user_client_connections=2")
	first := b.join("bo_ann")
	b.join("bo_ann")
	if m := b.refused("bo_ann"); m.Field('C') != "53300" || m.Field('M') != `too many connections for role "bo_ann"` {
		t.Errorf("a third of one user: %s", errorText(m))
	}
	b.join("bo_bob")
	if m := b.refused("bo_bob"); m.Field('C') != "53300" || m.Field('M') != `too many connections for database "bo_clients"` {
		t.Errorf("a fourth of the database: %s", errorText(m))
	}
	first.send(fake.Msg('X'))
	first.ended()
	b.join("bo_bob")
}

// server_round_robin uses all servers alike.
func TestRoundRobin(t *testing.T) {
	for _, c := range []struct{ set, want string }{{"true", "abab"}, {"false", "bbbb"}} {
		b := newBounded(t, "bo_round", "postgres", "transaction", 2, "server_round_robin="+c.set)
		one, two := b.join("postgres"), b.join("postgres")
		one.query("BEGIN")
		two.query("BEGIN")
		name := map[string]string{one.value(whichServer): "a", two.value(whichServer): "b"}
		one.query("COMMIT")
		two.query("COMMIT") // rests last
		got := ""
		for range 4 {
			got += name[one.value(whichServer)]
		}
		if got != c.want {
			t.Errorf("server_round_robin = %s: %s, want %s", c.set, got, c.want)
		}
	}
}

// server_fast_close: RECONNECT ends sessions, a transaction first; without it they last.
func TestFastClose(t *testing.T) {
	b := newBounded(t, "bo_fast", "postgres", "session", 2, "server_fast_close=true", "admin_users=root")
	idle, busy := b.join("postgres"), b.join("postgres")
	idle.value("SELECT 1")
	busy.query("BEGIN")
	console := login(t, b.gate.Addr(), "root", "cancello")
	console.query("RECONNECT")
	if said := idle.ended(); len(said) == 0 || said[len(said)-1].Field('C') != "57P01" {
		t.Errorf("an idle session is told %s", summary(said))
	}
	if got := busy.value("SELECT 1"); got != "1" {
		t.Error("a transaction does not go on")
	}
	busy.send(fake.Query("COMMIT"))
	if said := busy.ended(); !strings.HasPrefix(fake.Types(said), "CZE") {
		t.Errorf("a session that commits is told %s", summary(said))
	}
}
