package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cancello/internal/pgtest/fake"
)

// asCommand makes the test binary behave as cancello, for the tests that need a process to send signals to.
const asCommand = "CANCELLO_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func TestCommandLine(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	const up = "--upstream=postgres://ann:hunter2@127.0.0.1:1/db"
	const try = "Try 'cancello serve --help'.\n"
	tests := []struct {
		args           string
		status         int
		stdout, stderr string // stderr whole; stdout a part
	}{
		{"", 0, "cancello [command]", ""},
		{"--help", 0, "cancello [command]", ""},
		{"help", 0, "cancello [command]", ""},
		{"help serve", 0, "--allow-remote-trust", ""},
		{"help me", 2, "", "cancello: unknown command \"me\"\nTry 'cancello help --help'.\n"},
		{"version", 0, "cancello " + version, ""},
		{"version x", 2, "", "cancello: unknown command \"x\" for \"cancello version\"\nTry 'cancello version --help'.\n"},
		{"serve --help", 0, "--allow-remote-trust", ""},
		{"demo --help", 0, "--once", ""},
		{"demo --twice", 2, "", "cancello: unknown flag: --twice\nTry 'cancello demo --help'.\n"},
		{"open", 2, "", "cancello: unknown command \"open\" for \"cancello\"\nTry 'cancello --help'.\n"},
		{"serve", 2, "", "cancello: --upstream is needed, or a configuration file: give the PostgreSQL to speak to, as --upstream \"postgres://USER@HOST:PORT/DB\"\n" + try},
		{"serve /nowhere/x.toml", 1, "", "cancello: cannot read the configuration file /nowhere/x.toml: no such file or directory\n"},
		{"serve a b", 2, "", "cancello: accepts at most 1 arg(s), received 2\n" + try},
		{"serve --http=localhost " + up, 2, "", "cancello: --http: http = \"localhost\" is not allowed: the port must be a number from 0 to 65535\n" + try},
		{"serve --log-format=xml " + up, 2, "", "cancello: --log-format: log_format = \"xml\" is not allowed: give text or json\n" + try},
		{"serve --http=" + busy.Addr().String() + " " + up, 1, "", "cancello: cannot listen on " + busy.Addr().String() + " for HTTP: the port is in use by another process; choose another with --http\n"},
		{"serve --pool " + up, 2, "", "cancello: unknown flag: --pool\n" + try},
		{"serve --upstream=mysql://x", 2, "", "cancello: --upstream: a URL must begin with postgres:// or postgresql://\n" + try},
		{"serve --pool-mode=statements " + up, 2, "", "cancello: --pool-mode: pool_mode = \"statements\" is not allowed: give session, transaction, statement or passthrough\n" + try},
		{"serve --pool-size=0 " + up, 2, "", "cancello: --pool-size: default_pool_size = \"0\" is not allowed: give a whole number from 1 to 100000\n" + try},
		{"serve --auth=pam " + up, 2, "", "cancello: --auth: auth_type = \"pam\" is not allowed: give trust, plain, md5, scram-sha-256 or cert\n" + try},
		{"serve --auth=plain " + up, 2, "", "cancello: auth_type = \"plain\" needs auth_file (--auth-file): give the file of users and passwords\n" + try},
		{"serve --set cancel_timeout " + up, 2, "", "cancello: --set cancel_timeout: give it as KEY=VALUE\n" + try},
		{"serve --set cancel_time=1s " + up, 2, "", "cancello: --set: unknown setting \"cancel_time\": did you mean cancel_timeout?\n" + try},
		{"serve --auth=scram-sha-256 --auth-file=/nowhere/users " + up, 1, "", "cancello: cannot read the auth file /nowhere/users: no such file or directory; give the file of users and passwords with --auth-file\n"},
		{"serve --upstream=postgres://no..such.host/db", 1, "", "cancello: the host of the upstream for database \"db\", no..such.host, is not known: correct it, or give its address\n"},
		{"serve --listen=" + busy.Addr().String() + " " + up, 1, "", "cancello: cannot listen on " + busy.Addr().String() + ": the port is in use by another process; choose another with --listen\n"},
		{"serve --listen=:6432 --listen=127.0.0.1 " + up, 2, "", "cancello: listen = \":6432\" with auth_type = \"trust\" would let in anybody who can reach it: use --auth scram-sha-256, listen on 127.0.0.1 or ::1, or say --allow-remote-trust\n" +
			"cancello: listen = \"127.0.0.1\": the port is missing: give HOST:PORT\n" + try},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := Main(context.Background(), strings.Fields(tt.args), &stdout, &stderr)
			if status != tt.status {
				t.Errorf("status %d, want %d", status, tt.status)
			}
			if !strings.Contains(stdout.String(), tt.stdout) || tt.stdout == "" && stdout.Len() > 0 {
				t.Errorf("stdout:\n%swant %q", stdout.String(), tt.stdout)
			}
			if stderr.String() != tt.stderr {
				t.Errorf("stderr:\n%swant:\n%s", stderr.String(), tt.stderr)
			}
			if strings.Contains(stdout.String()+stderr.String(), "hunter2") {
				t.Error("the password of the DSN is shown")
			}
		})
	}
}

