package test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
	"cancello/internal/postgres"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The passwords hold what has to be quoted somewhere.
const (
	annsPassword = `ann's "secret" :@/ \`
	bobsPassword = "bob's secret"
)

// people makes the roles that these tests log in as.
func people(t *testing.T, c *postgres.Cluster) {
	t.Helper()
	su := login(t, direct(c).Addr(), "postgres", "postgres")
	makePeople(su)
}

func makePeople(su *raw) {
	su.value("DROP ROLE IF EXISTS lo_ann, lo_bob")
	su.value("CREATE ROLE lo_ann LOGIN PASSWORD '" + strings.ReplaceAll(annsPassword, "'", "''") + "'")
	su.value("CREATE ROLE lo_bob LOGIN PASSWORD '" + strings.ReplaceAll(bobsPassword, "'", "''") + "'")
}

// entry is a line of an auth file.
func entry(user, secret string) string {
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	return quote(user) + " " + quote(secret)
}

// try logs in with pgx, as user with password, and returns what the server calls him.
func try(t *testing.T, a address, user, password, database string) (string, error) {
	t.Helper()
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: a.Addr(), Path: "/" + database,
		RawQuery: "sslmode=disable&default_query_exec_mode=simple_protocol"}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, u.String())
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	var name string
	err = conn.QueryRow(ctx, "SELECT current_user || ' in ' || current_database()").Scan(&name)
	return name, err
}

// Clients prove who they are by each method with each kind of entry that serves it. A wrong password and a user whom
// nobody knows are answered alike.
func TestLogin(t *testing.T) {
	c := pgtest.Start(t, 18)
	people(t, c)
	su := login(t, direct(c).Addr(), "postgres", "postgres")
	verifier := func(user string) string {
		return su.value("SELECT rolpassword FROM pg_authid WHERE rolname = '" + user + "'")
	}
	md5 := "md5" + su.value("SELECT md5('"+strings.ReplaceAll(bobsPassword, "'", "''")+"' || 'lo_bob')")
	for _, tt := range []struct {
		name, auth, ann, bob string
		bobFails             bool
	}{
		{"trust", "trust", "", "", false},
		{"plain, plain text", "plain", annsPassword, bobsPassword, false},
		{"plain, verifier and md5", "plain", verifier("lo_ann"), md5, false},
		{"scram, plain text", "scram-sha-256", annsPassword, bobsPassword, false},
		{"scram, verifier", "scram-sha-256", verifier("lo_ann"), verifier("lo_bob"), false},
		{"scram, md5", "scram-sha-256", annsPassword, md5, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := gateOptions{upstreams: []string{upstream(c, "", "")}, mode: "transaction", size: 2, auth: tt.auth}
			if tt.auth != "trust" {
				o.authFile = userlist(t, "; people", entry("lo_ann", tt.ann), entry("lo_bob", tt.bob))
			}
			g := startGate(t, o)
			if name, err := try(t, g.address, "lo_ann", annsPassword, "postgres"); name != "lo_ann in postgres" {
				t.Errorf("ann: %q, %v", name, err)
			}
			if name, err := try(t, g.address, "lo_bob", bobsPassword, "postgres"); (err != nil) != tt.bobFails {
				t.Errorf("bob: %q, %v", name, err)
			}
			if tt.auth == "trust" {
				return
			}
			wrong := refusal(t, g, "lo_ann", "wrong")
			unknown := refusal(t, g, "lo_eve", "wrong")
			if wrong.Code != "28P01" || wrong.Message != `password authentication failed for user "lo_ann"` {
				t.Errorf("wrong password: %+v", wrong)
			}
			unknown.Message = strings.ReplaceAll(unknown.Message, "lo_eve", "lo_ann")
			if diff := cmp.Diff(wrong, unknown); diff != "" {
				t.Errorf("wrong password (-), unknown user (+):\n%s", diff)
			}
			g.Stop()
			keepsSecrets(t, g, "secret", md5[3:], "SCRAM-SHA-256$")
		})
	}
}

// refusal is why a login failed, in the server's words.
func refusal(t *testing.T, g *gate, user, password string) pgconn.PgError {
	t.Helper()
	_, err := try(t, g.address, user, password, "postgres")
	var said *pgconn.PgError
	if !errors.As(err, &said) {
		t.Fatalf("%s: %v, want an error of the server's", user, err)
	}
	return *said
}

// keepsSecrets says that nothing of these is in the log.
func keepsSecrets(t *testing.T, g *gate, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(g.Log(), s) {
			t.Errorf("%q is in the log", s)
		}
	}
}

// Cancello logs in to servers by each method, with a password from each place.
func TestServerLogin(t *testing.T) {
	for _, major := range majors {
		for _, method := range []postgres.Auth{postgres.Password, postgres.MD5, postgres.SCRAM} {
			t.Run(fmt.Sprintf("%d %s", major, method), func(t *testing.T) {
				t.Parallel()
				c := pgtest.Start(t, major, pgtest.Auth(method))
				out := pgtest.PSQL(t, pgtest.SystemLibpq, "-v", "ON_ERROR_STOP=1", "-d", c.SocketDSN("postgres", "postgres"),
					"-c", "CREATE ROLE lo_ann LOGIN PASSWORD '"+strings.ReplaceAll(annsPassword, "'", "''")+"'")
				if out.Code != 0 {
					t.Fatalf("%+v", out)
				}
				serverLogins(t, c)
			})
		}
	}
}

func serverLogins(t *testing.T, c *postgres.Cluster) {
	forced := upstream(c, "lo_ann", "postgres")
	known := url.URL{Scheme: "postgres", User: url.UserPassword("lo_ann", annsPassword), Host: c.Addr(), Path: "/postgres"}
	passfile := filepath.Join(t.TempDir(), "passfile")
	if err := os.WriteFile(passfile, []byte("*:*:postgres:lo_ann:"+strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(annsPassword)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	own := userlist(t, entry("lo_ann", annsPassword))
	for _, tt := range []struct {
		name, user string
		gateOptions
	}{
		{"DSN", "anybody", gateOptions{upstreams: []string{known.String()}}},
		{"PGPASSWORD", "anybody", gateOptions{upstreams: []string{forced}, env: []string{"PGPASSWORD=" + annsPassword}}},
		{"passfile", "anybody", gateOptions{upstreams: []string{forced}, env: []string{"PGPASSFILE=" + passfile}}},
		{"auth file", "lo_ann", gateOptions{upstreams: []string{upstream(c, "", "postgres")}, auth: "scram-sha-256", authFile: own}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := startGate(t, tt.gateOptions)
			if name, err := try(t, g.address, tt.user, annsPassword, "postgres"); name != "lo_ann in postgres" {
				t.Errorf("%q, %v", name, err)
			}
			g.Stop()
			keepsSecrets(t, g, "secret")
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		g := startGate(t, gateOptions{upstreams: []string{forced}, env: []string{"PGPASSWORD=not the secret"}})
		if e := refusal(t, g, "anybody", ""); e.Severity != "FATAL" || e.Code != "28P01" || !strings.Contains(e.Detail, c.Addr()) {
			t.Errorf("%+v", e)
		}
		g.AwaitLog(`level=WARN msg="server connection failed".*password authentication failed`)
		g.Stop()
		keepsSecrets(t, g, "not the secret")
	})
	t.Run("no password", func(t *testing.T) {
		g := startGate(t, gateOptions{upstreams: []string{forced}})
		if e := refusal(t, g, "anybody", ""); e.Severity != "FATAL" || !strings.Contains(e.Message, "asks for a password") {
			t.Errorf("%+v", e)
		}
		g.Stop()
		if n := strings.Count(g.Log(), "server connection failed"); n != 1 {
			t.Errorf("tried %d times: it could not help\n%s", n, g.Log())
		}
	})
}

// Each database and user has servers of its own; a name that is not configured is not there.
func TestDatabases(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		c := pgtest.Start(t, major)
		su := login(t, direct(c).Addr(), "postgres", "postgres")
		makePeople(su)
		for _, name := range []string{"lo_one", "lo_two"} {
			su.value("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)")
			su.value("CREATE DATABASE " + name)
		}
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "", "lo_one"), upstream(c, "", "lo_two")}, mode: mode, size: 1})
		var all []*raw
		for _, database := range []string{"lo_one", "lo_two"} {
			for _, user := range []string{"lo_ann", "lo_bob"} {
				cl := login(t, g.Addr(), user, database)
				cl.value("BEGIN") // holds the one server of its pool
				if got, want := cl.value("SELECT current_user || ' in ' || current_database()"), user+" in "+database; got != want {
					t.Errorf("%s, want %s", got, want)
				}
				all = append(all, cl)
			}
		}
		for _, cl := range all {
			cl.send(fake.Msg('X'))
			cl.ended()
		}
		if e := denied(t, g, "lo_ann", "lo_three"); e.Field('C') != "3D000" || e.Field('S') != "FATAL" {
			t.Errorf("a database that is not configured: %s", errorText(e))
		}
	})
}

// denied is the error with which a raw login ends.
func denied(t *testing.T, g *gate, user, database string, params ...string) fake.Message {
	t.Helper()
	c := dialRaw(t, g.Addr())
	c.send(fake.Startup(fake.V30, append([]string{"user", user, "database", database}, params...)...))
	c.listen()
	said := c.ended()
	if len(said) == 0 || said[len(said)-1].Type != 'E' {
		t.Fatalf("login as %s to %s: %s", user, database, summary(said))
	}
	return said[len(said)-1]
}

// max_client_conn counts clients, and each that leaves makes room.
func TestMaxClientConn(t *testing.T) {
	c := pgtest.Start(t, 18)
	g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: 1, set: []string{"max_client_conn=2"}})
	for i := range 3 {
		one, two := login(t, g.Addr(), "postgres", "postgres"), login(t, g.Addr(), "postgres", "postgres")
		if e := denied(t, g, "postgres", "postgres"); e.Field('C') != "53300" || e.Field('M') != "sorry, too many clients already" {
			t.Errorf("the third: %s", errorText(e))
		}
		one.value("SELECT 1")
		two.value("SELECT 1")
		one.send(fake.Msg('X'))
		two.reset()
		one.ended()
		until(t, "both have left", func() bool { return strings.Count(g.Log(), "client left") == 2*(i+1) })
	}
}

// Who waits too long for a server is told so, and may go on.
func TestQueryWaitTimeout(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		c := pgtest.Start(t, major)
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: mode, size: 1, set: []string{"query_wait_timeout=100ms"}})
		holder := login(t, g.Addr(), "postgres", "postgres")
		holder.value("BEGIN")
		cl := login(t, g.Addr(), "postgres", "postgres")
		if code, text := cl.fails("SELECT 1"); code != "53300" || !strings.Contains(text, "query_wait_timeout") {
			t.Errorf("%s %s", code, text)
		}
		cl.send(batchOf("SELECT 1"), fake.Msg('S'))
		if said := cl.until("Z"); fake.Types(said) != "EZ" || said[0].Field('C') != "53300" {
			t.Errorf("a batch: %s", summary(said))
		}
		holder.send(fake.Msg('X'))
		holder.ended()
		if got := cl.value("SELECT 'served'"); got != "served" {
			t.Errorf("%q", got)
		}
	})
}

// While PostgreSQL isn't there, clients are told so, by login and by query; when it comes, they are let in.
func TestServerDown(t *testing.T) {
	c := pgtest.Start(t, 18, pgtest.Private())
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", set: []string{"server_connect_timeout=300ms"}})
	e := denied(t, g, "postgres", "postgres")
	if e.Field('S') != "FATAL" || e.Field('C') != "08006" || !strings.Contains(e.Field('M'), c.Addr()) || !strings.Contains(e.Field('M'), "connection refused") ||
		strings.Count(e.Field('M'), c.Addr()) != 1 {
		t.Errorf("%s", errorText(e))
	}
	if err := c.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	login(t, g.Addr(), "postgres", "postgres").value("SELECT 1")
}

// With max_prepared_statements = 0 no named statement is kept where servers are shared. The refusal says what to do, fails the batch on the
// server, too, and the session goes on.
func TestNamedParse(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			c := pgtest.Start(t, major)
			g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: 1, set: []string{"max_prepared_statements=0"}})
			cl := login(t, g.Addr(), "postgres", "postgres")
			su := login(t, direct(c).Addr(), "postgres", "postgres")
			su.value("DROP TABLE IF EXISTS lo_named")
			su.value("CREATE TABLE lo_named (n int)")
			named := fake.Msg('P', "mine", "SELECT 1", uint16(0))
			refused := func(said []fake.Message) {
				t.Helper()
				for _, m := range said {
					if m.Type == 'E' {
						if m.Field('S') != "ERROR" || m.Field('C') != "0A000" || m.Field('M') != "named prepared statements are not supported with max_prepared_statements = 0" ||
							!strings.Contains(m.Field('H'), "pool_mode = session") {
							t.Errorf("%s; %s", errorText(m), m.Field('H'))
						}
						return
					}
				}
				t.Errorf("not refused: %s", summary(said))
			}
			cl.send(named, fake.Msg('D', []byte("S"), "mine"), fake.Msg('S'))
			said := cl.until("Z")
			refused(said)
			if fake.Types(said) != "EZ" {
				t.Errorf("%s", summary(said))
			}
			// What stood before it in the batch is rolled back, as for an error of PostgreSQL's own.
			cl.send(batchOf("INSERT INTO lo_named VALUES (1)"), named, batchOf("INSERT INTO lo_named VALUES (2)"), fake.Msg('S'))
			said = cl.until("Z")
			refused(said)
			if fake.Types(said) != "12CEZ" {
				t.Errorf("%s", summary(said))
			}
			// In a transaction it fails the transaction.
			cl.value("BEGIN")
			cl.value("INSERT INTO lo_named VALUES (3)")
			cl.send(named, fake.Msg('S'))
			said = cl.until("Z")
			refused(said)
			if status := said[len(said)-1].Body; string(status) != "E" {
				t.Errorf("status %q, want E", status)
			}
			if code, text := cl.fails("SELECT 1"); code != "25P02" {
				t.Errorf("%s %s", code, text)
			}
			cl.value("COMMIT")
			if n := cl.value("SELECT count(*) FROM lo_named"); n != "0" {
				t.Errorf("%s rows", n)
			}
			if n := cl.value("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''"); n != "0" {
				t.Errorf("%s statements are left in the server", n)
			}
		})
	}
}

// Startup parameters that no SET can change are refused by name; what the server refuses is refused in its words.
func TestStartupParameters(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		c := pgtest.Start(t, major)
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: mode, size: 1})
		for _, name := range []string{"is_superuser", "server_version", "session_authorization"} {
			if e := denied(t, g, "postgres", "postgres", "application_name", "x", name, "on"); e.Field('S') != "FATAL" || e.Field('C') != "0A000" ||
				!strings.Contains(e.Field('M'), `"`+name+`"`) {
				t.Errorf("%s: %s", name, errorText(e))
			}
		}
		cl := login(t, g.Addr(), "postgres", "postgres", "extra_float_digits", "3", "datestyle", "German", "application_name", "lo")
		if got := cl.value("SELECT current_setting('application_name') || ' ' || '2001-02-03'::date"); got != "lo 03.02.2001" {
			t.Errorf("%q", got)
		}
		cl.send(fake.Msg('X'))
		cl.ended()
		if e := denied(t, g, "postgres", "postgres", "TimeZone", "Nowhere/Land"); e.Field('C') != "22023" || e.Field('S') != "FATAL" {
			t.Errorf("a value the server refuses: %s", errorText(e))
		}
		login(t, g.Addr(), "postgres", "postgres").value("SELECT 1")
	})
}

// SSL and GSS are declined, each once, in either order; what is asked for again is no protocol.
func TestEncryptionIsDeclined(t *testing.T) {
	c := pgtest.Start(t, 18)
	g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}})
	ssl, gss := fake.Msg(0, uint32(fake.SSLCode)), fake.Msg(0, uint32(fake.GSSCode))
	for _, order := range [][][]byte{{ssl}, {gss}, {ssl, gss}, {gss, ssl}} {
		cl := dialRaw(t, g.Addr())
		for _, ask := range order {
			cl.send(ask)
			if answer := cl.byte(); answer != 'N' {
				t.Errorf("answer %q", answer)
			}
		}
		cl.send(order[0])
		cl.listen()
		if said := cl.ended(); fake.Types(said) != "E" || said[0].Field('C') != "0A000" || said[0].Field('S') != "FATAL" {
			t.Errorf("asked again: %s", summary(said))
		}
	}
}

// A length that no message has ends the connection with a word, and the server with it.
func TestInvalidLength(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		c := pgtest.Start(t, major)
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: mode, size: 1})
		for _, bad := range []string{"Q\x00\x00\x00\x03", "S\xff\xff\xff\xff", "S\x00\x00\xff\xff", "Q\x7f\xff\xff\xff", "\x00\x00\x00\x00\x08"} {
			cl := login(t, g.Addr(), "postgres", "postgres")
			cl.value("BEGIN")
			cl.send([]byte(bad))
			if said := cl.ended(); fake.Types(said) != "E" || said[0].Field('C') != "08P01" || said[0].Field('S') != "FATAL" {
				t.Errorf("%q: %s", bad, summary(said))
			}
		}
		login(t, g.Addr(), "postgres", "postgres").value("SELECT 1")
	})
}

// SIGTERM lets those who are in finish, turns others away, and the program ends well when the last has left.
func TestDrain(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		c := pgtest.Start(t, major)
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: mode, size: 2})
		busy := login(t, g.Addr(), "postgres", "postgres")
		busy.value("BEGIN")
		idle := login(t, g.Addr(), "postgres", "postgres")
		if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if said := idle.ended(); len(said) > 0 && said[len(said)-1].Field('C') != "57P01" {
			t.Errorf("the idle client: %s", summary(said))
		}
		if e := denied(t, g, "postgres", "postgres"); e.Field('C') != "57P03" {
			t.Errorf("a new client: %s", errorText(e))
		}
		if got := busy.value("SELECT 'still working'"); got != "still working" {
			t.Errorf("%q", got)
		}
		busy.send(fake.Query("COMMIT"))
		busy.until("C")
		busy.ended()
		fake.Next(t, g.done, "the end of Cancello")
		if g.err != nil {
			t.Errorf("ended: %v", g.err)
		}
	})
}
