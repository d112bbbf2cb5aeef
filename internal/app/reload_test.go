package app

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/pgtest/fake"
)

// reloading is an App with a configuration to be changed, and its log.
type reloading struct {
	*App
	next config.Config
	err  error
	log  lockedBuffer

	closed chan struct{} // a server was
}

func startReloading(t *testing.T, s *fake.Server, edit func(*config.Config), watch ...func(event.Event)) *reloading {
	t.Helper()
	r := &reloading{closed: make(chan struct{}, 100)}
	o := options(t, s)
	edit(&o.Config)
	r.next = o.Config
	o.Load = func() (config.Config, error) { return r.next, r.err }
	o.Log = slog.New(slog.NewTextHandler(&r.log, nil))
	o.Watch = func(e event.Event) {
		if _, ok := e.(event.ServerClosed); ok {
			r.closed <- struct{}{}
		}
		for _, w := range watch {
			w(e)
		}
	}
	r.App = started(t, o)
	return r
}

// login tries to get in by password, and tells whether it worked.
func (r *reloading) login(t *testing.T, password string) bool {
	t.Helper()
	c := fake.Dial(t, r.Addrs()[0].String())
	defer c.Close()
	c.Put(fake.Startup(fake.V30, "user", "ann", "database", "db"), fake.Msg('p', password))
	c.Want("R")
	return c.Message().Type == 'R'
}

func users(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The auth file is read again, all or nothing; so is where it is, and the method.
func TestReloadUsers(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	path := filepath.Join(t.TempDir(), "users")
	users(t, path, `"ann" "one"`+"\n")
	r := startReloading(t, s, func(c *config.Config) { c.Auth = config.Auth{Method: config.Plain, File: path} })
	if !r.login(t, "one") || r.login(t, "two") {
		t.Fatal("before the reload the first password is not the right one")
	}
	users(t, path, `"ann" "two"`+"\n")
	if !r.login(t, "one") {
		t.Error("the new file counts without a reload")
	}
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if r.login(t, "one") || !r.login(t, "two") {
		t.Error("after the reload the second password is not the right one")
	}
	users(t, path, `"ann" "three`+"\n")
	if err := r.Reload(); err == nil || !strings.Contains(err.Error(), "users:1") {
		t.Errorf("a broken auth file: %v", err)
	}
	if !r.login(t, "two") {
		t.Error("a broken auth file changed something")
	}
	r.next.Auth = config.Auth{Method: config.Trust}
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	c := fake.Dial(t, r.Addrs()[0].String())
	c.Login(fake.V30, "user", "ann", "database", "db")
	if text := r.log.String(); strings.Contains(text, `"two`) || strings.Contains(text, "three") {
		t.Errorf("a password is in the log:\n%s", text)
	}
}

// What is wrong changes nothing, whichever step finds it; what was valid alone may not be with what needs a restart.
func TestReloadRefused(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	path := filepath.Join(t.TempDir(), "users")
	users(t, path, `"ann" "one"`+"\n")
	remote := func(c *config.Config) {
		c.Listen = []string{":0"}
		c.Auth = config.Auth{Method: config.Plain, File: path}
	}
	for _, tt := range []struct {
		name string
		edit func(r *reloading)
		want string
	}{
		{"not read", func(r *reloading) { r.err = errors.New("c.toml:3:1: one\nc.toml:4:1: two") }, "c.toml:4:1: two"},
		{"not valid", func(r *reloading) { r.next.Databases = nil }, "there is no database"},
		{"not valid with what stays", func(r *reloading) {
			r.next.Listen, r.next.Auth.Method = []string{"127.0.0.1:0"}, config.Trust
		}, "with what needs a restart as it is: listen"},
		{"no auth file", func(r *reloading) { r.next.Auth.File = path + ".gone" }, "cannot read the auth file"},
		{"unknown host", func(r *reloading) {
			r.next.Databases = []config.Database{config.NewDatabase("db")}
			r.next.Databases[0].Host = "no..such.host"
		}, "no..such.host, is not known"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := startReloading(t, s, remote)
			r.next.Pool.MaxClientConn = 7
			tt.edit(r)
			err := r.Reload()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			text := r.log.String()
			if !strings.Contains(text, "reload refused: nothing was changed") || strings.Contains(text, "reloaded") || strings.Count(text, "refused") != strings.Count(err.Error(), "\n")+1 {
				t.Errorf("log:\n%s", text)
			}
			if r.config.Pool.MaxClientConn == 7 || !r.login(t, "one") {
				t.Error("something was changed")
			}
		})
	}
}