// process is a cancello of its own.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	addr string
	done chan error

	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed and replaced at each line
}

var listening = regexp.MustCompile(`listening on (\S+) `)

// serveProcess starts "cancello serve" in the form that scripts use, and waits until it listens.
func serveProcess(t *testing.T, s *fake.Server, args ...string) *process {
	t.Helper()
	return startProcess(t, append([]string{"serve", "--listen", "127.0.0.1:0",
		"--upstream", fmt.Sprintf("postgres://ann@127.0.0.1:%d/db", s.Port()),
		"--pool-mode", "transaction", "--pool-size", "2", "--auth", "trust"}, args...)...)
}

// startProcess starts cancello and waits until it listens.
func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0], args...), done: make(chan error, 1), more: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asCommand+"=1")
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(stderr)
	t.Cleanup(func() { p.cmd.Process.Kill() })
	p.addr = listening.FindStringSubmatch(p.line("listening on"))[1]
	return p
}

// read collects the lines and waits for the end.
func (p *process) read(r io.Reader) {
	for sc := bufio.NewScanner(r); sc.Scan(); {
		p.mu.Lock()
		p.lines = append(p.lines, sc.Text())
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
	p.done <- p.cmd.Wait()
}

// line waits for a line with the text and returns it.
func (p *process) line(text string) string {
	p.t.Helper()
	limit := time.After(fake.Patience)
	for {
		p.mu.Lock()
		lines, more := p.lines, p.more
		p.mu.Unlock()
		for _, l := range lines {
			if strings.Contains(l, text) {
				return l
			}
		}
		select {
		case <-more:
		case <-limit:
			p.t.Fatalf("no line with %q in:\n%s", text, strings.Join(lines, "\n"))
		}
	}
}

func (p *process) signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// ended waits for the end and fails unless the status is 0.
func (p *process) ended() {
	p.t.Helper()
	select {
	case err := <-p.done:
		if err != nil {
			p.t.Errorf("it ended with %v", err)
		}
	case <-time.After(fake.Patience):
		p.t.Fatal("it does not end")
	}
}

func TestServeSaysWhatItDoes(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	p := serveProcess(t, s)
	want := fmt.Sprintf(`cancello: database "db" is on 127.0.0.1, port %d, as user "ann"`, s.Port())
	if got := p.line("is on"); got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	if got := p.line("listening"); !strings.HasSuffix(got, "(auth trust, pool_mode transaction, 2 servers per database and user)") {
		t.Errorf("it says %q", got)
	}
	c := fake.Dial(t, p.addr)
	g := c.Login(fake.V30, "user", "whoever", "database", "db")
	if s.Sessions()[0].Param("user") != "ann" {
		t.Error("the user of the DSN was not forced")
	}
	c.Put(fake.Query("sleep"))
	s.Await(t, "it runs", func() bool { return s.Sessions()[0].Running() })
	fake.SendCancel(t, p.addr, g.PID, g.Key)
	c.WantError("57014")
	p.line("msg=cancel outcome=cancelled")
	p.signal(syscall.SIGINT)
	p.line("draining")
	c.Close()
	p.ended()
}

func TestSignalsDrainThenStop(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run(sig.String(), func(t *testing.T) {
			s := fake.NewServer(t, fake.Config{})
			p := serveProcess(t, s)
			c := fake.Dial(t, p.addr)
			g := c.Login(fake.V30, "user", "ann", "database", "db")
			c.Put(fake.Query("BEGIN"))
			c.Want("CZ")
			p.signal(sig)
			p.line("draining")
			late := fake.Dial(t, p.addr)
			late.Put(fake.Startup(fake.V30, "user", "ann", "database", "db"))
			late.WantError("57P03")
			late.WantEOF()
			fake.SendCancel(t, p.addr, g.PID, g.Key)
			c.Put(fake.Query("SELECT 1"))
			c.Want("CZ")
			p.signal(sig)
			p.line("stopping at once")
			p.ended()
		})
	}
}

// With log_format json every line is an object, the first ones too.
func TestLogFormatJSON(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	p := serveProcess(t, s, "--log-format", "json", "--http", "0")
	p.line("health and metrics on http://127.0.0.1:")
	c := fake.Dial(t, p.addr)
	c.Login(fake.V30, "user", "ann", "database", "db")
	p.line("client joined")
	p.signal(syscall.SIGTERM)
	p.ended()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lines {
		if !json.Valid([]byte(l)) || !strings.HasPrefix(l, "{") {
			t.Errorf("not an object: %s", l)
		}
	}
}
