package proxy

import (
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/pgtest/fake"
)

// full makes every new descriptor of w one of the reserve.
func full(w *world) { w.fds.limit.Store(reserve) }

// Where only the descriptors for cancels are left, cancels are taken, in clear and over TLS; clients are told why they
// are not.
func TestReserveIsForCancels(t *testing.T) {
	a := fake.NewAuthority(t)
	var lines strings.Builder
	w := newWorld(t, newScript(), withClientTLS(t, a, config.SSLAllow), func(s *Settings) { s.Log = slog.New(slog.NewTextHandler(&lines, nil)) })
	full(w)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c := fake.Dial(t, w.addr())
		c.Put(fake.Startup(fake.V30, "user", "u"))
		c.WantError("53300")
		c.WantEOF()
		s := asked(t, w, trusting(a, alpn))
		s.Put(fake.Startup(fake.V30, "user", "u"))
		s.WantError("53300")

		fake.SendCancel(t, w.addr(), testPID, testKey)
		next(t, w.cancels, "a cancel in clear")
		s = asked(t, w, trusting(a, alpn))
		s.Put(fake.Cancel(testPID+1, testKey))
		if r := next(t, w.cancels, "a cancel over TLS"); r.PID != testPID+1 {
			t.Errorf("cancel of %d", r.PID)
		}
	}
	select {
	case <-w.logins:
		t.Error("the engine was asked to let somebody in")
	default:
	}
	w.fds.refresh()
	fake.Dial(t, w.addr()).Login(fake.V30, "user", "u")
	w.Stop()
	if n := strings.Count(lines.String(), "file descriptors have run out"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &lines)
	}
}

// A login over TLS that began below the reserve needs one descriptor more, and it may not be one of those.
func TestHandOverTakesNoReserve(t *testing.T) {
	a := fake.NewAuthority(t)
	s := newScript()
	var w *world
	s.login = func(s *script, _ time.Duration, l engine.Login, _ engine.Request) {
		full(w)
		s.out.Admit(l, admitted())
	}
	w = newWorld(t, s, withClientTLS(t, a, config.SSLPrefer))
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	c := asked(t, w, trusting(a))
	c.Put(fake.Startup(fake.V30, "user", "u"))
	if text := c.WantError("53300"); !strings.Contains(text, "sorry") {
		t.Errorf("the error says %q", text)
	}
	c.WantEOF()
	next(t, s.closed, "the end of a connection that was reserved from the loop")
}

// A server is not dialed with a descriptor that a cancel may need, a cancel is carried with it.
func TestServersTakeNoReserve(t *testing.T) {
	srv := fake.NewServer(t, fake.Config{})
	w := start(t, newScript())
	w.connected(1, target(srv))
	full(w)
	w.dialTo(2, target(srv))
	if f := next(t, w.script.failed, "the failure"); !strings.Contains(f.Message, "no file descriptor is left for it") {
		t.Errorf("failed: %+v", f)
	}
	if n := len(srv.Sessions()); n != 1 {
		t.Errorf("the server has seen %d sessions, want one", n)
	}
	w.on(func(time.Duration) { w.out.Carry(1, 1, 0) })
	if d := next(t, w.done, "the cancel"); d.result != engine.Delivered {
		t.Errorf("the cancel was %v", d.result)
	}
}

// Half of the reserve may be others', and no more.
func TestScarce(t *testing.T) {
	w := start(t, newScript())
	c := fake.Dial(t, w.addr())
	fd := int64(number(c.Conn))
	for limit, want := range map[int64]bool{fd + 1: true, fd + reserve/2: true, fd + reserve/2 + 1: false} {
		w.fds.limit.Store(limit)
		if got := w.Scarce(c.Conn); got != want {
			t.Errorf("descriptor %d of %d: %v", fd, limit, got)
		}
	}
	if near, _ := net.Pipe(); w.Scarce(near) {
		t.Error("what has no descriptor takes one")
	}
}

func TestExhausted(t *testing.T) {
	for err, want := range map[error]bool{
		syscall.EMFILE: true, syscall.ENFILE: true, errNoDescriptor{7}: true, syscall.ECONNREFUSED: false, errors.New("x"): false,
	} {
		if got := exhausted(errors.Join(errors.New("dial"), err)); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// How many may stay without a startup packet depends on what clients and servers need.
func TestRoomForTheSilent(t *testing.T) {
	for _, tt := range []struct{ limit, clients, want int }{
		{1 << 20, 100, maxSilent}, {1024, 100, 1024 - 100 - 20 - reserve - ownDescriptors}, {376, 100, minSilent}, {100, 100, minSilent},
	} {
		c := config.Default()
		c.Databases = []config.Database{{Name: "db"}}
		c.Pool.MaxClientConn = tt.clients
		d := &descriptors{}
		d.limit.Store(int64(tt.limit))
		if got := d.room(&c); got != tt.want {
			t.Errorf("limit %d: %d, want %d", tt.limit, got, tt.want)
		}
	}
}

// A reload that changes how many are promised changes how many may be silent.
func TestReconfigureResizesTheLobby(t *testing.T) {
	w := start(t, newScript())
	w.lobby.resize(1)
	w.Proxy.Reconfigure(*newConfig(), w.access.Load().verifier, Passwords{})
	w.lobby.mu.Lock()
	defer w.lobby.mu.Unlock()
	if want := w.fds.room(newConfig()); w.lobby.limit != want {
		t.Errorf("%d places, want %d", w.lobby.limit, want)
	}
}

// More connections than may be silent are held, and more come all the time: each cancel is heard.
func TestCancelsPassTheSilent(t *testing.T) {
	w := start(t, newScript())
	limit := w.fds.room(newConfig())
	for range limit {
		fake.Dial(t, w.addr())
	}
	for range 50 {
		for range 10 {
			fake.Dial(t, w.addr()).Put([]byte{0}) // a byte of a startup packet
		}
		fake.SendCancel(t, w.addr(), testPID, testKey)
		next(t, w.cancels, "the cancel")
	}
	w.lobby.mu.Lock()
	defer w.lobby.mu.Unlock()
	if n := w.lobby.queue.Len(); n > limit+250 { // those who are being told to go stand in front
		t.Errorf("%d are in the lobby, %d may be", n, limit)
	}
}
