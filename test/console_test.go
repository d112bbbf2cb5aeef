package test

import (
	"strings"
	"testing"

	"cancello/internal/pgtest"
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
