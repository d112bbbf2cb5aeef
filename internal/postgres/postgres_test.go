package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// childEnv makes this test binary the process that is killed, or the one that is not root.
const childEnv = "CANCELLO_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}

// child starts a cluster, says what it is, and waits for the end of its input.
func child() int {
	in, err := Find(0)
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	c, err := New(context.Background(), Options{Install: in, Template: true})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Printf("running %d %s %s\n", c.PID(), c.folder.path, c.Account())
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := c.Stop(); err != nil {
		fmt.Println("error:", err)
		return 1
	}
	return 0
}

func install(t *testing.T, major int) Install {
	t.Helper()
	in, err := Find(major)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return in
}

func start(t *testing.T, o Options) *Cluster {
	t.Helper()
	o.Template = true
	c, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(c.folder.path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there", c.folder.path)
		}
	})
	return c
}

func ask(t *testing.T, dsn, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var answer string
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// Both versions run side by side, over TCP and the Unix socket, with what they were told.
func TestClusters(t *testing.T) {
	for _, major := range []int{15, 18} {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			odd := `it's a \ name`
			c := start(t, Options{Install: install(t, major), Settings: map[string]string{"application_name": odd, "max_connections": "17"}})
			other := start(t, Options{Install: c.Install()})
			if other.Port() == c.Port() {
				t.Errorf("two clusters on port %d", c.Port())
			}
			for _, dsn := range []string{c.DSN("postgres", "postgres"), c.SocketDSN("postgres", "template1")} {
				if got := ask(t, dsn, "SHOW max_connections"); got != "17" {
					t.Errorf("%s: max_connections %s, want 17", dsn, got)
				}
				if got := ask(t, dsn, "SHOW server_version"); !strings.HasPrefix(got, fmt.Sprint(major)) {
					t.Errorf("%s: server_version %s, want %d", dsn, got, major)
				}
				if got := ask(t, dsn, "SELECT reset_val FROM pg_settings WHERE name = 'application_name'"); got != odd {
					t.Errorf("%s: application_name %q, want %q", dsn, got, odd)
				}
			}
			// Else the Ctrl-C of a terminal would stop it behind our back.
			if group, err := syscall.Getpgid(c.PID()); err != nil || group != c.PID() {
				t.Errorf("process group %d of server %d (%v)", group, c.PID(), err)
			}
			if got := ask(t, c.DSN("postgres", "postgres"), "SHOW fsync"); got != "off" {
				t.Errorf("fsync %s, want off", got)
			}
		})
	}
}

func TestAuth(t *testing.T) {
	in := install(t, 0)
	for _, auth := range []Auth{Trust, Password, MD5, SCRAM} {
		t.Run(string(auth), func(t *testing.T) {
			c := start(t, Options{Install: in, Auth: auth})
			conn, err := pgx.Connect(t.Context(), c.SocketDSN("postgres", "postgres"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.Background())
			if _, err := conn.Exec(t.Context(), "CREATE ROLE r LOGIN PASSWORD 'right'"); err != nil {
				t.Fatal(err)
			}
			for password, want := range map[string]bool{"right": true, "wrong": auth == Trust} {
				config, err := pgx.ParseConfig(c.DSN("r", "postgres"))
				if err != nil {
					t.Fatal(err)
				}
				config.Password = password
				conn, err := pgx.ConnectConfig(t.Context(), config)
				if err == nil {
					conn.Close(context.Background())
				}
				var refusal *pgconn.PgError
				if !want && (!errors.As(err, &refusal) || refusal.Code != "28P01") || want && err != nil {
					t.Errorf("the %s password: %v", password, err)
				}
			}
		})
	}
}

func TestHBA(t *testing.T) {
	c := start(t, Options{Install: install(t, 0), HBA: "local all postgres trust\nhost all all all reject\n"})
	if _, err := pgx.Connect(t.Context(), c.DSN("postgres", "postgres")); err == nil {
		t.Error("rejected by the rules, and yet let in")
	}
	ask(t, c.SocketDSN("postgres", "postgres"), "SHOW fsync")
}

// What was committed outlives a kill of the server; its shared memory does not outlive the cluster.
func TestKillAndRestart(t *testing.T) {
	for _, major := range []int{15, 18} {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			c := start(t, Options{Install: install(t, major)})
			dsn := c.DSN("postgres", "postgres")
			conn, err := pgx.Connect(t.Context(), dsn)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 'still here' AS word"); err != nil {
				t.Fatal(err)
			}
			backend := int(conn.PgConn().PID())
			broken := make(chan error, 1)
			go func() {
				_, err := conn.Exec(context.Background(), "SELECT pg_sleep(600)")
				broken <- err
			}()
			port, pid := c.Port(), c.PID()
			if err := c.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := <-broken; err == nil {
				t.Error("the query of a killed server succeeded")
			}
			for _, pid := range []int{pid, backend} {
				if err := syscall.Kill(pid, 0); err == nil {
					if _, state, ok := readStat(fmt.Sprintf("/proc/%d/stat", pid)); ok && state != "Z" {
						t.Errorf("process %d is in state %s after the kill", pid, state)
					}
				}
			}
			if c.PID() != 0 {
				t.Error("a killed server has a pid")
			}
			if err := c.Kill(); err == nil {
				t.Error("killed twice")
			}
			segment := readPidFile(c.DataDir())[6]
			if err := c.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if c.Port() != port {
				t.Errorf("port %d, was %d", c.Port(), port)
			}
			if got := ask(t, dsn, "SELECT word FROM kept"); got != "still here" {
				t.Errorf("kept %q", got)
			}
			if !strings.Contains(c.Log(), "database system was interrupted") {
				t.Errorf("the log doesn't speak of recovery:\n%s", c.Log())
			}
			if err := c.Kill(); err != nil {
				t.Fatal(err)
			}
			again := readPidFile(c.DataDir())[6]
			if err := c.Stop(); err != nil {
				t.Fatal(err)
			}
			for _, s := range []string{segment, again} {
				var key, id int
				if _, err := fmt.Sscan(s, &key, &id); err != nil {
					t.Fatalf("shared memory %q: %v", s, err)
				}
				var desc unix.SysvShmDesc
				if _, err := unix.SysvShmCtl(id, unix.IPC_STAT, &desc); err == nil {
					t.Errorf("shared memory segment %d is left", id)
				}
			}
			if c.Log() == "" {
				t.Error("the log is lost after Stop")
			}
		})
	}
}

