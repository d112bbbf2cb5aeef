package test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cancello/internal/auth"
	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/key"
	"cancello/internal/obs"
	"cancello/internal/pgtest"
	"cancello/internal/postgres"
	"cancello/internal/proxy"
)

// patience bounds every single wait for something that is to happen: long enough for a loaded machine.
const patience = 30 * time.Second

// majors are the versions of PostgreSQL behind the gate.
var majors = []int{15, 18}

// modes are the values of pool_mode.
var modes = []string{"session", "transaction"}

// built is the program under test, built by the first test that needs it.
var built struct {
	once sync.Once
	dir  string
	path string
	err  error
}

func TestMain(m *testing.M) {
	pgtest.Beside(4)
	code := pgtest.Around(m).Run()
	if built.dir != "" {
		if err := os.RemoveAll(built.dir); err != nil {
			fmt.Fprintln(os.Stderr, "remove the program under test:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// program is the path of the program under test.
func program(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "cancello-test-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "cancello")
		out, err := exec.Command("go", "build", "-o", built.path, "cancello/cmd/cancello").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("build the program: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// gateOptions say what Cancello is started with. What is empty is left to its defaults.
type gateOptions struct {
	upstreams []string // DSNs, at least one: see upstream
	mode      string   // session or transaction
	size      int      // default_pool_size
	auth      string   // trust, plain or scram-sha-256
	authFile  string   // path; see userlist
	set       []string // KEY=VALUE each
	env       []string // more environment for the child: NAME=VALUE each
	file      string   // path of a configuration file
	files     int      // most open files, soft and hard
	listen    []string // more places to listen on
	flags     []string // more of them
}

// args is the command line.
func (o gateOptions) args() []string {
	a := []string{"serve", "--listen", "127.0.0.1:0"}
	for _, at := range o.listen {
		a = append(a, "--listen", at)
	}
	if o.file != "" {
		a = append(a, o.file)
	}
	for _, u := range o.upstreams {
		a = append(a, "--upstream", u)
	}
	if o.mode != "" {
		a = append(a, "--pool-mode", o.mode)
	}
	if o.size != 0 {
		a = append(a, "--pool-size", strconv.Itoa(o.size))
	}
	if o.auth != "" {
		a = append(a, "--auth", o.auth)
	}
	if o.authFile != "" {
		a = append(a, "--auth-file", o.authFile)
	}
	for _, kv := range o.set {
		a = append(a, "--set", kv)
	}
	return append(a, o.flags...)
}

// command is the program with its arguments.
func (o gateOptions) command(t testing.TB) *exec.Cmd {
	t.Helper()
	if o.files == 0 {
		return exec.Command(program(t), o.args()...)
	}
	limited := fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, o.files)
	return exec.Command("sh", append([]string{"-c", limited, program(t)}, o.args()...)...)
}

// config is the same for a gate in this process.
func (o gateOptions) config(t testing.TB) config.Config {
	t.Helper()
	c := config.Default()
	c.Listen = []string{"127.0.0.1:0"}
	for _, u := range o.upstreams {
		db, err := config.ParseDSN(u)
		if err != nil {
			t.Fatal(err)
		}
		c.Databases = append(c.Databases, db)
	}
	set := o.set
	if o.mode != "" {
		set = append([]string{"pool_mode=" + o.mode}, set...)
	}
	if o.size != 0 {
		set = append([]string{"default_pool_size=" + strconv.Itoa(o.size)}, set...)
	}
	for _, kv := range set {
		name, value, _ := strings.Cut(kv, "=")
		if err := config.Set(&c, name, value); err != nil {
			t.Fatal(err)
		}
	}
	if o.auth != "" && o.auth != "trust" {
		t.Fatal("a gate in this process has auth trust only")
	}
	if err := config.Validate(&c); err != nil {
		t.Fatal(err)
	}
	return c
}

// upstream is the DSN of a cluster for a gate: clients ask for the database by its name, and everybody logs in to the
// server as user, or under his own name where that is empty.
func upstream(c *postgres.Cluster, user, database string) string {
	u := url.URL{Scheme: "postgres", Host: c.Addr(), Path: "/" + database}
	if user != "" {
		u.User = url.User(user)
	}
	return u.String()
}

// userlist writes an auth file of the given lines.
func userlist(t testing.TB, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.txt")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// address is where a gate or a server listens.
type address struct {
	host string
	port int
}

// Addr is host:port.
func (a address) Addr() string { return net.JoinHostPort(a.host, strconv.Itoa(a.port)) }

// DSN is the URL of a database, without TLS. More parameters may be given as name=value.
func (a address) DSN(user, database string, params ...string) string {
	u := url.URL{Scheme: "postgres", User: url.User(user), Host: a.Addr(), Path: "/" + database}
	u.RawQuery = strings.Join(append([]string{"sslmode=disable"}, params...), "&")
	return u.String()
}

// direct is the way past the gate.
func direct(c *postgres.Cluster) address { return address{c.Host(), c.Port()} }

// gate is Cancello as a child process.
type gate struct {
	address
	t    testing.TB
	cmd  *exec.Cmd
	log  *transcript
	done chan struct{} // closed when it has ended
	err  error         // how; after done

	killed bool // by the test
}

// listening is what Cancello says when it is ready.
var listening = regexp.MustCompile(`listening on (127\.0\.0\.1):(\d+)`)

// startGate starts Cancello and waits until it listens; it is stopped with the test.
func startGate(t testing.TB, o gateOptions) *gate {
	t.Helper()
	g := &gate{t: t, cmd: o.command(t), log: newTranscript(), done: make(chan struct{})}
	g.cmd.Env = append(cleanEnvironment(), o.env...)
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := g.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan error)
	go func() {
		// The child dies with the thread that made it, so with this process; the thread lives as long as the child.
		runtime.LockOSThread()
		err := g.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		g.log.fill(stderr)
		g.err = g.cmd.Wait()
		close(g.done)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.Stop()
		if t.Failed() {
			t.Logf("the end of Cancello's log:\n%s", pgtest.End(g.Log()))
		}
	})
	m := g.log.await(t, listening)
	g.host = m[1]
	if g.port, err = strconv.Atoi(m[2]); err != nil {
		t.Fatal(err)
	}
	return g
}

// cleanEnvironment is ours without what would reach PostgreSQL's programs or Cancello's passwords.
func cleanEnvironment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "PG") && !strings.HasPrefix(kv, "HOME=") {
			env = append(env, kv)
		}
	}
	return append(env, "HOME=/nonexistent")
}

// PID is the process.
func (g *gate) PID() int { return g.cmd.Process.Pid }

// Log is what it has said so far.
func (g *gate) Log() string { return g.log.String() }

// AwaitLog waits for a line and returns what the expression found.
func (g *gate) AwaitLog(expr string) []string {
	g.t.Helper()
	return g.log.await(g.t, regexp.MustCompile(expr))
}

// Stop ends it at once and waits; stopping again does nothing. A gate that ended otherwise than by our signals, by a
// panic for one, fails the test.
func (g *gate) Stop() {
	g.t.Helper()
	_ = g.cmd.Process.Signal(syscall.SIGTERM) // an error says that it has ended
	select {
	case <-g.done:
	case <-time.After(100 * time.Millisecond): // signals that come together are one
		_ = g.cmd.Process.Signal(syscall.SIGTERM) // which doesn't wait for clients
	}
	select {
	case <-g.done:
	case <-time.After(patience):
		_ = g.cmd.Process.Kill()
		<-g.done
		g.t.Errorf("Cancello did not end within %s of the second SIGTERM", patience)
	}
	if g.err != nil && !g.killed && !g.t.Failed() {
		g.t.Errorf("Cancello ended: %v", g.err)
	}
}

// memory is what a process holds in RAM, in bytes: now, and at its highest so far.
type memory struct{ now, peak int64 }

// Memory reads the child's.
func (g *gate) Memory() memory {
	g.t.Helper()
	m, err := memoryOf(g.PID())
	if err != nil {
		g.t.Fatal(err)
	}
	return m
}

// memoryOf reads VmRSS and VmHWM of a process.
func memoryOf(pid int) (memory, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	var m memory
	for line := range strings.Lines(string(status)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kb); n == 1 {
			m.now = kb << 10
		}
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			m.peak = kb << 10
		}
	}
	if m.now == 0 || m.peak == 0 {
		return memory{}, fmt.Errorf("no VmRSS or VmHWM in the status of process %d", pid)
	}
	return m, nil
}

