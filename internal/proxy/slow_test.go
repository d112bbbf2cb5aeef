package proxy

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"cancello/internal/auth"
	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/pgtest/fake"
)

func withFailedDelay(d time.Duration) option {
	return func(s *Settings) { s.Config.Auth.FailedDelay = d }
}

// here is the address that all clients of these tests have.
var here = netip.MustParsePrefix("127.0.0.1/32")

// fail tries to log in with a wrong password n times.
func (w *world) fail(t *testing.T, n int) {
	t.Helper()
	for range n {
		c := fake.Dial(t, w.addr())
		c.Put(fake.Startup(fake.V30, "user", "ann"), fake.Msg('p', "mistaken"))
		c.Want("R")
		c.WantError("28P01")
		c.WantEOF()
	}
}

// waiting is how many logins are made to wait.
func (w *world) waiting() int {
	w.brake.mu.Lock()
	defer w.brake.mu.Unlock()
	return w.brake.Waiting(here)
}

// After failures a login from the same address waits, whoever it is for; a success ends that.
func TestFailedLoginsAreSlowed(t *testing.T) {
	w := start(t, newScript(), withVerifier(auth.Plain, testUserlist), withFailedDelay(100*time.Millisecond))
	w.fail(t, 4)
	c := fake.Dial(t, w.addr())
	c.Put(fake.Startup(fake.V30, "user", "ann"), fake.Msg('p', "secret"))
	c.Want("RRSSKZ")
	w.brake.mu.Lock()
	defer w.brake.mu.Unlock()
	if n := w.brake.Len(); n != 0 {
		t.Errorf("%d addresses are remembered after a success", n)
	}
}

// Whoever waits is asked nothing, holds no place among the logins, may go, and keeps no cancel from its way.
func TestWhileALoginWaits(t *testing.T) {
	w := start(t, newScript(), withVerifier(auth.Plain, testUserlist), withFailedDelay(time.Hour), func(s *Settings) { s.Config.Timeouts.ClientLogin = time.Hour })
	w.brake.mu.Lock()
	for range 20 { // for an hour, but for the half of client_login_timeout
		w.brake.Failed(here, w.brake.now())
	}
	w.brake.mu.Unlock()
	c := fake.Dial(t, w.addr())
	c.Put(fake.Startup(fake.V30, "user", "ann"))
	until(t, "it waits", func() bool { return w.waiting() == 1 })
	if n := w.loggingIn.Load(); n != 0 {
		t.Errorf("%d places are taken", n)
	}
	fake.SendCancel(t, w.addr(), testPID, testKey)
	next(t, w.cancels, "the cancel")
	c.Close()
	until(t, "it has gone", func() bool { return w.waiting() == 0 })

	// Room is made of those who wait, and they are told.
	c = fake.Dial(t, w.addr())
	c.Put(fake.Startup(fake.V30, "user", "ann"))
	until(t, "it waits", func() bool {
		w.lobby.mu.Lock()
		defer w.lobby.mu.Unlock()
		front := w.lobby.queue.Front()
		return front != nil && front.Value.(*place).told != nil
	})
	w.lobby.makeRoom(10) // others may still be on their way out
	c.WantError("53300")
	c.WantEOF()

	// More of them than a few are turned away at once.
	var all []*fake.Client
	for range 50 {
		c := fake.Dial(t, w.addr())
		c.Put(fake.Startup(fake.V30, "user", "ann"))
		all = append(all, c)
	}
	until(t, "all wait", func() bool { return w.waiting() == len(all) })
	c = fake.Dial(t, w.addr())
	c.Put(fake.Startup(fake.V30, "user", "ann"))
	c.WantError("53300")
	c.WantEOF()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if r, ok := e.(event.LoginRefused); ok && (r.User != "ann" || r.Database != "ann" || r.Remote == "" || r.Reason == "" || r.Why() != event.RefusedLimit) {
			t.Errorf("%+v", r)
		}
	}
}

// Trust has nothing to guess.
func TestTrustIsNotSlowed(t *testing.T) {
	w := start(t, newScript(), withFailedDelay(time.Hour))
	w.brake.mu.Lock()
	for range 20 {
		w.brake.Failed(here, w.brake.now())
	}
	w.brake.mu.Unlock()
	fake.Dial(t, w.addr()).Login(fake.V30, "user", "ann")
}

