package pgtest_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/postgres"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Around(m)) }

var majors = []int{15, 18}

// Both versions answer psql of both libpqs, the newer one at protocol 3.2 too, and tell what is spoken.
func TestPSQL(t *testing.T) {
	for _, major := range majors {
		for _, libpq := range []int{15, 18} {
			t.Run(fmt.Sprintf("server %d libpq %d", major, libpq), func(t *testing.T) {
				t.Parallel()
				c := pgtest.Start(t, major)
				out := pgtest.PSQL(t, libpq, "-At", "-d", c.DSN("postgres", "postgres"), "-c", "SHOW server_version")
				if out.Code != 0 || out.Stderr != "" || !strings.HasPrefix(out.Stdout, fmt.Sprint(major)) {
					t.Errorf("%+v", out)
				}
				out = pgtest.PSQL(t, libpq, "-d", c.DSN("postgres", "postgres")+"&max_protocol_version=3.2&min_protocol_version=3.2", "-c", "SELECT 1")
				switch {
				case libpq == 15 && (out.Code != 2 || !strings.Contains(out.Stderr, "max_protocol_version")):
					t.Errorf("libpq 15 knows max_protocol_version: %+v", out)
				case libpq == 18 && major == 15 && (out.Code != 2 || !strings.Contains(out.Stderr, "protocol")):
					t.Errorf("PostgreSQL 15 speaks 3.2: %+v", out)
				case libpq == 18 && major == 18 && out.Code != 0:
					t.Errorf("3.2 is refused: %+v", out)
				}
			})
		}
	}
}

// Ctrl-C in psql cancels its query: the signal reaches the program itself, no wrapper.
func TestInterrupt(t *testing.T) {
	c := pgtest.Start(t, 15)
	cmd := pgtest.Program(t, pgtest.SystemLibpq, "psql", "-X", "-At", "-d", c.DSN("postgres", "postgres"), "-c", "SELECT 'begun'", "-c", "SELECT pg_sleep(600)")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscanln(stdout, new(string)); err != nil {
		t.Error(err)
	}
	waitActive(t, c)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(stderr.String(), "canceling statement due to user request") {
		t.Errorf("%v; %s", err, &stderr)
	}
}

// waitActive returns when pg_sleep runs.
func waitActive(t *testing.T, c *postgres.Cluster) {
	t.Helper()
	out := pgtest.PSQL(t, pgtest.SystemLibpq, "-d", c.DSN("postgres", "postgres"), "-c", `DO $$ BEGIN
	FOR i IN 1..6000 LOOP
		PERFORM pg_stat_clear_snapshot();
		IF EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND pid <> pg_backend_pid()) THEN RETURN; END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RAISE 'pg_sleep never ran';
END $$`)
	if out.Code != 0 {
		t.Fatalf("%+v", out)
	}
}

func TestPgbench(t *testing.T) {
	c := pgtest.Start(t, 18)
	script := t.TempDir() + "/one.sql"
	if err := os.WriteFile(script, []byte("SELECT 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := pgtest.Program(t, 18, "pgbench", "-n", "-t", "5", "-f", script, "-h", c.Host(), "-p", fmt.Sprint(c.Port()), "-U", "postgres", "postgres").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "actually processed: 5/5") {
		t.Errorf("%v: %s", err, out)
	}
}

// Without options there is one cluster for all, with them one each, gone after the test.
func TestSharing(t *testing.T) {
	first := pgtest.Start(t, 18)
	if again := pgtest.Start(t, 18); again != first {
		t.Error("two shared clusters of one version")
	}
	var own *postgres.Cluster
	t.Run("own", func(t *testing.T) {
		own = pgtest.Start(t, 18, pgtest.Settings(map[string]string{"max_connections": "7"}), pgtest.Auth(postgres.SCRAM))
		if own == first {
			t.Error("the shared cluster, in spite of options")
		}
		out := pgtest.PSQL(t, 18, "-At", "-d", own.SocketDSN("postgres", "postgres"), "-c", "SHOW max_connections")
		if out.Stdout != "7\n" {
			t.Errorf("%+v", out)
		}
		out = pgtest.PSQL(t, 18, "-w", "-d", own.DSN("postgres", "postgres"), "-c", "SELECT 1")
		if out.Code != 2 || !strings.Contains(out.Stderr, "no password supplied") {
			t.Errorf("SCRAM asks for no password: %+v", out)
		}
		rejecting := pgtest.Start(t, 18, pgtest.HBA("host all all all reject\n"))
		out = pgtest.PSQL(t, 18, "-w", "-d", rejecting.DSN("postgres", "postgres"), "-c", "SELECT 1")
		if out.Code != 2 || !strings.Contains(out.Stderr, "pg_hba.conf rejects") {
			t.Errorf("the rules are not in force: %+v", out)
		}
	})
	if own != nil && own.PID() != 0 {
		t.Error("still runs after its test")
	}
	if first.PID() == 0 {
		t.Error("the shared cluster has stopped")
	}
}

// recorder is a test that notes how it ended.
type recorder struct {
	testing.TB
	failed, skipped string
}

type ended struct{}

func (r *recorder) Helper()                      {}
func (r *recorder) Fatalf(f string, args ...any) { r.failed = fmt.Sprintf(f, args...); panic(ended{}) }
func (r *recorder) Skipf(f string, args ...any)  { r.skipped = fmt.Sprintf(f, args...); panic(ended{}) }

// What is missing is a skip that names it, and a failure under CI.
func TestMissing(t *testing.T) {
	for _, ci := range []string{"", "true"} {
		t.Setenv("CI", ci)
		r := &recorder{TB: t}
		func() {
			defer func() {
				if p := recover(); p != any(ended{}) {
					t.Errorf("panic %v", p)
				}
			}()
			pgtest.Start(r, 3)
		}()
		said := r.skipped
		if ci != "" {
			said = r.failed
		}
		if !strings.Contains(said, "PostgreSQL 3") || r.skipped != "" && r.failed != "" {
			t.Errorf("CI=%q: skipped %q, failed %q", ci, r.skipped, r.failed)
		}
	}
}
