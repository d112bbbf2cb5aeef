package test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
)

// oddServer is a running server that is not PostgreSQL as we know it.
type oddServer struct {
	host string
	port int
	cmd  *exec.Cmd
	in   io.WriteCloser
	said *transcript
	// frozen says that it is held by stopping its process: all that it does is in one thread. Others hold each pg_sleep.
	frozen bool
}

// startOdd starts a server; it is killed with the test, or with this process.
func startOdd(t *testing.T, cmd *exec.Cmd) *oddServer {
	t.Helper()
	o := &oddServer{cmd: cmd, said: newTranscript()}
	cmd.Env = cleanEnvironment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, say, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = say, say
	if o.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	started, done := make(chan error), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // the child dies with the thread that made it
		err := cmd.Start()
		say.Close()
		started <- err
		if err == nil {
			o.said.fill(out)
			_ = cmd.Wait()
		}
		out.Close()
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		if t.Failed() {
			t.Logf("the server said:\n%s", o.said)
		}
	})
	return o
}

// hold lets no query end until release.
func (o *oddServer) hold(t *testing.T) {
	t.Helper()
	if !o.frozen {
		return
	}
	if err := o.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.cmd.Process.Signal(syscall.SIGCONT) }) // for the next test
}

func (o *oddServer) release(t *testing.T) {
	t.Helper()
	err := error(nil)
	if o.frozen {
		err = o.cmd.Process.Signal(syscall.SIGCONT)
	} else {
		_, err = io.WriteString(o.in, "\n")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// count is how often it has said something.
func (o *oddServer) count(what string) int { return strings.Count(o.said.String(), what) }

// pglite starts PGlite behind its socket server.
func pglite(t *testing.T) *oddServer {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		pgtest.Missing(t, "Node.js: run `make drivers`")
	}
	modules, err := nodeModules("node-others", "others")
	if err != nil {
		pgtest.Missing(t, fmt.Sprintf("PGlite: %v: run `make drivers`", err))
	}
	folder := t.TempDir()
	o := startOdd(t, exec.Command(node, filepath.Join(modules, ".bin", "pglite-server"), "--path", filepath.Join(folder, ".s.PGSQL.5432"), "--max-connections", "20"))
	o.said.await(t, regexp.MustCompile(`PGLiteSocketServer listening`))
	o.host, o.port, o.frozen = folder, 5432, true
	return o
}

// psqlWire starts a server built on psql-wire, with keys as it is told.
func psqlWire(t *testing.T, keys ...string) *oddServer {
	t.Helper()
	path := filepath.Join(t.TempDir(), "psqlwire")
	build := exec.Command("go", "build", "-o", path, ".")
	build.Dir = filepath.Join("..", "probe", "testdata", "psqlwire")
	if out, err := build.CombinedOutput(); err != nil {
		pgtest.Missing(t, fmt.Sprintf("psql-wire can't be built: %v: run `make drivers`\n%s", err, out))
	}
	o := startOdd(t, exec.Command(path, append([]string{"127.0.0.1:0"}, keys...)...))
	m := o.said.await(t, regexp.MustCompile(`listening on (127\.0\.0\.1):(\d+)`))
	o.host = m[1]
	o.port, _ = strconv.Atoi(m[2])
	return o
}

// oddWay is a way to use such a server, and what becomes of a cancel.
type oddWay struct {
	mode     string
	fallback string // cancel_fallback; empty: as it is by default
	outcome  string // empty: clients have no keys
}

// The ways where servers have no keys that can be used.
func keylessWays(passed string) []oddWay {
	return []oddWay{
		{"transaction", "", "disconnected"}, {"transaction", "none", "unsupported"},
		{"session", "", "disconnected"}, {"session", "none", "unsupported"},
		{"passthrough", "", passed},
	}
}

// Real servers without keys, with zeros for keys, with one for everybody, and with keys of their own: the request ends
// what cancel_fallback says and nothing else. A dummy key is told once. No CancelRequest goes out that could mean another,
// and whoever comes next finds all in order.
func TestOddServers(t *testing.T) {
	for name, tt := range map[string]struct {
		start func(t *testing.T) *oddServer
		key   string // in SHOW UPSTREAMS
		ways  []oddWay
	}{
		"PGlite":                  {pglite, "dummy", keylessWays("unsupported")},
		"psql-wire":               {func(t *testing.T) *oddServer { return psqlWire(t) }, "none", keylessWays("")},
		"psql-wire, zeros":        {func(t *testing.T) *oddServer { return psqlWire(t, "--keys=zero") }, "dummy", keylessWays("unsupported")},
		"psql-wire, one for all":  {func(t *testing.T) *oddServer { return psqlWire(t, "--keys=same") }, "dummy", keylessWays("unsupported")},
		"psql-wire, keys for all": {func(t *testing.T) *oddServer { return psqlWire(t, "--keys") }, "", []oddWay{{"transaction", "", "cancelled"}, {"session", "", "cancelled"}, {"passthrough", "", "forwarded"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := tt.start(t)
			for _, w := range tt.ways {
				t.Run(strings.TrimSuffix(w.mode+" "+w.fallback, " "), func(t *testing.T) { w.try(t, o, tt.key) })
			}
		})
	}
}

// file is the configuration of a gate to such a server. Both servers are to be open before the cancel.
func (w oddWay) file(t *testing.T, o *oddServer) string {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "auth.admin_users = [\"postgres\"]\npool.pool_mode = %q\n[databases.postgres]\nhost = %q\nport = %d\nsslmode = \"disable\"\npool_size = 5\n", w.mode, o.host, o.port)
	if w.mode != "passthrough" {
		fmt.Fprintf(&b, "min_pool_size = 2\n")
	}
	if w.fallback != "" {
		fmt.Fprintf(&b, "cancel_fallback = %q\n", w.fallback)
	}
	path := filepath.Join(t.TempDir(), "cancello.toml")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (w oddWay) try(t *testing.T, o *oddServer, key string) {
	g := startGate(t, gateOptions{file: w.file(t, o)})
	other, x := enter(t, g), enter(t, g)
	until(t, "both servers to be open", func() bool { return strings.Count(g.Log(), `msg="server connected"`) >= 2 })
	for _, c := range []*joined{other, x} {
		if ask(c, "SELECT 1") != "1" {
			t.Fatal("it can't be asked")
		}
	}
	sent, sleeps := o.count("a CancelRequest"), o.count("a pg_sleep")
	if (len(x.key) == 0) != (w.outcome == "") {
		t.Errorf("a key of %d bytes", len(x.key))
	}
	o.hold(t)
	sleep := fake.Query("SELECT pg_sleep(600)") // release ends it
	if o.frozen {
		sleep = fake.Query("SELECT pg_sleep(0.1)")
	}
	x.Put(sleep)
	other.Put(sleep)
	if !o.frozen {
		until(t, "both run", func() bool { return o.count("a pg_sleep") == sleeps+2 })
	}
	if w.outcome != "" {
		fake.SendCancel(t, g.Addr(), x.pid, x.key)
		g.outcome(t, 1, w.outcome)
	}
	usable := w.ended(t, x)
	o.release(t)
	slept(t, other, "a stranger's")
	if w.outcome == "unsupported" || w.outcome == "" {
		slept(t, x, "the")
	}
	next := []*joined{other, enter(t, g)}
	if usable {
		next = append(next, x)
	}
	for _, c := range next {
		if got := ask(c, "SELECT 1"); got != "1" {
			t.Errorf("the next query: %q", got)
		}
	}
	went := 0
	if w.outcome == "cancelled" || w.outcome == "forwarded" {
		went = 1
	}
	if n := o.count("a CancelRequest") - sent; n != went {
		t.Errorf("it was sent %d CancelRequests, want %d", n, went)
	}
	told := 0
	if key == "dummy" {
		told = 1
	}
	if n := strings.Count(g.Log(), "gives no usable cancel key"); n != told {
		t.Errorf("a dummy key was told %d times, want %d", n, told)
	}
	if got := strings.TrimSpace(upstreams(t, g)); !strings.HasSuffix(got, "|"+key) || strings.Contains(got, "\n") {
		t.Errorf("SHOW UPSTREAMS says %q, want %q for the key", got, key)
	}
}

// ended hears what the client is told of its cancel before the query could end by itself, and says whether it may go on.
func (w oddWay) ended(t *testing.T, x *joined) (usable bool) {
	t.Helper()
	switch w.outcome {
	case "disconnected":
		heard := x.Until("E") // some have sent RowDescription
		if e := heard[len(heard)-1]; e.Field('C') != "08007" || !strings.Contains(e.Field('M'), "outcome is unknown") {
			t.Error(errorText(e))
		}
		if w.mode == "session" {
			x.WantEOF()
			return false
		}
		x.Want("Z")
	case "cancelled", "forwarded":
		heard := x.Until("E")
		if e := heard[len(heard)-1]; e.Field('C') != "57014" {
			t.Error(errorText(e))
		}
		x.Want("Z")
	}
	return true
}

// slept hears that a query has ended as it would have.
func slept(t *testing.T, c *joined, whose string) {
	t.Helper()
	if types := fake.Types(c.Until("Z")); !strings.HasSuffix(types, "TDCZ") {
		t.Errorf("%s query ends with %q", whose, types)
	}
}