// What needs a restart stays, is said, and is said again as long as it is so; the rest is taken.
func TestReloadKeepsWhatNeedsARestart(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	r := startReloading(t, s, func(*config.Config) {})
	before := r.Addrs()[0].String()
	r.next.Listen = []string{"127.0.0.1:1"}
	r.next.Pool.MaxClientConn = 1
	for range 2 {
		if err := r.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	c := fake.Dial(t, before)
	c.Login(fake.V30, "user", "ann", "database", "db")
	late := fake.Dial(t, before)
	late.Put(fake.Startup(fake.V30, "user", "ann", "database", "db"))
	late.WantError("53300")
	text := r.log.String()
	if strings.Count(text, "needs a restart") != 2 || strings.Count(text, "setting=max_client_conn old=100 new=1 holds=live") != 1 {
		t.Errorf("log:\n%s", text)
	}
}

// A database that goes takes no new clients; the one that is in works on, with the password that its entry had.
func TestReloadWithoutDatabase(t *testing.T) {
	s := fake.NewServer(t, fake.Config{Auth: fake.Cleartext, User: "ann", Password: "of the entry"})
	r := startReloading(t, s, func(c *config.Config) {
		c.Databases[0].Password, c.Timeouts.ServerIdle = "of the entry", time.Millisecond
	})
	c := fake.Dial(t, r.Addrs()[0].String())
	c.Login(fake.V30, "user", "ann", "database", "db")
	r.next.Databases = []config.Database{config.NewDatabase("another")}
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	late := fake.Dial(t, r.Addrs()[0].String())
	late.Put(fake.Startup(fake.V30, "user", "ann", "database", "db"))
	late.WantError("3D000")
	select {
	case <-r.closed:
	case <-time.After(fake.Patience):
		t.Fatal("the server at rest is not closed")
	}
	before := s.Accepted()
	c.Put(fake.Query("SELECT 1"))
	c.Want("CZ")
	if s.Accepted() == before {
		t.Error("no server was opened anew")
	}
}

// SET at the console holds at once and until the next reload; what is wrong or needs a restart changes nothing.
func TestSetHoldsUntilReload(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	r := startReloading(t, s, func(*config.Config) {})
	if err := r.Set("max_client_conn", "1"); err != nil {
		t.Fatal(err)
	}
	c := fake.Dial(t, r.Addrs()[0].String())
	c.Login(fake.V30, "user", "ann", "database", "db")
	late := fake.Dial(t, r.Addrs()[0].String())
	late.Put(fake.Startup(fake.V30, "user", "ann", "database", "db"))
	late.WantError("53300")
	for _, tt := range []struct{ key, value, want string }{
		{"listen", "127.0.0.1:1", "cannot be changed without a restart"}, {"max_client_conn", "0", "max_client_conn"},
		{"auth_type", "plain", "needs auth_file"}, {"nothing", "1", "unknown setting"},
	} {
		before := fmt.Sprintf("%+v", r.config)
		if err := r.Set(tt.key, tt.value); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s = %s: %v, want %q", tt.key, tt.value, err, tt.want)
		}
		if after := fmt.Sprintf("%+v", r.config); after != before {
			t.Errorf("%s = %s changed something:\n%s\n%s", tt.key, tt.value, before, after)
		}
	}
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	fake.Dial(t, r.Addrs()[0].String()).Login(fake.V30, "user", "ann", "database", "db")
}
