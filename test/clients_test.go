package test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cancello/internal/pgtest"
	"cancello/internal/postgres"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// psql in a terminal: what people do, and Ctrl-C that ends the query and nothing else. libpq 18 speaks 3.2 here, to a
// PostgreSQL 15 behind Cancello too.
func TestPSQL(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		for _, libpq := range []int{15, 18} {
			t.Run(fmt.Sprintf("libpq %d", libpq), func(t *testing.T) {
				c := pgtest.Start(t, major)
				g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: mode, size: 2})
				dsn := g.DSN("postgres", "postgres")
				if libpq >= 18 {
					dsn = g.DSN("postgres", "postgres", "min_protocol_version=3.2", "max_protocol_version=3.2")
				}
				table := fmt.Sprintf("cl_psql_%s_%d", mode, libpq)
				superuser(t, c, "DROP TABLE IF EXISTS "+table+"; CREATE TABLE "+table+" (n int, t text)")
				usePSQL(t, c, g, libpq, dsn, table)
			})
		}
	})
}

func usePSQL(t *testing.T, c *postgres.Cluster, g *gate, libpq int, dsn, table string) {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.txt"), filepath.Join(dir, "out.txt")
	rows := "1\tone\n2\ttwo\n3\t\\N\n"
	if err := os.WriteFile(in, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	x := runInTerminal(t, pgtest.Program(t, libpq, "psql", "-X", "-n", "-A", "-t", "-P", "pager=off", "-d", dsn))
	x.Type("\\conninfo\n")
	x.Await(`You are connected to database "postgres" as user "\w+" on host "127\.0\.0\.1".* at port "` + strconv.Itoa(g.port) + `"`)
	x.Type("select 'ans' || 'wer';\n")
	x.Await("answer")
	x.Type("\\copy " + table + " from " + in + "\n")
	x.Await("COPY 3")
	x.Type("\\copy " + table + " to " + out + "\n\\echo copied out\n")
	x.Await("(?s)COPY 3.*COPY 3.*copied out\r?\n")
	if got, err := os.ReadFile(out); err != nil || string(got) != rows {
		t.Errorf("copied out %q, %v", got, err)
	}
	for i := range 2 {
		x.Type("select pg_sleep(600) as " + table + ";\n")
		awaitSleep(t, c, table)
		x.Type(interrupt)
		x.Await("(?s)" + strings.Repeat("ERROR:  canceling statement due to user request.*", i+1))
		x.Type(fmt.Sprintf("select 'still ' || 'here %d';\n", i))
		x.Await(fmt.Sprintf("still here %d", i))
	}
	g.AwaitLog(`(?s)outcome=(cancelled|forwarded).*outcome=(cancelled|forwarded)`)
	x.Type("\\q\n")
	if err := wait(t, x.cmd); err != nil {
		t.Errorf("psql: %v", err)
	}
}

// awaitSleep waits until a query whose text holds the mark sleeps in the server.
func awaitSleep(t testing.TB, c *postgres.Cluster, mark string) {
	t.Helper()
	su := login(t, direct(c).Addr(), "postgres", "postgres")
	defer su.nc.Close()
	until(t, mark+" sleeps", func() bool { return sleeping(su, mark) })
}

// awaitNoSleep waits until none does any more.
func awaitNoSleep(t testing.TB, c *postgres.Cluster, mark string) {
	t.Helper()
	su := login(t, direct(c).Addr(), "postgres", "postgres")
	defer su.nc.Close()
	until(t, mark+" has ended", func() bool { return !sleeping(su, mark) })
}

func sleeping(su *raw, mark string) bool {
	return su.value(`SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep'
		AND pid <> pg_backend_pid() AND query LIKE '%`+mark+`%'`) != "0"
}

// pgbench with more clients than servers, in the protocols that the mode allows. Its accounts add up at the end.
func TestPgbench(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		c := pgtest.Start(t, major)
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "")}, mode: mode, size: map[string]int{"session": 3, "transaction": 2}[mode]})
		database := "cl_bench_" + mode
		superuser(t, c, "DROP DATABASE IF EXISTS "+database+" WITH (FORCE)")
		superuser(t, c, "CREATE DATABASE "+database)
		bench := func(args ...string) (string, error) {
			args = append(args, "-h", g.host, "-p", strconv.Itoa(g.port), "-U", "postgres", database)
			out, err := run(t, pgtest.Program(t, pgtest.SystemLibpq, "pgbench", args...))
			return string(out), err
		}
		if out, err := bench("-i", "-q", "-I", "dtgp"); err != nil { // through Cancello: DROP, CREATE, COPY
			t.Fatalf("pgbench -i: %v\n%s", err, out)
		}
		for _, protocol := range []string{"simple", "extended", "prepared"} {
			clients, threads := 8, 2
			if protocol == "prepared" && mode == "session" {
				clients = 3 // pgbench waits for each Parse alone, so those who wait would keep those who don't
			} else if protocol == "prepared" {
				clients, threads = 10, 10 // so do those of one thread
			}
			out, err := bench("-n", "-M", protocol, "-c", strconv.Itoa(clients), "-j", strconv.Itoa(threads), "-t", "30")
			if err != nil || !processed(out, clients*30) {
				t.Errorf("-M %s: %v\n%s", protocol, err, out)
			}
			if out, err = bench("-n", "-M", protocol, "-S", "-c", strconv.Itoa(clients), "-j", strconv.Itoa(threads), "-t", "100"); err != nil || !processed(out, clients*100) {
				t.Errorf("-S -M %s: %v\n%s", protocol, err, out)
			}
		}
		db := login(t, g.Addr(), "postgres", database)
		sums := db.value(`SELECT string_agg(s::text, ' ') FROM (SELECT sum(abalance) s FROM pgbench_accounts UNION SELECT sum(bbalance) FROM pgbench_branches
			UNION SELECT sum(tbalance) FROM pgbench_tellers UNION SELECT sum(delta) FROM pgbench_history) x`)
		if strings.Contains(sums, " ") {
			t.Errorf("the sums differ: %s", sums)
		}
	})
}

