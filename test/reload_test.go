package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
	"cancello/internal/postgres"
)

// reloaded is a gate with a configuration file, between two servers that have a database of the same name.
type reloaded struct {
	t        *testing.T
	gate     *gate
	file     string
	old, new *postgres.Cluster
}

const reloadDatabase = "reload"

func newReloaded(t *testing.T) *reloaded {
	r := &reloaded{t: t, file: filepath.Join(t.TempDir(), "cancello.toml"), old: pgtest.Start(t, 15), new: pgtest.Start(t, 18)}
	for _, c := range []*postgres.Cluster{r.old, r.new} {
		superuser(t, c, "DROP DATABASE IF EXISTS "+reloadDatabase+" WITH (FORCE)")
		superuser(t, c, "CREATE DATABASE "+reloadDatabase)
	}
	return r
}

// write makes the file anew, with the database at a cluster.
func (r *reloaded) write(c *postgres.Cluster, general, entry string) {
	r.t.Helper()
	text := fmt.Sprintf("pool.pool_mode = \"transaction\"\n%s\n[databases.%s]\nhost = %q\nport = %d\n%s\n", general, reloadDatabase, c.Host(), c.Port(), entry)
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// reload sends SIGHUP and waits for the line of the log that ends it.
func (r *reloaded) reload(line string) {
	r.t.Helper()
	if err := r.gate.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		r.t.Fatal(err)
	}
	r.gate.AwaitLog(line)
}

// connections is how many the gate has to the database at a cluster.
func (r *reloaded) connections(c *postgres.Cluster) string {
	r.t.Helper()
	return strings.TrimSpace(superuser(r.t, c, "SELECT count(*) FROM pg_stat_activity WHERE datname = '"+reloadDatabase+"'"))
}

func (r *reloaded) login() *raw {
	r.t.Helper()
	return login(r.t, r.gate.Addr(), "postgres", reloadDatabase)
}

const whichMajor = "SELECT current_setting('server_version_num')::int / 10000"

// A database moves from one server to another, is configured wrongly, goes and comes back, while clients work: what is
// under way ends where it began, cancels included, and nobody notices more than that.
func TestReload(t *testing.T) {
	r := newReloaded(t)
	r.write(r.old, "", "")
	r.gate = startGate(t, gateOptions{file: r.file})

	inTransaction := r.login()
	inTransaction.query("BEGIN")
	sleeper := fake.Dial(t, r.gate.Addr())
	g := sleeper.Login(fake.V32, "user", "postgres", "database", reloadDatabase)
	sleeper.Put(fake.Query("SELECT pg_sleep(60)"))
	until(t, "the sleeper sleeps", func() bool {
		return strings.TrimSpace(superuser(t, r.old, "SELECT count(*) FROM pg_stat_activity WHERE datname = '"+reloadDatabase+"' AND wait_event = 'PgSleep'")) == "1"
	})

	r.write(r.new, "", "pool_size = 1")
	r.reload(`msg=reloaded changes=2 need_restart=0`)
	if major := inTransaction.value(whichMajor); major != "15" {
		t.Errorf("an open transaction goes on at %s", major)
	}
	if c := r.connections(r.new); c != "0" {
		t.Errorf("%s connections to the new place, and nobody asked for one", c)
	}
	fake.SendCancel(t, r.gate.Addr(), g.PID, g.Key)
	sleeper.Want("T")
	sleeper.WantError("57014")
	sleeper.Want("Z")
	inTransaction.query("COMMIT")
	until(t, "the old place is left", func() bool { return r.connections(r.old) == "0" })
	if major := inTransaction.value(whichMajor); major != "18" {
		t.Errorf("the next query goes to %s", major)
	}
	sleeper.Put(fake.Query("SELECT 1"))
	sleeper.Until("T") // behind what is different at the new place
	sleeper.Want("DCZ")
	if c := r.connections(r.new); c != "1" {
		t.Errorf("%s connections, pool_size is 1", c)
	}

	r.write(r.old, "listen_port = 3", "pool_size = 0")
	r.reload(`cancello\.toml:2:1: unknown setting \\"listen_port\\": did you mean listen\?`)
	r.gate.AwaitLog(`cancello\.toml:6:1: pool_size = \\"0\\" is not allowed`)
	if major := r.login().value(whichMajor); major != "18" {
		t.Errorf("a file that was refused sends a client to %s", major)
	}

	r.write(r.new, "[databases.another]", "")
	text := strings.ReplaceAll(r.text(), "[databases."+reloadDatabase+"]", "[databases.third]")
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r.reload(`setting="database \\"reload\\"" .*new=""`)
	late := dialRaw(t, r.gate.Addr())
	late.send(fake.Startup(fake.V30, "user", "postgres", "database", reloadDatabase))
	late.listen()
	if said := late.until("EZ"); said[len(said)-1].Field('C') != "3D000" {
		t.Errorf("a client of a database that is not configured hears %s", summary(said))
	}
	if major := inTransaction.value(whichMajor); major != "18" {
		t.Errorf("who is in goes to %s", major)
	}

	r.write(r.new, "", "")
	r.reload(`setting="database \\"reload\\"" .*old=""`)
	if major := r.login().value(whichMajor); major != "18" {
		t.Errorf("a database that came back is at %s", major)
	}
}

func (r *reloaded) text() string {
	r.t.Helper()
	b, err := os.ReadFile(r.file)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

// --check of the real program, as a deployment would run it: its status, and where it says what.
func TestCheckOnly(t *testing.T) {
	r := newReloaded(t)
	r.write(r.old, "", "")
	out, err := exec.Command(program(t), "serve", r.file, "--check").Output()
	if want := fmt.Sprintf("database %q is on %s, port %d, as each client's own user\n", reloadDatabase, r.old.Host(), r.old.Port()); err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v:\n%swant %s", err, out, want)
	}
	r.write(r.old, "pool.default_pool_size = -1", "")
	cmd := exec.Command(program(t), "serve", r.file, "--check")
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 1 || stdout.Len() > 0 || !strings.Contains(stderr.String(), "cancello.toml:2:1: default_pool_size") {
		t.Errorf("%v: %s%s", err, &stdout, &stderr)
	}
}
