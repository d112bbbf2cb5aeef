package test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
)

// startupScene makes a role and schemas for the tests of startup values.
func startupScene(t *testing.T, su *raw) {
	t.Helper()
	su.value(`DO $$ BEGIN
		IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'st_role') THEN CREATE ROLE st_role; END IF;
	END $$`)
	su.value(`CREATE SCHEMA IF NOT EXISTS st_one; CREATE SCHEMA IF NOT EXISTS st_two; DROP TABLE IF EXISTS st_one.st_t, st_two.st_t;
		CREATE TABLE st_one.st_t AS SELECT 'one' AS n; CREATE TABLE st_two.st_t AS SELECT 'two' AS n; GRANT USAGE ON SCHEMA st_one, st_two TO st_role;
		GRANT SELECT ON st_one.st_t, st_two.st_t TO st_role`)
}

// startups are what clients ask for at their start, and what the settings are then.
var startups = []struct {
	params []string
	want   map[string]string
}{
	{[]string{"application_name", "st plain"}, map[string]string{"application_name": "st plain"}},
	{[]string{"extra_float_digits", "0", "TimeZone", "utc", "datestyle", "sql", "client_encoding", "latin1"},
		map[string]string{"extra_float_digits": "0", "TimeZone": "UTC", "DateStyle": "SQL, MDY", "client_encoding": "LATIN1"}},
	{[]string{"options", `-c statement_timeout=12s --search-path=st_two,\ st_one -c st.tenant=it\'s\ \\me`, "lock_timeout", "7000"},
		map[string]string{"statement_timeout": "12s", "search_path": "st_two, st_one", "st.tenant": `it's \me`, "lock_timeout": "7s"}},
	{[]string{"role", "st_role", "search_path", "st_one", "Work_Mem", "2048", "statement_timeout", "1min"},
		map[string]string{"role": "st_role", "search_path": "st_one", "work_mem": "2MB", "statement_timeout": "1min"}},
	{[]string{"idle_in_transaction_session_timeout", "1h", "default_transaction_isolation", "repeatable read", "st.tenant", "second"},
		map[string]string{"idle_in_transaction_session_timeout": "1h", "default_transaction_isolation": "repeatable read", "st.tenant": "second"}},
}

// startupNames are all settings that any of startups has.
func startupNames() []string {
	seen := map[string]bool{}
	for _, s := range startups {
		for name := range s.want {
			seen[name] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// Every server has the startup values of the client that holds it, and nothing of another's: as on a direct connection,
// which is what each setting is compared with. The server is the same one all the time.
func TestStartupValuesFollow(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		c := pgtest.Start(t, major)
		su := login(t, direct(c).Addr(), "postgres", "postgres")
		startupScene(t, su)
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: mode, size: 1})
		look := func(cl *raw) string {
			var all []string
			for _, name := range startupNames() {
				all = append(all, name+" = "+cl.value("SELECT coalesce(current_setting('"+name+"', true), '')"))
			}
			return strings.Join(all, "\n")
		}
		var want []string
		var clients []*raw
		for _, s := range startups {
			d := login(t, direct(c).Addr(), "postgres", "postgres", s.params...)
			want = append(want, look(d))
			for name, v := range s.want {
				if !strings.Contains(want[len(want)-1]+"\n", name+" = "+v+"\n") {
					t.Errorf("a direct connection has not %s = %s: the test is wrong", name, v)
				}
			}
		}
		join := func(i int) *raw { return login(t, g.Addr(), "postgres", "postgres", startups[i].params...) }
		pid := ""
		check := func(i int, cl *raw) {
			if got := look(cl); got != want[i] {
				t.Errorf("client %d of %v:\n%s\nwant\n%s", i, startups[i].params, got, want[i])
			}
			if got := cl.value("SELECT pg_backend_pid()"); pid == "" {
				pid = got
			} else if got != pid {
				t.Errorf("another server, %s: it was not reused", got)
			}
		}
		for range 2 {
			for i := range startups {
				if mode == "session" {
					cl := join(i)
					check(i, cl)
					cl.send(fake.Msg('X'))
					cl.ended()
					continue
				}
				if len(clients) <= i {
					clients = append(clients, join(i))
				}
				check(i, clients[i])
			}
		}
		for i := len(clients) - 1; i >= 0; i-- {
			check(i, clients[i])
		}
		if mode == "session" {
			return
		}
		for _, i := range []int{2, 3} { // nobody inherits what somebody SET who has a value of his own, nor does he himself
			clients[i].value("SET statement_timeout TO '1h'")
			check(5-i, clients[5-i])
			clients[i].value("SELECT set_config('statement_timeout', '1h', false)")
			check(i, clients[i])
		}
	})
}

