package proxy

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/pgtest/fake"
	"cancello/internal/wire"
)

// listening are the places listened on.
func listening(addrs ...string) option {
	return func(s *Settings) { s.Config.Listen = addrs }
}

func TestUnixListener(t *testing.T) {
	abstractName := fmt.Sprintf("@cancello-test-%d", os.Getpid())
	for name, at := range map[string]string{"file": t.TempDir(), "abstract": abstractName} {
		t.Run(name, func(t *testing.T) {
			w := start(t, newScript(), listening("127.0.0.1:0", at+":6433"))
			path := at + "/.s.PGSQL.6433"
			if got := w.Addrs()[1].String(); got != path {
				t.Fatalf("listens on %s", got)
			}
			c := fake.Dial(t, path)
			c.Put(sslRequest)
			if b := c.Byte(); b != 'N' {
				t.Errorf("SSLRequest is answered %q", b)
			}
			c.Login(fake.V30, "user", "u")
			want := fmt.Sprintf("unix(%d)", os.Getpid())
			if r := next(t, w.logins, "the login"); r.Remote != want {
				t.Errorf("the client comes from %q, want %q", r.Remote, want)
			}
			c.Put(fake.Query("select 1"))
			next(t, w.got, "the query")

			cancel := fake.Dial(t, path)
			cancel.Put(wire.AppendCancelRequest(nil, testPID, testKey))
			if r := next(t, w.cancels, "the cancel"); r.PID != testPID || r.Remote != want {
				t.Errorf("%+v", r)
			}
			cancel.WantEOF()
			w.Stop()
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("after Stop the socket: %v", err)
			}
		})
	}
}

// Who asks for TLS must get it over TCP; a Unix socket is this machine's own.
func TestUnixListenerNeedsNoTLS(t *testing.T) {
	dir := t.TempDir()
	w := start(t, newScript(), listening(dir+":6433"), withClientTLS(t, fake.NewAuthority(t), config.SSLRequire))
	fake.Dial(t, w.Addrs()[0].String()).Login(fake.V30, "user", "u")
}

func TestUnixSocketMode(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, ".s.PGSQL.6432")
	start(t, newScript(), listening(dir), func(s *Settings) {
		s.Config.Socket = config.Socket{Mode: "0620", Group: strconv.Itoa(os.Getgid())}
	})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o620 || int(info.Sys().(*syscall.Stat_t).Gid) != os.Getgid() {
		t.Errorf("%v, group %d", info.Mode(), info.Sys().(*syscall.Stat_t).Gid)
	}
}

// What a process left that is no more is removed, whoever it was.
func TestStaleSocketIsRemoved(t *testing.T) {
	dir := t.TempDir()
	old, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.6432"))
	if err != nil {
		t.Fatal(err)
	}
	old.(*net.UnixListener).SetUnlinkOnClose(false)
	old.Close()
	w := start(t, newScript(), listening(dir))
	fake.Dial(t, w.Addrs()[0].String()).Login(fake.V30, "user", "u")
}

func TestUnixListenErrors(t *testing.T) {
	live, file, gone := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "gone")
	busy := start(t, newScript(), listening(live, fmt.Sprintf("@cancello-busy-%d", os.Getpid())))
	if err := os.WriteFile(filepath.Join(file, ".s.PGSQL.6432"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ at, group, want string }{
		{live, "", "another process listens there"},
		{fmt.Sprintf("@cancello-busy-%d", os.Getpid()), "", "another process listens there"},
		{file, "", "there is a file of that name which is no socket"},
		{gone, "", "its folder is not there"},
		{t.TempDir(), "no such group", `unix_socket_group = "no such group": there is no such group`},
	} {
		w := newWorld(t, newScript(), listening("127.0.0.1:0", tt.at+":6432"), func(s *Settings) { s.Config.Socket.Group = tt.group })
		err := w.Start()
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", tt.at, err, tt.want)
		}
		w.Stop()
	}
	if b, err := os.ReadFile(filepath.Join(file, ".s.PGSQL.6432")); err != nil || string(b) != "mine" {
		t.Errorf("the file: %q, %v", b, err)
	}
	fake.Dial(t, busy.Addrs()[0].String()).Login(fake.V30, "user", "u") // it wasn't harmed
}

// ipv6 skips where the machine has no IPv6.
func ipv6(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	ln.Close()
}

func TestIPv6Listener(t *testing.T) {
	ipv6(t)
	w := start(t, newScript(), listening("[::1]:0", ":0"))
	for _, addr := range []string{
		w.Addrs()[0].String(),
		fmt.Sprintf("127.0.0.1:%d", w.Addrs()[1].(*net.TCPAddr).Port),
		fmt.Sprintf("[::1]:%d", w.Addrs()[1].(*net.TCPAddr).Port), // one listener for both
	} {
		fake.Dial(t, addr).Login(fake.V30, "user", "u")
		cancel := fake.Dial(t, addr)
		cancel.Put(wire.AppendCancelRequest(nil, testPID, testKey))
		next(t, w.cancels, "the cancel through "+addr)
	}
}

// Servers over IPv6 and over an abstract Unix socket, and cancels to them.
func TestServersElsewhere(t *testing.T) {
	for name, at := range map[string]struct{ host, listen string }{
		"IPv6":     {"::1", "[::1]:%d"},
		"abstract": {fmt.Sprintf("@cancello-server-%d", os.Getpid()), fmt.Sprintf("@cancello-server-%d/.s.PGSQL.%%d", os.Getpid())},
	} {
		t.Run(name, func(t *testing.T) {
			network := "unix"
			if name == "IPv6" {
				ipv6(t)
				network = "tcp"
			}
			s := fake.NewServer(t, fake.Config{})
			ln, err := net.Listen(network, fmt.Sprintf(at.listen, s.Port()))
			if err != nil {
				t.Fatal(err)
			}
			s.Serve(ln)
			w := start(t, newScript())
			to := target(s)
			to.Host = at.host
			if !w.connected(1, to).info.HasKey {
				t.Error("no key")
			}
			w.on(func(time.Duration) { w.out.Carry(1, 1, 0) })
			if d := next(t, w.done, "the end of the order"); d.result != engine.Delivered {
				t.Errorf("result %v", d.result)
			}
			if seen := s.Cancels(); len(seen) != 1 || !seen[0].Matched {
				t.Errorf("cancels %+v", seen)
			}
		})
	}
}
