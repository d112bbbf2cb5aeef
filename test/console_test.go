package test

import (
	"context"
	"strings"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"

	"github.com/jackc/pgx/v5"
)

// psql at the console: the pool that was used before is there.
func TestConsoleByPSQL(t *testing.T) {
	for _, libpq := range majors {
		c := pgtest.Start(t, libpq)
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "", "postgres")}, mode: "transaction"})
		if out := pgtest.PSQL(t, libpq, "-X", "-A", "-t", "-d", g.DSN("postgres", "postgres"), "-c", "select 41 + 1"); out.Stdout != "42\n" {
			t.Fatalf("psql says %q, %q", out.Stdout, out.Stderr)
		}
		out := pgtest.PSQL(t, libpq, "-X", "-A", "-d", g.DSN("postgres", "cancello"), "-c", "SHOW POOLS", "-c", "SHOW DATABASES", "-c", "SHOW HELP", "-c", "SHOW VERSION")
		for _, want := range []string{
			"database|user|cl_active|cl_waiting|cl_active_cancel_req|cl_waiting_cancel_req|sv_active|sv_active_cancel|sv_being_canceled|sv_idle|sv_used|sv_tested|sv_login|maxwait|maxwait_us|pool_mode|load_balance_hosts\n",
			"\npostgres|postgres|",
			"|0|0|0|transaction|\n",
			"\npostgres|127.0.0.1|",
			"\nCancello ",
		} {
			if !strings.Contains(out.Stdout, want) {
				t.Errorf("psql %d: no %q in\n%s%s", libpq, want, out.Stdout, out.Stderr)
			}
		}
		if !strings.Contains(out.Stderr, "SHOW HELP|POOLS|CLIENTS") {
			t.Errorf("psql %d: no help in %q", libpq, out.Stderr)
		}
		if out := pgtest.PSQL(t, libpq, "-X", "-A", "-t", "-d", g.DSN("postgres", "cancello"), "-c", "select 1"); !strings.Contains(out.Stderr, `ERROR:  the console does not know "select"`) {
			t.Errorf("psql %d says %q", libpq, out.Stderr)
		}
	}
}

// The console speaks TLS as every database does, and says who else does.
func TestConsoleOverTLS(t *testing.T) {
	a := fake.NewAuthority(t)
	c := encrypted(t, a, 18, false)
	_, set := front(a, "require")
	g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres") + "?sslmode=verify-full&sslrootcert=" + a.File}, set: set})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, over(g.address, "verify-full", "sslrootcert="+a.File))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	dsn := strings.Replace(over(g.address, "verify-full", "sslrootcert="+a.File), "/postgres?", "/cancello?", 1)
	out := pgtest.PSQL(t, pgtest.SystemLibpq, "-A", "-t", "-d", dsn, "-c", "SHOW CLIENTS", "-c", "SHOW SERVERS")
	if n := strings.Count(out.Stdout, "|TLSv1.3/TLS_"); n != 2 {
		t.Errorf("%d connections with TLS, want the client's and the server's:\n%s%s", n, out.Stdout, out.Stderr)
	}
	clear := strings.Replace(dsn, "verify-full", "disable", 1)
	if out := pgtest.PSQL(t, pgtest.SystemLibpq, "-d", clear, "-c", "SHOW CLIENTS"); out.Code == 0 {
		t.Error("the console can be had in clear though TLS is required")
	}
}