// processed tells whether pgbench says that it did all of n transactions.
func processed(out string, n int) bool {
	return strings.Contains(out, fmt.Sprintf("actually processed: %d/%d\n", n, n))
}

// run runs a program to its end and returns all that it said.
func run(t testing.TB, cmd *exec.Cmd) ([]byte, error) {
	t.Helper()
	undo := time.AfterFunc(2*patience, func() { _ = cmd.Process.Kill() })
	out, err := cmd.CombinedOutput()
	if !undo.Stop() {
		t.Errorf("%s hung for %s", filepath.Base(cmd.Path), 2*patience)
	}
	return out, err
}

// pgx with its default, which prepares by name, and as it is told to do without.
func TestPGX(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		c := pgtest.Start(t, major)
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: mode, size: 2})
		for name, exec := range map[string]pgx.QueryExecMode{
			"simple": pgx.QueryExecModeSimpleProtocol, "exec": pgx.QueryExecModeExec, "cache": pgx.QueryExecModeCacheStatement,
		} {
			t.Run(name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
				defer cancel()
				config, err := pgx.ParseConfig(g.DSN("postgres", "postgres"))
				if err != nil {
					t.Fatal(err)
				}
				config.DefaultQueryExecMode = exec
				conn, err := pgx.ConnectConfig(ctx, config)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { conn.Close(context.Background()) })
				superuser(t, c, "DROP TABLE IF EXISTS cl_pgx; CREATE TABLE cl_pgx (n int primary key, t text)")
				usePGX(ctx, t, conn)
				cancelPGX(ctx, t, c, conn, fmt.Sprintf("cl_pgx_%s_%s", mode, name))
			})
		}
	})
}

func usePGX(ctx context.Context, t *testing.T, conn *pgx.Conn) {
	t.Helper()
	var n int
	var text *string
	var at time.Time
	if err := conn.QueryRow(ctx, "SELECT $1::int + 1, $2::text, $3::timestamptz", 41, nil, time.Unix(0, 0)).Scan(&n, &text, &at); err != nil || n != 42 || text != nil || !at.Equal(time.Unix(0, 0)) {
		t.Errorf("%d %v %v %v", n, text, at, err)
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if _, err := tx.Exec(ctx, "INSERT INTO cl_pgx VALUES ($1, $2)", i, fmt.Sprint("row ", i)); err != nil {
			t.Error(err)
		}
	}
	var failed *pgconn.PgError
	if _, err := tx.Exec(ctx, "INSERT INTO cl_pgx VALUES ($1, $2)", 1, "again"); !errors.As(err, &failed) || failed.Code != "23505" || failed.TableName != "cl_pgx" {
		t.Errorf("%v", err)
	}
	if err := tx.Commit(ctx); !errors.Is(err, pgx.ErrTxCommitRollback) {
		t.Errorf("commit of a failed transaction: %v", err)
	}
	batch := &pgx.Batch{}
	for i := range 10 {
		batch.Queue("INSERT INTO cl_pgx VALUES ($1, $2)", i, fmt.Sprint("row ", i))
	}
	batch.Queue("SELECT count(*) FROM cl_pgx").QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
	if err := conn.SendBatch(ctx, batch).Close(); err != nil || n != 10 {
		t.Errorf("batch: %d, %v", n, err)
	}
	copied, err := conn.CopyFrom(ctx, pgx.Identifier{"cl_pgx"}, []string{"n", "t"},
		pgx.CopyFromSlice(100, func(i int) ([]any, error) { return []any{100 + i, "copied"}, nil }))
	if err != nil || copied != 100 {
		t.Errorf("copied %d: %v", copied, err)
	}
	rows, err := conn.Query(ctx, "SELECT n FROM cl_pgx WHERE n >= $1 ORDER BY n", 5)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil || len(all) != 105 || !slices.IsSorted(all) {
		t.Errorf("%d rows: %v", len(all), err)
	}
}

// cancelPGX cancels a query from another goroutine, and one more by its context.
func cancelPGX(ctx context.Context, t *testing.T, c *postgres.Cluster, conn *pgx.Conn, mark string) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(ctx, "SELECT pg_sleep($1) AS "+mark, 600)
		done <- err
	}()
	awaitSleep(t, c, mark)
	if err := conn.PgConn().CancelRequest(ctx); err != nil {
		t.Errorf("cancel request: %v", err)
	}
	var failed *pgconn.PgError
	if err := <-done; !errors.As(err, &failed) || failed.Code != "57014" {
		t.Errorf("cancelled: %v", err)
	}
	var n int
	if err := conn.QueryRow(ctx, "SELECT 1").Scan(&n); err != nil || n != 1 {
		t.Errorf("after the cancel: %d, %v", n, err)
	}
	// A context that ends closes pgx's connection; nobody else is going to end the query.
	brief, cancel := context.WithCancel(ctx)
	go func() {
		_, err := conn.Exec(brief, "SELECT pg_sleep($1) AS "+mark, 600)
		done <- err
	}()
	awaitSleep(t, c, mark)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ended: %v", err)
	}
	awaitNoSleep(t, c, mark)
}