func TestNeighbourhood(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7:5":            "192.0.2.7/32",
		"[::ffff:192.0.2.7]:5":   "192.0.2.7/32",
		"[2001:db8:1:2:3::4]:5":  "2001:db8:1:2::/64",
		"[2001:db8:1:2:ff::9]:7": "2001:db8:1:2::/64",
		"[fe80::1%lo]:5":         "fe80::/64",
	} {
		a := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))
		if got, ok := neighbourhood(a); !ok || got.String() != want {
			t.Errorf("%s: %v, want %s", addr, got, want)
		}
	}
	if _, ok := neighbourhood(&net.UnixAddr{Name: "/tmp/x"}); ok {
		t.Error("a Unix socket has a neighbourhood")
	}
}

// Every refusal is one event, which says why in the words that the client was told.
func TestRefusalsAreEvents(t *testing.T) {
	a := fake.NewAuthority(t)
	tests := []struct {
		name string
		opts []option
		prep func(w *world)
		send [][]byte
		want event.LoginRefused // without Remote and Reason
		why  event.Refusal
	}{
		{name: "no protocol", send: [][]byte{{0, 0, 0, 3}}, want: event.LoginRefused{Code: "08P01"}, why: event.RefusedProtocol},
		{name: "version", send: [][]byte{fake.Startup(5<<16, "user", "ann")}, want: event.LoginRefused{Code: "0A000"}, why: event.RefusedUnsupported},
		{name: "an old version", send: [][]byte{fake.Startup(2<<16, "user", "ann")}, want: event.LoginRefused{Code: "0A000"}, why: event.RefusedUnsupported},
		{name: "no user", send: [][]byte{fake.Startup(fake.V30, "database", "db")}, want: event.LoginRefused{Database: "db", Code: "28000"}, why: event.RefusedAuthorization},
		{name: "no TLS", opts: []option{withClientTLS(t, a, config.SSLRequire)}, send: [][]byte{fake.Startup(fake.V30, "user", "ann")},
			want: event.LoginRefused{Code: "28000"}, why: event.RefusedAuthorization},
		{name: "draining", prep: func(w *world) { w.Proxy.Drain() }, send: [][]byte{fake.Startup(fake.V30, "user", "ann", "database", "db")},
			want: event.LoginRefused{User: "ann", Database: "db", Code: "57P03"}, why: event.RefusedShutdown},
		{name: "too many logins", prep: func(w *world) { w.loggingIn.Add(1_000_000) }, send: [][]byte{fake.Startup(fake.V30, "user", "ann", "database", "db")},
			want: event.LoginRefused{User: "ann", Database: "db", Code: "53300"}, why: event.RefusedLimit},
		{name: "timeout", opts: []option{func(s *Settings) { s.Config.Timeouts.ClientLogin = 50 * time.Millisecond }},
			want: event.LoginRefused{Code: "08004"}, why: event.RefusedTimeout},
		{name: "wrong password", opts: []option{withVerifier(auth.Plain, testUserlist)}, send: [][]byte{fake.Startup(fake.V30, "user", "ann"), fake.Msg('p', "mistaken")},
			want: event.LoginRefused{User: "ann", Database: "ann", Code: "28P01"}, why: event.RefusedPassword},
		{name: "no password message", opts: []option{withVerifier(auth.Plain, testUserlist)}, send: [][]byte{fake.Startup(fake.V30, "user", "ann"), fake.Query("x")},
			want: event.LoginRefused{User: "ann", Database: "ann", Code: "08P01"}, why: event.RefusedProtocol},
		{name: "malformed SCRAM", opts: []option{withVerifier(auth.SCRAM, testUserlist)}, send: [][]byte{fake.Startup(fake.V30, "user", "ann"), fake.Msg('p', "x")},
			want: event.LoginRefused{User: "ann", Database: "ann", Code: "08P01"}, why: event.RefusedProtocol},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := start(t, newScript(), tt.opts...)
			if tt.prep != nil {
				tt.prep(w)
			}
			c := fake.Dial(t, w.addr())
			c.Put(tt.send...)
			var refused []event.LoginRefused
			until(t, "the event", func() bool {
				w.mu.Lock()
				defer w.mu.Unlock()
				refused = nil
				for _, e := range w.events {
					if r, ok := e.(event.LoginRefused); ok {
						refused = append(refused, r)
					}
				}
				return len(refused) > 0
			})
			w.Stop()
			if got := refused[0]; len(refused) != 1 || got.Remote == "" || got.Reason == "" || got.Why() != tt.why {
				t.Errorf("%+v, want one that is %v", refused, tt.why)
			}
			refused[0].Remote, refused[0].Reason = "", ""
			if refused[0] != tt.want {
				t.Errorf("%+v, want %+v", refused[0], tt.want)
			}
		})
	}
}
