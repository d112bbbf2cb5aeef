package test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
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

// consoleStage is a gate with a console for root and a client that holds its server.
func consoleStage(t *testing.T, libpq int) (g *gate, holder *raw, show func(what string) string) {
	t.Helper()
	c := pgtest.Start(t, libpq)
	g = startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "session", set: []string{"admin_users=root"}})
	holder = login(t, g.Addr(), "postgres", "postgres")
	holder.value("SELECT 1")
	return g, holder, func(what string) string {
		t.Helper()
		out := pgtest.PSQL(t, libpq, "-A", "-t", "-d", g.DSN("root", "cancello"), "-c", what)
		return out.Stdout + out.Stderr
	}
}

// Ctrl-C in psql ends a PAUSE that waits, and undoes it.
func TestConsoleCancelsPause(t *testing.T) {
	for _, libpq := range majors {
		g, holder, show := consoleStage(t, libpq)
		cmd := pgtest.Program(t, libpq, "psql", "-X", "-d", g.DSN("root", "cancello"), "-c", "PAUSE")
		said := newTranscript()
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		hung := time.AfterFunc(2*patience, func() { _ = cmd.Process.Kill() })
		until(t, "it is paused", func() bool { return strings.Contains(show("SHOW STATE"), "paused|yes") })
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		said.fill(stderr)
		err = cmd.Wait()
		if hung.Stop(); err == nil || !strings.Contains(said.String(), "ERROR:  canceling statement due to user request") {
			t.Errorf("psql %d: %v, %s", libpq, err, said)
		}
		g.AwaitLog(`msg=cancel outcome=cancelled .*user=root database=cancello`)
		if got := show("SHOW STATE"); !strings.Contains(got, "paused|no") {
			t.Errorf("state after the cancel: %s", got)
		}
		if got := holder.value("SELECT 'here'"); got != "here" {
			t.Errorf("the client says %q", got)
		}
	}
}

// DISABLE, ENABLE, SET, RECONNECT and WAIT_CLOSE, RELOAD: by psql, and by pgx in both protocols.
func TestConsoleCommands(t *testing.T) {
	for _, libpq := range majors {
		g, holder, show := consoleStage(t, libpq)
		for _, tt := range []struct{ say, want string }{
			{"DISABLE postgres", "DISABLE\n"},
			{"SHOW DATABASES", "|1\n"},
			{"SET query_wait_timeout = '17s'", "SET\n"},
			{"SHOW CONFIG", "\nquery_wait_timeout|17s|"},
			{"RELOAD", "RELOAD\n"},
			{"SUSPEND", "ERROR:  SUSPEND is not there"},
			{"SET listen = '*:1'", "ERROR:  nothing was changed"},
			{"RECONNECT", "RECONNECT\n"},
		} {
			if got := show(tt.say); !strings.Contains(got, tt.want) {
				t.Errorf("psql %d: %s: %q, want %q in it", libpq, tt.say, got, tt.want)
			}
		}
		if e := denied(t, g, "postgres", "postgres"); e.Field('C') != "57P03" || !strings.Contains(e.Field('M'), "is disabled") {
			t.Errorf("a client of a disabled database: %s", errorText(e))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		defer cancel()
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec} {
			config, err := pgx.ParseConfig(g.DSN("root", "cancello"))
			if err != nil {
				t.Fatal(err)
			}
			config.DefaultQueryExecMode = mode
			conn, err := pgx.ConnectConfig(ctx, config)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.Background())
			for _, say := range []string{"ENABLE postgres", "SET query_wait_timeout = 9", "RELOAD", "DISABLE postgres"} {
				tag, err := conn.Exec(ctx, say)
				if word, _, _ := strings.Cut(say, " "); err != nil || tag.String() != word {
					t.Errorf("pgx, mode %v: %s: %q, %v", mode, say, tag, err)
				}
			}
			closed := make(chan error, 1)
			go func() {
				_, err := conn.Exec(ctx, "WAIT_CLOSE")
				closed <- err
			}()
			if mode == pgx.QueryExecModeExec { // the last one
				holder.send(fake.Msg('X'))
			}
			for mode != pgx.QueryExecModeExec && len(closed) == 0 { // one that comes before the command means nothing
				if err := conn.PgConn().CancelRequest(ctx); err != nil {
					t.Fatal(err)
				}
			}
			err = fake.Next(t, closed, "the end of WAIT_CLOSE")
			var failed *pgconn.PgError
			switch waited := mode == pgx.QueryExecModeExec; {
			case waited && err != nil:
				t.Errorf("WAIT_CLOSE: %v", err)
			case !waited && (!errors.As(err, &failed) || failed.Code != "57014"):
				t.Errorf("WAIT_CLOSE that was cancelled: %v", err)
			}
		}
	}
}