// Descriptors is how many files the child has open.
func (g *gate) Descriptors() int {
	g.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", g.PID()))
	if err != nil {
		g.t.Fatal(err)
	}
	return len(entries)
}

// transcript keeps what a process says.
type transcript struct {
	mu    sync.Mutex
	text  strings.Builder
	grown chan struct{} // closed and replaced at each line
	ended bool
}

func newTranscript() *transcript { return &transcript{grown: make(chan struct{})} }

// fill reads to the end.
func (s *transcript) fill(r io.Reader) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		s.mu.Lock()
		s.text.WriteString(line)
		s.ended = err != nil
		close(s.grown)
		s.grown = make(chan struct{})
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// String is all of it.
func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await waits until the expression is found.
func (s *transcript) await(t testing.TB, expr *regexp.Regexp) []string {
	t.Helper()
	limit := time.After(patience)
	for {
		s.mu.Lock()
		m, ended, grown := expr.FindStringSubmatch(s.text.String()), s.ended, s.grown
		s.mu.Unlock()
		switch {
		case m != nil:
			return m
		case ended:
			t.Fatalf("it ended and did not say %q:\n%s", expr, s)
		}
		select {
		case <-grown:
		case <-limit:
			t.Fatalf("it did not say %q within %s:\n%s", expr, patience, s)
		}
	}
}