// RESET returns to a client's own startup values, whatever way it comes, and to nothing that was SET since.
func TestStartupReset(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		c := pgtest.Start(t, major)
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: mode, size: 1})
		params := []string{"TimeZone", "Europe/Rome", "options", "-c statement_timeout=12s -c st.tenant=me"}
		const look = "SELECT concat_ws(' ', current_setting('TimeZone'), current_setting('statement_timeout'), current_setting('st.tenant', true))"
		for _, script := range [][]string{
			{"RESET TimeZone"}, {"RESET statement_timeout"}, {"RESET st.tenant"}, {"RESET ALL"}, {"DISCARD ALL"},
			{"SET TimeZone TO 'Asia/Tokyo'", "RESET TimeZone"},
			{"SET TimeZone TO 'Asia/Tokyo'", "RESET statement_timeout"},
			{"BEGIN", "RESET ALL", "COMMIT"}, {"BEGIN", "RESET ALL", "ROLLBACK"},
			{"SET TimeZone TO 'Asia/Tokyo'", "SET st.tenant TO 'you'", "DISCARD ALL"},
		} {
			for _, pipelined := range []bool{false, true} {
				ends := map[string]string{}
				for _, at := range []address{direct(c), g.address} {
					cl := login(t, at.Addr(), "postgres", "postgres", params...)
					if pipelined {
						var all [][]byte
						for _, sql := range script {
							all = append(all, fake.Query(sql))
						}
						cl.send(append(all, fake.Query(look))...)
						cl.untilNth("Z", len(script))
						for _, m := range cl.until("Z") {
							if m.Type == 'D' {
								ends[at.Addr()] = string(m.Body[6:])
							}
						}
					} else {
						for _, sql := range script {
							cl.value(sql)
						}
						ends[at.Addr()] = cl.value(look)
					}
					cl.send(fake.Msg('X'))
					cl.ended()
				}
				if got, want := ends[g.Addr()], ends[direct(c).Addr()]; got != want || got == "" {
					t.Errorf("after %q (in one go: %v): %q, direct %q", script, pipelined, got, want)
				}
			}
		}
	})
}

// What the server refuses is refused at login, with the server's severity, code and words; what it takes is taken.
func TestStartupRefusals(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		c := pgtest.Start(t, major)
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: mode, size: 1})
		for _, params := range [][]string{
			{"TimeZone", "Nowhere/Land"}, {"geqo", "maybe"}, {"st_no_such_setting", "1"}, {"work_mem", "1"}, {"client_encoding", "klingon"},
			{"role", "st_nobody"}, {"options", "-c"}, {"options", "--geqo"}, {"options", "-c geqo"}, {"options", "geqo=off"}, {"options", "-c DateStyle=nonsense"},
			{"options", "-c shared_buffers=1GB"}, {"application_name", "x", "lock_timeout", "-5"},
		} {
			e := denied(t, g, "postgres", "postgres", params...)
			d := dialRaw(t, direct(c).Addr())
			d.send(fake.Startup(fake.V30, append([]string{"user", "postgres", "database", "postgres"}, params...)...))
			d.listen()
			said := d.ended()
			want := said[len(said)-1]
			if e.Field('S') != "FATAL" || e.Field('C') != want.Field('C') || e.Field('M') != want.Field('M') {
				t.Errorf("%q: %s, direct %s", params, errorText(e), errorText(want))
			}
		}
		for _, params := range [][]string{{"options", "-d 5"}, {"options", "-B 100"}, {"options", "-e"}} {
			if e := denied(t, g, "postgres", "postgres", params...); e.Field('S') != "FATAL" || e.Field('C') != "0A000" {
				t.Errorf("%q: %s", params, errorText(e))
			}
		}
		login(t, g.Addr(), "postgres", "postgres", "geqo", "off").value("SELECT 1")
	})
}

