package proxy

import (
	"net"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/pgtest/fake"

	"golang.org/x/sys/unix"
)

// ours finds this process's socket that is connected to a port, and reads an option of it.
func ours(t *testing.T, peer int, level, option int) int {
	t.Helper()
	for fd := range 4096 {
		if at, err := unix.Getpeername(fd); err == nil {
			if at, ok := at.(*unix.SockaddrInet4); ok && at.Port == peer {
				n, err := unix.GetsockoptInt(fd, level, option)
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
		}
	}
	t.Fatalf("no socket is connected to port %d", peer)
	return 0
}

// kept is what the system says of one of our sockets.
type kept struct{ alive, count, idle, interval, timeout int }

func keptOf(t *testing.T, peer int) kept {
	tcp := func(option int) int { return ours(t, peer, unix.IPPROTO_TCP, option) }
	return kept{ours(t, peer, unix.SOL_SOCKET, unix.SO_KEEPALIVE), tcp(unix.TCP_KEEPCNT), tcp(unix.TCP_KEEPIDLE), tcp(unix.TCP_KEEPINTVL), tcp(unix.TCP_USER_TIMEOUT)}
}

// systems is what a socket has of which nothing was said.
func systems(t *testing.T) kept {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	d := net.Dialer{KeepAlive: -1}
	nc, err := d.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	return keptOf(t, ln.Addr().(*net.TCPAddr).Port)
}

func TestKeepalives(t *testing.T) {
	plain := systems(t)
	on := plain
	on.alive = 1
	all := config.Network{Keepalive: true, KeepCount: 4, KeepIdle: 1500 * time.Millisecond, KeepInterval: 7 * time.Second, UserTimeout: 12345 * time.Millisecond}
	for _, tt := range []struct {
		name   string
		all    config.Network
		db     config.DatabaseNetwork
		client kept
		server kept
	}{
		{"default", config.Default().Network, config.DatabaseNetwork{}, on, on},
		{"off", config.Network{}, config.DatabaseNetwork{}, plain, plain},
		{"all", all, config.DatabaseNetwork{}, kept{1, 4, 2, 7, 12345}, kept{1, 4, 2, 7, 12345}},
		{"too long for the system", config.Network{Keepalive: true, KeepIdle: 8760 * time.Hour, UserTimeout: 8760 * time.Hour}, config.DatabaseNetwork{},
			kept{1, plain.count, maxKeepSeconds, plain.interval, 1<<31 - 1}, kept{1, plain.count, maxKeepSeconds, plain.interval, 1<<31 - 1}},
		{"of the database", all, config.DatabaseNetwork{Keepalive: config.Give(false), UserTimeout: config.Give(time.Second)},
			kept{1, 4, 2, 7, 12345}, kept{plain.alive, plain.count, plain.idle, plain.interval, 1000}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := fake.NewServer(t, fake.Config{})
			w := start(t, newScript(), func(set *Settings) { set.Config.Network = tt.all })
			c := fake.Dial(t, w.addr())
			c.Login(fake.V30, "user", "u")
			if got := keptOf(t, c.LocalAddr().(*net.TCPAddr).Port); got != tt.client {
				t.Errorf("of a client: %+v, want %+v", got, tt.client)
			}
			to := target(s)
			to.Entry.Network = tt.db
			w.connected(1, to)
			if got := keptOf(t, s.Port()); got != tt.server {
				t.Errorf("of a server: %+v, want %+v", got, tt.server)
			}
			w.on(func(time.Duration) { w.out.Carry(1, 1, 0) })
			next(t, w.done, "the end of the order")
		})
	}
}

// A reload concerns the next connection.
func TestKeepalivesReload(t *testing.T) {
	w := start(t, newScript())
	c := w.config.Load()
	updated := *c
	updated.Network.KeepCount = 9
	w.config.Store(&updated)
	client := fake.Dial(t, w.addr())
	client.Login(fake.V30, "user", "u")
	if got := keptOf(t, client.LocalAddr().(*net.TCPAddr).Port); got.count != 9 {
		t.Errorf("%+v", got)
	}
}