// inProcess is Cancello within the test's own process: for a deliberate bug, and to look at what it counts.
type inProcess struct {
	address
	sink *obs.Sink
}

// startInProcess starts a gate in this process with a deliberate bug, or engine.NoBug. It ends with the test.
func startInProcess(t testing.TB, o gateOptions, bug engine.Bug) *inProcess {
	t.Helper()
	c := o.config(t)
	log := newTranscript()
	r, w := io.Pipe()
	filled := make(chan struct{})
	go func() { log.fill(r); close(filled) }()
	g := &inProcess{sink: obs.New(slog.New(slog.NewTextHandler(w, nil)))}
	minter := key.NewMinter(0, [4]byte{1, 2, 3, 4}, []byte("the secret of a test's own keys!"))
	p, err := proxy.New(proxy.Settings{
		Config: c,
		Engine: func(out engine.Outside) proxy.Engine {
			e := engine.New(c, out, minter)
			e.Sabotage(bug)
			return e
		},
		Keys:     minter,
		Verifier: auth.NewVerifier(auth.Trust, nil, make([]byte, 32)),
		Emit:     g.sink.Emit,
		Log:      slog.New(slog.NewTextHandler(w, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop()
		g.sink.Close()
		_ = w.Close() // a pipe's never fails
		<-filled
		if t.Failed() {
			t.Logf("the end of Cancello's log:\n%s", pgtest.End(log.String()))
		}
	})
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	addr := p.Addrs()[0].(*net.TCPAddr)
	g.address = address{addr.IP.String(), addr.Port}
	return g
}

// Counts is how many cancels have reached each outcome.
func (g *inProcess) Counts() [event.Outcomes]uint64 { return g.sink.Counts() }

// until asks again and again, and fails the test when the answer doesn't become true in time.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-again.C:
		case <-limit:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// superuser asks a cluster something past the gate, over its Unix socket; the answer is one value as text, "" for
// none.
func superuser(t testing.TB, c *postgres.Cluster, sql string) string {
	t.Helper()
	out := pgtest.PSQL(t, c.Install().Major, "-At", "-v", "ON_ERROR_STOP=1", "-d", c.SocketDSN("postgres", "postgres"), "-c", sql)
	if out.Code != 0 {
		t.Fatalf("psql -c %q: %+v", sql, out)
	}
	return strings.TrimSuffix(out.Stdout, "\n")
}

// each runs f for every version and mode, by name: the versions side by side, the modes in turn, since what f makes in a
// cluster is called the same in both.
func each(t *testing.T, f func(t *testing.T, major int, mode string)) {
	for _, major := range majors {
		turn := &sync.Mutex{}
		for _, mode := range modes {
			t.Run(fmt.Sprintf("%d %s", major, mode), func(t *testing.T) {
				t.Parallel()
				turn.Lock()
				t.Cleanup(turn.Unlock) // the last thing that it does
				f(t, major, mode)
			})
		}
	}
}

// wait waits for a program that runs, and kills it when it hangs.
func wait(t testing.TB, cmd *exec.Cmd) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	undo := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !undo() && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Errorf("%s hung for %s", filepath.Base(cmd.Path), patience)
	}
	return err
}

// The harness itself: a child answers a query, in both modes, on both versions, and ends when told.
func TestGate(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		c := pgtest.Start(t, major)
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: mode, size: 2})
		out := pgtest.PSQL(t, pgtest.SystemLibpq, "-At", "-d", g.DSN("postgres", "postgres"), "-c", "SHOW server_version_num")
		if out.Code != 0 || !strings.HasPrefix(out.Stdout, strconv.Itoa(major)) {
			t.Errorf("%+v", out)
		}
		if m := g.Memory(); m.peak < m.now || m.now < 1<<20 {
			t.Errorf("memory %+v", m)
		}
		p := startInProcess(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: mode, size: 2}, engine.NoBug)
		out = pgtest.PSQL(t, pgtest.SystemLibpq, "-At", "-d", p.DSN("postgres", "postgres"), "-c", "SELECT 1")
		if out.Code != 0 || out.Stdout != "1\n" {
			t.Errorf("%+v", out)
		}
	})
}
