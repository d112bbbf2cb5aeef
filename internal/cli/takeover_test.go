package cli

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cancello/internal/pgtest/fake"
)

// notified gives NOTIFY_SOCKET's other end.
func notified(t *testing.T) (told func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	ln, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		t.Helper()
		b := make([]byte, 1000)
		ln.SetReadDeadline(time.Now().Add(fake.Patience))
		n, err := ln.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

// systemd learns which process is the main one where both are of one run of a unit, and nothing of that where they are not.
func TestNotifyOfTakeover(t *testing.T) {
	for _, same := range []bool{true, false} {
		t.Run(fmt.Sprint("one unit: ", same), func(t *testing.T) {
			told := notified(t)
			t.Setenv("INVOCATION_ID", "0123")
			set := "takeover_socket=" + filepath.Join(t.TempDir(), "takeover")
			s := fake.NewServer(t, fake.Config{})
			old := serveProcess(t, s, "--set", set)
			if got := told(); got != "READY=1" {
				t.Fatalf("systemd is told %q", got)
			}
			c := fake.Dial(t, old.addr)
			c.Login(fake.V30, "user", "ann", "database", "db")
			c.Put(fake.Query("BEGIN"))
			c.Want("CZ")
			if !same {
				t.Setenv("INVOCATION_ID", "4567")
			}
			next := serveProcess(t, s, "--set", set, "--takeover")
			want := []string{fmt.Sprintf("MAINPID=%d", next.cmd.Process.Pid), fmt.Sprintf("READY=1\nMAINPID=%d", next.cmd.Process.Pid)}
			if !same {
				want = []string{"READY=1", fmt.Sprintf("STATUS=draining: process %d has taken over", next.cmd.Process.Pid)}
			}
			got := []string{told(), told()}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("systemd is told %q, want %q", got, want)
			}
			c.Close()
			old.ended()
			if !same {
				if got := told(); got != "STOPPING=1" {
					t.Errorf("systemd is told %q", got)
				}
			}
			next.signal(syscall.SIGHUP) // it is the next to say something
			if got := told(); !strings.HasPrefix(got, "RELOADING=1") {
				t.Errorf("systemd is told %q", got)
			}
			next.signal(syscall.SIGTERM)
			next.ended()
		})
	}
}

// SIGUSR2 has a process start its successor by itself.
func TestUpgrade(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	p := serveProcess(t, s, "--set", "takeover_socket="+filepath.Join(t.TempDir(), "takeover"))
	p.signal(syscall.SIGUSR2)
	line := p.line("a new process was started to take over")
	_, after, _ := strings.Cut(line, "process=")
	pid, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	p.line("took over from another process")
	fake.Dial(t, p.addr).Login(fake.V30, "user", "ann", "database", "db")
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.ended()
}

// activated starts "cancello serve" as systemd does, with listeners of the test's own by their names.
func activated(t *testing.T, names []string, listeners []net.Listener, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, os.Args[0]}, args...)...)
	cmd.Env = append(os.Environ(), asCommand+"=1", "LISTEN_FDS="+strconv.Itoa(len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	for _, ln := range listeners {
		f, err := ln.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	return cmd
}

// startActivated starts one.
func startActivated(t *testing.T, names []string, listeners []net.Listener, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: activated(t, names, listeners, args...), done: make(chan error, 1), more: make(chan struct{})}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	go p.read(stderr)
	return p
}

// opened are sockets as systemd opens them: a port, a Unix socket in dir, and another port.
func opened(t *testing.T, dir string) (listeners []net.Listener) {
	t.Helper()
	for _, at := range [][2]string{{"tcp", "127.0.0.1:0"}, {"unix", dir + "/.s.PGSQL.6433"}, {"tcp", "127.0.0.1:0"}} {
		ln, err := net.Listen(at[0], at[1])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		listeners = append(listeners, ln)
	}
	return listeners
}

// What systemd has opened is taken over as what else is listened on, whether systemd passes it to the next process, too, or not;
// it stays systemd's to the last.
func TestSystemdTakeover(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	dir := t.TempDir()
	listeners := opened(t, dir)
	tcp, unix, peers := listeners[0].Addr().String(), listeners[1].Addr().String(), listeners[2].Addr().String()
	names := []string{"pg", "pg", "peer_listen"}
	t.Setenv("CANCELLO_CLUSTER_SECRET", "hunter2 hunter2 hunter2 one")
	args := []string{"serve", "--listen", tcp, "--listen", dir + ":6433", "--set", "node=1", "--set", "peer_listen=" + peers,
		"--set", "takeover_socket=" + filepath.Join(dir, "takeover"), "--upstream", fmt.Sprintf("postgres://ann@127.0.0.1:%d/db", s.Port())}
	var last *process
	for generation, start := range []func() *process{
		func() *process { return startActivated(t, names, listeners, args...) },
		func() *process { return startActivated(t, names, listeners, append(args, "--takeover")...) },
		func() *process { return startProcess(t, append(args, "--takeover")...) },
		func() *process { return startProcess(t, append(args, "--takeover")...) },
	} {
		p := start()
		p.line("listening on " + tcp)
		if last != nil {
			last.ended()
		}
		for _, at := range []string{tcp, unix} {
			c := fake.Dial(t, at)
			c.Login(fake.V30, "user", "ann", "database", "db")
			c.Close()
		}
		fake.SendCancel(t, peers, 1<<30|1<<20|1, []byte("none")) // returns: somebody accepts there
		if _, err := os.Stat(unix); err != nil {
			t.Fatalf("systemd's socket, after process %d: %v", generation, err)
		}
		last = p
	}
	last.signal(syscall.SIGTERM)
	last.ended()
	if _, err := os.Stat(unix); err != nil {
		t.Errorf("systemd's socket, at the end: %v", err)
	}
}

// The sockets that systemd has opened are listened on, whoever was there first; they stay systemd's.
func TestSystemdSockets(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	dir := t.TempDir()
	listeners := opened(t, dir)
	tcp, unix, http := listeners[0].Addr().String(), listeners[1].Addr().String(), listeners[2].Addr().String()
	early := fake.Dial(t, tcp)
	args := []string{"serve", "--listen", tcp, "--listen", dir + ":6433", "--http", http, "--upstream", fmt.Sprintf("postgres://ann@127.0.0.1:%d/db", s.Port())}
	names := []string{"pg", "pg", "http"}

	p := startActivated(t, names, listeners, args...)
	p.line("health and metrics on http://" + http)
	for _, c := range []*fake.Client{early, fake.Dial(t, tcp), fake.Dial(t, unix)} {
		c.Login(fake.V30, "user", "ann", "database", "db")
	}
	p.signal(syscall.SIGTERM)
	p.ended()
	if _, err := os.Stat(unix); err != nil {
		t.Errorf("systemd's socket: %v", err)
	}

	out, err := activated(t, names, listeners, append(args, "--http", "0")...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "systemd passed sockets that no setting names: "+http+" (http)") {
		t.Errorf("an address that is not configured: %v: %s", err, out)
	}
}
