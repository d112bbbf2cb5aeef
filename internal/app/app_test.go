package app

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/pgtest/fake"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// options are those of an App before a fake.
func options(t *testing.T, s *fake.Server) Options {
	t.Helper()
	d, err := config.ParseDSN(fmt.Sprintf("postgres://127.0.0.1:%d/db", s.Port()))
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Listen = []string{"127.0.0.1:0"}
	c.Databases = []config.Database{d}
	c.Pool.Mode = config.Transaction
	return Options{Config: c, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

func started(t *testing.T, o Options) *App {
	t.Helper()
	a, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	return a
}

// outcomes collects how cancels end.
type outcomes struct{ seen chan event.Outcome }

func (o *outcomes) watch(e event.Event) {
	if c, ok := e.(event.CancelSettled); ok {
		o.seen <- c.Outcome
	}
}

func (o *outcomes) want(t *testing.T, want event.Outcome) {
	t.Helper()
	select {
	case got := <-o.seen:
		if got != want {
			t.Errorf("outcome %v, want %v", got, want)
		}
	case <-time.After(fake.Patience):
		t.Fatalf("no outcome, want %v", want)
	}
}

func TestCancelHitsOnlyItsQuery(t *testing.T) {
	for _, version := range []uint32{fake.V30, fake.V32} {
		t.Run(fmt.Sprintf("%#x", version), func(t *testing.T) {
			s := fake.NewServer(t, fake.Config{})
			o := options(t, s)
			o.Config.Pool.DefaultSize = 2
			out := &outcomes{make(chan event.Outcome, 10)}
			o.Watch = out.watch
			a := started(t, o)
			addr := a.Addrs()[0].String()

			one, two, three := fake.Dial(t, addr), fake.Dial(t, addr), fake.Dial(t, addr)
			g1 := one.Login(version, "user", "ann", "database", "db")
			two.Login(version, "user", "ann", "database", "db")
			g3 := three.Login(version, "user", "ann", "database", "db")
			if want := map[uint32]int{fake.V30: 4, fake.V32: 32}[version]; len(g1.Key) != want || g1.PID == 0 {
				t.Errorf("pid %d and %d bytes of key, want %d", g1.PID, len(g1.Key), want)
			}
			one.Put(fake.Query("sleep"))
			two.Put(fake.Query("sleep"))
			s.Await(t, "both run", func() bool {
				n := 0
				for _, x := range s.Sessions() {
					if x.Running() {
						n++
					}
				}
				return n == 2
			})

			fake.SendCancel(t, addr, g1.PID, g1.Key)
			one.WantError("57014")
			one.Want("Z")
			out.want(t, event.Cancelled)

			one.Put(fake.Query("sleep"))
			s.Await(t, "the first runs again", func() bool {
				for _, x := range s.Sessions() {
					if !x.Running() {
						return false
					}
				}
				return true
			})
			three.Put(fake.Query("SELECT 1")) // waits: two servers, both busy
			fake.SendCancel(t, addr, g3.PID, g3.Key)
			three.WantError("57014")
			three.Want("Z")
			out.want(t, event.Unqueued)

			fake.SendCancel(t, addr, g3.PID, g3.Key)
			out.want(t, event.Idle)
			fake.SendCancel(t, addr, g3.PID^1, []byte{9, 9, 9, 9})
			out.want(t, event.UnknownKey)
			for _, x := range s.Sessions() {
				if !x.Running() {
					t.Error("a cancel hit a stranger")
				}
			}
			counts := a.Counts()
			if counts[event.Cancelled] != 1 || counts[event.Unqueued] != 1 || counts[event.Idle] != 1 || counts[event.UnknownKey] != 1 {
				t.Errorf("counts %v", counts)
			}
		})
	}
}

// A server that has no key to give: the cancel closes its connection, and the client is told what that means.
func TestCancelWithoutKey(t *testing.T) {
	s := fake.NewServer(t, fake.Config{Key: fake.NoKey})
	o := options(t, s)
	out := &outcomes{make(chan event.Outcome, 10)}
	o.Watch = out.watch
	a := started(t, o)
	addr := a.Addrs()[0].String()
	c := fake.Dial(t, addr)
	g := c.Login(fake.V30, "user", "ann", "database", "db")
	c.Put(fake.Query("sleep"))
	s.Await(t, "it runs", func() bool { return len(s.Sessions()) == 1 && s.Sessions()[0].Running() })
	fake.SendCancel(t, addr, g.PID, g.Key)
	c.WantError("08007")
	c.Want("Z")
	out.want(t, event.Disconnected)
	c.Put(fake.Query("SELECT 1"))
	c.Want("CZ")
	if n := len(s.Cancels()); n != 0 {
		t.Errorf("%d CancelRequests were sent to a server that has no key", n)
	}
}

func TestDrain(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	a := started(t, options(t, s))
	addr := a.Addrs()[0].String()
	c := fake.Dial(t, addr)
	g := c.Login(fake.V30, "user", "ann", "database", "db")
	c.Put(fake.Query("sleep"))
	s.Await(t, "it runs", func() bool { return len(s.Sessions()) == 1 && s.Sessions()[0].Running() })
	a.Drain()
	late := fake.Dial(t, addr)
	late.Put(fake.Startup(fake.V30, "user", "ann", "database", "db"))
	late.WantError("57P03")
	late.WantEOF()
	select {
	case <-a.Drained():
		t.Fatal("drained with a client at work")
	default:
	}
	fake.SendCancel(t, addr, g.PID, g.Key)
	c.WantError("57014")
	c.Close()
	select {
	case <-a.Drained():
	case <-time.After(fake.Patience):
		t.Fatal("not drained")
	}
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "users")
	if err := os.WriteFile(bad, []byte("\"ann\" \"x\"\nann x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	tests := []struct {
		name string
		edit func(*config.Config)
		want string
	}{
		{"nothing to speak to", func(c *config.Config) { c.Databases = nil }, "give at least one --upstream DSN"},
		{"trust for all", func(c *config.Config) { c.Listen = []string{"0.0.0.0:0"} }, "--allow-remote-trust"},
		{"no auth file", func(c *config.Config) { c.Auth = config.Auth{Method: config.SCRAM, File: filepath.Join(dir, "none")} },
			"no such file or directory; give the file of users and passwords with --auth-file"},
		{"a folder for auth file", func(c *config.Config) { c.Auth = config.Auth{Method: config.SCRAM, File: dir} }, "is a directory"},
		{"bad auth file", func(c *config.Config) { c.Auth = config.Auth{Method: config.Plain, File: bad} }, "users:2"},
		{"unknown host", func(c *config.Config) { c.Databases[0].Host = "no..such.host" }, "no..such.host, is not known: correct it"},
		{"port in use", func(c *config.Config) { c.Listen = []string{busy.Addr().String()} }, "the port is in use by another process"},
	}
	s := fake.NewServer(t, fake.Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options(t, s)
			tt.edit(&o.Config)
			a, err := Start(o)
			if err == nil {
				a.Stop()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want a line with %q", err, tt.want)
			}
		})
	}
}