// Who asks for what has been tried needs no server to be let in; who doesn't waits for one, no longer than a query would.
func TestStartupNeedsNoServer(t *testing.T) {
	c := pgtest.Start(t, 18)
	g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: 1, set: []string{"query_wait_timeout=1"}})
	known := []string{"options", "-c geqo=off", "DateStyle", "german"}
	holder := login(t, g.Addr(), "postgres", "postgres", known...)
	holder.value("BEGIN")
	late := login(t, g.Addr(), "postgres", "postgres", append([]string{"application_name", "a new one"}, known...)...)
	if e := denied(t, g, "postgres", "postgres", "geqo", "on", "geqo_seed", "0.5"); e.Field('C') != "53300" {
		t.Errorf("a try without a server: %s", errorText(e))
	}
	holder.value("COMMIT")
	if got := late.value("SELECT current_setting('geqo') || current_setting('DateStyle')"); got != "offGerman, DMY" {
		t.Error(got)
	}
}

// A client's time limit that ends our own queries costs its server, not the next client.
func TestStartupTimeLimit(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			c := pgtest.Start(t, major)
			g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: 1})
			hasty := login(t, g.Addr(), "postgres", "postgres", "statement_timeout", "1")
			other := login(t, g.Addr(), "postgres", "postgres", "jit", "off")
			for range 50 {
				hasty.query("SELECT 1")
				if got := other.value("SELECT current_setting('statement_timeout')"); got != "0" {
					t.Fatalf("statement_timeout = %s", got)
				}
			}
		})
	}
}

// A statement that clients share is the same text under the same search_path, whoever reports it.
func TestStartupSearchPath(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			c := pgtest.Start(t, major)
			startupScene(t, login(t, direct(c).Addr(), "postgres", "postgres"))
			g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: 1})
			one := login(t, g.Addr(), "postgres", "postgres", "search_path", "st_one")
			two := login(t, g.Addr(), "postgres", "postgres", "options", "-csearch_path=st_two")
			for i, cl := range []*raw{one, two} {
				cl.send(parse("st_p", "SELECT n FROM st_t WHERE n = 'one' OR n = 'two'"), fake.Msg('S'))
				cl.until("Z")
				_ = i
			}
			for range 3 {
				for cl, want := range map[*raw]string{one: "one", two: "two"} {
					cl.send(bound("st_p"), fake.Msg('S'))
					for _, m := range cl.until("Z") {
						if m.Type == 'D' && string(m.Body[6:]) != want {
							t.Errorf("%s, want %s", m.Body[6:], want)
						}
						if m.Type == 'E' {
							t.Error(errorText(m))
						}
					}
				}
			}
		})
	}
}

// Drivers give settings in their own ways: psql by PGOPTIONS, pgx by runtime parameters.
func TestStartupOfDrivers(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		c := pgtest.Start(t, major)
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: mode, size: 1})
		cmd := pgtest.Program(t, pgtest.SystemLibpq, "psql", "-X", "-At", "-d", g.DSN("postgres", "postgres"), "-c", "SHOW statement_timeout", "-c", "SHOW search_path")
		cmd.Env = append(cmd.Env, `PGOPTIONS=-c statement_timeout=5s -csearch_path=st_a,\ pg_catalog`)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil || string(out) != "5s\nst_a, pg_catalog\n" {
			t.Errorf("psql: %v: %q", err, out)
		}
		cfg, err := pgx.ParseConfig(g.DSN("postgres", "postgres"))
		if err != nil {
			t.Fatal(err)
		}
		cfg.RuntimeParams = map[string]string{"search_path": "st_b", "statement_timeout": "9000", "app.user": "ann", "application_name": "pgx"}
		conn, err := pgx.ConnectConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		var got string
		if err := conn.QueryRow(t.Context(), "SELECT concat_ws(' ', current_setting('search_path'), current_setting('statement_timeout'), current_setting('app.user'))").Scan(&got); err != nil || got != "st_b 9s ann" {
			t.Errorf("pgx: %v: %q", err, got)
		}
	})
}
