package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/pgtest/fake"
)

// Lines take turns: what waits for a cancel is not behind all that want to log in.
func TestGateLinesTakeTurns(t *testing.T) {
	g := &gate{free: 1}
	ctx := context.Background()
	if err := g.enter(ctx, ofLogins); err != nil {
		t.Fatal(err)
	}
	turns := make(chan line, 100)
	queue := func(l line, n int) {
		for range n {
			g.mu.Lock()
			before := g.waiting[l].Len()
			g.mu.Unlock()
			go func() {
				_ = g.through(ctx, l, func(func(func())) error { turns <- l; return nil })
			}()
			until(t, "it stands in its line", func() bool {
				g.mu.Lock()
				defer g.mu.Unlock()
				return g.waiting[l].Len() > before
			})
		}
	}
	queue(ofLogins, 20)
	queue(ofStrangers, 3)
	queue(ofOrders, 2)
	g.leave()
	for i, want := range []line{ofOrders, ofStrangers, ofLogins, ofOrders, ofStrangers, ofLogins, ofStrangers, ofLogins, ofLogins} {
		if got := next(t, turns, "a turn"); got != want {
			t.Errorf("turn %d is line %d's, want %d's", i, got, want)
		}
	}
	for range 20 - 4 {
		next(t, turns, "a turn")
	}
	until(t, "nobody is inside", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return g.free == 1 })
}

// Who gives up in a line leaves it, and gives back a turn that came at the same moment.
func TestGateIsLeft(t *testing.T) {
	g := &gate{free: 1}
	for range 200 {
		if err := g.enter(context.Background(), ofLogins); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			done <- g.through(ctx, ofStrangers, func(outside func(func())) error {
				outside(func() {})
				return nil
			})
		}()
		go cancel()
		g.leave()
		if err := next(t, done, "the one who gives up"); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if g.free != 1 || g.waiting[ofStrangers].Len() != 0 {
			t.Fatalf("%d places free, %d wait", g.free, g.waiting[ofStrangers].Len())
		}
	}
}

// seen is a connection from an address, and whether it was told to go.
type seen struct {
	net.Conn
	addr net.Addr
	gone bool
}

func (s *seen) RemoteAddr() net.Addr          { return s.addr }
func (s *seen) SetDeadline(d time.Time) error { s.gone = d.Equal(longAgo); return nil }

// A storm makes room for itself: one who comes from elsewhere stays, however old.
func TestLobbyEvictsWhereMostCameFrom(t *testing.T) {
	l := newLobby(11)
	from := func(host string) *seen {
		c := &seen{addr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(host), 1))}
		l.enter(c)
		return c
	}
	told := func() *seen {
		c := &seen{addr: &net.UnixAddr{}}
		l.linger(c)
		return c
	}
	old := from("192.0.2.1")
	a, b := from("198.51.100.1"), from("198.51.100.1")
	for range 7 {
		from("198.51.100.1")
	}
	goes := told()
	if from("198.51.100.1"); !goes.gone || a.gone || old.gone {
		t.Error("who was told to go did not go first")
	}
	if from("203.0.113.1"); !a.gone || b.gone || old.gone {
		t.Error("not the oldest of where most came from")
	}
	// From one each: the oldest of all.
	l = newLobby(2)
	first, second := from("192.0.2.1"), from("192.0.2.2")
	if from("192.0.2.3"); !first.gone || second.gone {
		t.Error("not the oldest")
	}
	if len(l.from) != l.queue.Len() {
		t.Errorf("%d addresses are remembered of %d", len(l.from), l.queue.Len())
	}
}

// A storm from many addresses, one connection each, does not drive out first who has two of them: the oldest of all goes.
func TestLobbyInAStormFromEverywhere(t *testing.T) {
	const room = 160 // of which a share is 10
	l := newLobby(room)
	var in []*place
	from := func(host netip.Addr) *seen {
		c := &seen{addr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(host, 1))}
		in = append(in, l.enter(c))
		return c
	}
	storm := func(i int) *seen { return from(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)})) }
	honest := netip.MustParseAddr("192.0.2.1")
	var others []*seen
	for i := range room - 10 {
		others = append(others, storm(i))
	}
	var mine []*seen
	for range 10 {
		mine = append(mine, from(honest))
	}
	for i := range room - 10 {
		if storm(1000 + i); !others[i].gone {
			t.Fatalf("newcomer %d did not drive out the oldest", i)
		}
	}
	for i, c := range mine {
		if c.gone {
			t.Errorf("connection %d of a host with a share of them had to go before older ones", i)
		}
	}
	if from(honest); !mine[0].gone {
		t.Error("the oldest of all stayed")
	}
	for _, pl := range in {
		l.leave(pl)
	}
	if l.most != 0 || len(l.from) != 0 || l.queue.Len() != 0 {
		t.Errorf("empty, and most is %d, %d addresses are remembered, %d are in", l.most, len(l.from), l.queue.Len())
	}
}

// A storm of handshakes, half done, slow, or whole and never followed by a word, keeps no cancel over TLS waiting: more
// than there is room for stay, more come all the time, and whoever waits for its turn leaves its line when it has to go.
func TestCancelsPassAStormOfHandshakes(t *testing.T) {
	a := fake.NewAuthority(t)
	w := newWorld(t, newScript(), withClientTLS(t, a, config.SSLPrefer))
	const room = 40
	w.lobby.limit = room
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	half := func() {
		c := fake.Dial(t, w.addr())
		c.Put(sslRequest)
		c.Byte()
		c.Put([]byte{firstOfTLS, 3, 1, 1, 0, 1, 0})
	}
	for range room {
		half()
	}
	for i := range 20 {
		for range 5 {
			half()
		}
		whole := asked(t, w, trusting(a))
		c := asked(t, w, trusting(a))
		c.Put(fake.Cancel(testPID, testKey))
		next(t, w.cancels, "the cancel")
		c.WantEOF()
		if i == 0 {
			whole.Put([]byte{0}) // of a startup packet
		}
	}
	w.gate.mu.Lock()
	defer w.gate.mu.Unlock()
	if n := w.gate.waiting[ofStrangers].Len(); n > room {
		t.Errorf("%d wait for their turn, %d have a place", n, room)
	}
}

// shut takes all there is room for in the gate, and gives it back.
func (g *gate) shut(t *testing.T) (open func()) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.free
	g.free = 0
	return func() {
		for range n {
			g.leave()
		}
	}
}

// stands waits until somebody stands in a line, and sees that nobody does in another.
func (g *gate) stands(t *testing.T, in line) {
	t.Helper()
	until(t, "one who waits before the gate", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		for l := range lines {
			if n := g.waiting[l].Len(); n > 0 {
				if l != in {
					t.Fatalf("it stands in line %d, want %d", l, in)
				}
				return true
			}
		}
		return false
	})
}