// An open transaction does not hold up a stop.
func TestStopWithClients(t *testing.T) {
	c := start(t, Options{Install: install(t, 0)})
	conn, err := pgx.Connect(t.Context(), c.DSN("postgres", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took >= fastLimit {
		t.Errorf("the fast stop took %s", took)
	}
	if err := c.Stop(); err != nil {
		t.Errorf("the second stop: %v", err)
	}
	if _, err := conn.Exec(context.Background(), "SELECT 1"); err == nil {
		t.Error("the connection outlived the server")
	}
	if l, err := net.Listen("tcp", c.Addr()); err != nil {
		t.Errorf("the port is still taken: %v", err)
	} else {
		l.Close()
	}
	if err := c.Restart(t.Context()); err == nil {
		t.Error("restarted after Stop")
	}
}

// A server that refuses to start says why in the error, and leaves no folder.
func TestStartFailure(t *testing.T) {
	in := install(t, 0)
	root := ownRoot(t) // others make and remove folders all the time
	for name, c := range map[string]struct {
		options Options
		want    string
	}{
		"setting": {Options{Install: in, Settings: map[string]string{"shared_buffers": "lots"}}, `invalid value for parameter "shared_buffers"`},
		"name":    {Options{Install: in, Settings: map[string]string{"no name": "x"}}, `setting "no name"`},
		"value":   {Options{Install: in, Settings: map[string]string{"work_mem": "1\n2"}}, "setting work_mem"},
		"auth":    {Options{Install: in, Auth: "ident"}, `authentication "ident"`},
		"install": {Options{}, "Options.Install"},
		"account": {Options{Install: in, Account: "nobody-knows-it"}, "nobody-knows-it"},
	} {
		c.options.Template = true
		cluster, err := New(t.Context(), c.options)
		if err == nil {
			t.Errorf("%s: started", name)
			cluster.Stop()
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\nwant: %s", name, err, c.want)
		}
	}
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("no longer wanted"))
	if _, err := New(gone, Options{Install: in}); err == nil {
		t.Error("started with an ended context")
	}
	if after := folders(t, root); len(after) > 0 {
		t.Errorf("left behind: %v", after)
	}
}

// ownRoot makes a place for folders that no other process uses.
func ownRoot(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp(folderRoot(mustAccount(t)), "own-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil { // the account has to enter it
		t.Fatal(err)
	}
	t.Setenv("CANCELLO_TMP", root)
	return root
}

func mustAccount(t *testing.T) account {
	t.Helper()
	who, err := serverAccount("")
	if err != nil {
		t.Fatal(err)
	}
	return who
}

func folders(t *testing.T, root string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, folderPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// Without a cache to write to, initdb runs for each cluster, as the account nobody.
func TestNobodyWithoutCache(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can run PostgreSQL as somebody else")
	}
	in := install(t, 0)
	t.Setenv("CANCELLO_CACHE", "/proc/nowhere")
	c := start(t, Options{Install: in, Account: "nobody"})
	if c.Account() != "nobody" {
		t.Errorf("run by %s", c.Account())
	}
	info, err := os.Stat(c.DataDir())
	if err != nil {
		t.Fatal(err)
	}
	if stat := info.Sys().(*syscall.Stat_t); stat.Uid == 0 || info.Mode().Perm() != 0o700 {
		t.Errorf("data folder: uid %d, mode %o", stat.Uid, info.Mode().Perm())
	}
	ask(t, c.DSN("postgres", "postgres"), "SHOW fsync")
}
