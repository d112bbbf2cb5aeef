package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/pgtest/fake"
)

// book is a Resolver whose answers a test changes.
type book struct {
	mu    sync.Mutex
	addrs []string
	err   error
	asked int
}

func (b *book) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	if network != "ip" || host != "db.test" {
		return nil, fmt.Errorf("asked for %s %s", network, host)
	}
	var list []netip.Addr
	for _, a := range b.addrs {
		list = append(list, netip.MustParseAddr(a))
	}
	return list, b.err
}

func (b *book) answer(err error, addrs ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err, b.addrs = err, addrs
}

func (b *book) times() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

func (b *book) option(ttl, missing time.Duration) option {
	return func(s *Settings) {
		s.Resolver = b
		s.Config.DNS.MaxTTL, s.Config.DNS.NXDomainTTL = ttl, missing
		s.Config.Databases = []config.Database{{Name: "db", Host: "db.test", Port: 1, TLS: config.DatabaseTLS{Mode: config.Give(config.SSLDisable)}}}
	}
}

// at has the server listen at another address of this machine, too.
func at(t *testing.T, s *fake.Server, ip string) {
	t.Helper()
	ln, err := net.Listen("tcp", fmt.Sprintf("%s:%d", ip, s.Port()))
	if err != nil {
		t.Skipf("%s is not an address of this machine: %v", ip, err)
	}
	s.Serve(ln)
}

func byName(s *fake.Server) engine.Target {
	to := target(s)
	to.Host = "db.test"
	return to
}

var notFound = &net.DNSError{Err: "no such host", Name: "db.test", IsNotFound: true}

func TestAddressesInTurn(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	at(t, s, "127.0.0.2")
	b := &book{addrs: []string{"127.0.0.2", "127.0.0.1", "::ffff:127.0.0.1"}}
	w := start(t, newScript(), b.option(time.Hour, 0))
	var seen []string
	for i := range 4 {
		seen = append(seen, w.connected(engine.Server(i+1), byName(s)).info.Addr)
	}
	if got := strings.Join(seen, " "); got != "127.0.0.1 127.0.0.2 127.0.0.1 127.0.0.2" {
		t.Errorf("connected to %s", got)
	}
	if r := next(t, w.script.resolved, "the addresses"); r.host != "db.test" || strings.Join(r.addrs, " ") != "127.0.0.1 127.0.0.2" {
		t.Errorf("told %v", r)
	}
	if n := b.times(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	for i := range 4 {
		w.on(func(time.Duration) { w.out.Carry(engine.Order(i+1), engine.Server(i+1), 0) })
		if d := next(t, w.done, "the end of the order"); d.result != engine.Delivered {
			t.Errorf("result %v", d.result)
		}
	}
	if seen := s.Cancels(); len(seen) != 4 || slices.ContainsFunc(seen, func(c fake.CancelSeen) bool { return !c.Matched }) {
		t.Errorf("cancels %+v", seen)
	}
}

// An address that is dead keeps nobody from the others, whether it says so or says nothing.
func TestDeadAddresses(t *testing.T) {
	for _, dead := range []string{"127.0.0.3", "192.0.2.1"} {
		t.Run(dead, func(t *testing.T) {
			s := fake.NewServer(t, fake.Config{})
			b := &book{addrs: []string{dead, "127.0.0.1"}}
			w := start(t, newScript(), b.option(time.Hour, 0))
			for i := range 4 {
				if got := w.connected(engine.Server(i+1), byName(s)).info.Addr; got != "127.0.0.1" {
					t.Errorf("connected to %s", got)
				}
			}
		})
	}
	t.Run("all", func(t *testing.T) {
		s := fake.NewServer(t, fake.Config{})
		b := &book{addrs: []string{"127.0.0.3", "127.0.0.4"}}
		w := start(t, newScript(), b.option(time.Hour, 0))
		w.dialTo(1, byName(s))
		if f := next(t, w.script.failed, "the failure"); f.Message != "connection refused" {
			t.Errorf("%+v", f)
		}
	})
}

// Who changes his address is noticed though nobody dials; a cancel for a session at the old one goes there.
func TestAddressesAreFollowed(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	at(t, s, "127.0.0.2")
	b := &book{addrs: []string{"127.0.0.1"}}
	w := start(t, newScript(), b.option(time.Millisecond, 0))
	w.connected(1, byName(s))
	next(t, w.script.resolved, "the address")
	b.answer(fmt.Errorf("the name service is away"))
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for n := b.times(); b.times() < n+3; {
		<-again.C
	}
	b.answer(nil, "127.0.0.2")
	if r := next(t, w.script.resolved, "the new address"); strings.Join(r.addrs, " ") != "127.0.0.2" {
		t.Errorf("told %v", r)
	}
	if got := w.connected(2, byName(s)).info.Addr; got != "127.0.0.2" {
		t.Errorf("connected to %s", got)
	}
	w.on(func(time.Duration) {
		if a := w.own.servers[1].addr.String(); !strings.HasPrefix(a, "127.0.0.1:") {
			t.Errorf("the session is at %s", a)
		}
		w.out.Carry(1, 1, 0)
	})
	if d := next(t, w.done, "the end of the order"); d.result != engine.Delivered {
		t.Errorf("result %v", d.result)
	}
}

func TestUnknownNames(t *testing.T) {
	for _, tt := range []struct {
		name    string
		err     error
		missing time.Duration
		asked   int
		want    string
	}{
		{"remembered", notFound, time.Hour, 1, `host name "db.test" is not known`},
		{"not remembered", notFound, 0, 2, `host name "db.test" is not known`},
		{"no address", nil, time.Hour, 1, `host name "db.test" is not known`},
		{"no name service", &net.DNSError{Err: "server misbehaving", Name: "db.test"}, time.Hour, 2, `host name "db.test" cannot be looked up: server misbehaving`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := fake.NewServer(t, fake.Config{})
			b := &book{err: tt.err}
			w := start(t, newScript(), b.option(time.Hour, tt.missing))
			for i := range 2 {
				w.dialTo(engine.Server(i+1), byName(s))
				if f := next(t, w.script.failed, "the failure"); f.Message != tt.want || f.Refused {
					t.Errorf("%+v", f)
				}
			}
			if n := b.times(); n != tt.asked {
				t.Errorf("asked %d times, want %d", n, tt.asked)
			}
		})
	}
}

// A name service that is away is no reason not to dial where the host was.
func TestNameServiceAway(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	b := &book{addrs: []string{"127.0.0.1"}}
	w := start(t, newScript(), b.option(0, 0))
	w.connected(1, byName(s))
	b.answer(fmt.Errorf("the name service is away"))
	w.connected(2, byName(s))
	b.answer(notFound)
	w.dialTo(3, byName(s))
	next(t, w.script.failed, "the failure")
}