func TestPasswordsAsLibpqFindsThem(t *testing.T) {
	env := func(kv ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(kv); i += 2 {
				if kv[i] == name {
					return kv[i+1]
				}
			}
			return ""
		}
	}
	tests := []struct {
		getenv         func(string) string
		password, file string
	}{
		{nil, "", ""},
		{env(), "", ""},
		{env("PGPASSWORD", "x", "HOME", "/house/ann"), "x", "/house/ann/.pgpass"},
		{env("PGPASSFILE", "/f", "HOME", "/house/ann"), "", "/f"},
	}
	for _, tt := range tests {
		if p := passwords(nil, tt.getenv); p.Environment != tt.password || p.Passfile != tt.file {
			t.Errorf("password %q, passfile %q; want %q, %q", p.Environment, p.Passfile, tt.password, tt.file)
		}
	}
}

// The secrets that it was given never reach the log, whatever happens.
func TestSecretsStayOutOfTheLog(t *testing.T) {
	s := fake.NewServer(t, fake.Config{Auth: fake.SCRAM, User: "ann", Password: "server-secret"})
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte(`"ann" "client-secret"`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log lockedBuffer
	o := options(t, s)
	o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o.Config.Auth = config.Auth{Method: config.Plain, File: users}
	o.Config.Databases[0].Password = "wrong-secret"
	a := started(t, o)
	for _, pw := range []string{"mistyped-secret", "client-secret"} {
		c := fake.Dial(t, a.Addrs()[0].String())
		c.Put(fake.Startup(fake.V30, "user", "ann", "database", "db"), fake.Msg('p', pw))
		c.Want("R")
		if text := c.Want("E")[0]; strings.Contains(string(text.Body), "secret") {
			t.Errorf("the client is told %q", text.Body)
		}
	}
	a.Stop()
	if text := log.String(); strings.Contains(text, "secret") || !strings.Contains(text, "login refused") || !strings.Contains(text, "server connection failed") {
		t.Errorf("log:\n%s", text)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
