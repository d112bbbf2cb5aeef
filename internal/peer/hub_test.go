package peer

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/relay"
)

// A request goes to its owner with its sender's address and its moment on the owner's clock, and its outcome comes back.
func TestAsk(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	before := time.Since(b.began) + b.offset
	released := a.ask(7, 2, 1<<30|2<<20|5)
	j := b.asked()
	if j.r.PID != 1<<30|2<<20|5 || string(j.r.Key) != "a key" || j.r.Remote != "192.0.2.1:1" || !j.t.Arrived() {
		t.Errorf("asked %+v", j)
	}
	if j.r.ReadAt > j.at || j.r.ReadBy < before {
		t.Errorf("read between %v and %v, and it was between %v and %v", j.r.ReadAt, j.r.ReadBy, before, j.at)
	}
	select {
	case <-released:
		t.Error("released before the owner released it")
	default:
	}
	b.Released(j.t)
	wait(t, released, "release")
	b.answer(j, event.Cancelled)
	if e := b.settled(); e.Outcome != event.Cancelled || e.Via != event.PeerOf(1) || e.Remote != "192.0.2.1:1" {
		t.Errorf("the owner tells %+v", e)
	}
	if e := a.settled(); e.Outcome != event.Forwarded || e.There != event.Cancelled || e.Owner != event.PeerOf(2) || e.Ticket != 7 || e.User != "ann" {
		t.Errorf("the receiver tells %+v", e)
	}
	states, err := a.States(t.Context())
	if err != nil || len(states) != 1 || !states[0].Up || states[0].Node != 2 || states[0].Asked != 1 || states[0].Answered != 1 || states[0].Address != b.Addr().String() || states[0].RoundTrip <= 0 {
		t.Errorf("%+v, %v", states, err)
	}
}

// A peer that is dead costs its own requests, and those in bounded time; others go on, and it is told once.
func TestDeadPeer(t *testing.T) {
	t.Parallel()
	a, b, c := newEnd(t, 1, oneSecret), newEnd(t, 2, oneSecret), newEnd(t, 3, oneSecret)
	a.conf.Timeout = 3 * time.Second
	a.peers(b.here(), c.here())
	b.peers(unreachable(1)) // a connection of its own that is on its way when it stops would be an end more
	c.peers(a.here())
	a.up(2)
	a.up(3)
	b.Stop()
	a.down(2)
	released := a.ask(1, 2, 9)
	toC := a.ask(2, 3, 9)
	c.answer(c.asked(), event.Idle)
	wait(t, toC, "the living one")
	if e := a.settled(); e.Owner != event.PeerOf(3) || e.There != event.Idle {
		t.Errorf("%+v", e)
	}
	a.inTime(released)
	if e := a.settled(); e.Outcome != event.Failed || !strings.Contains(e.Reason, "no link to node 2") {
		t.Errorf("%+v", e)
	}
	for range 5 { // dials
		if err := redialed(a, 2); err != nil {
			t.Fatal(err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.events {
		if d, ok := e.(event.PeerDown); ok {
			t.Errorf("told again: %+v", d)
		}
	}
}

// A peer that falls silent, of which nobody knows yet, has as many requests wait as may, and no longer than is configured; those
// for others don't wait with them.
func TestSilentPeer(t *testing.T) {
	t.Parallel()
	a, b, c := newEnd(t, 1, oneSecret), newEnd(t, 2, oneSecret), newEnd(t, 3, oneSecret)
	w := newCable(t, b.Addr().String())
	b.peers(unreachable(1))
	c.peers(unreachable(1))
	a.conf.Timeout = 5 * time.Second
	a.peers(at(2, w.Addr().String()), c.here())
	a.up(2)
	a.up(3)
	for a.state(2).RoundTrip == 0 {
		time.Sleep(time.Millisecond) // sleeps: between two looks; the test's own limit ends it
	}
	w.stop(true)
	var lost []<-chan struct{}
	for i := range maxAsks {
		lost = append(lost, a.ask(relay.Ticket(1000+i), 2, uint32(i)))
	}
	for a.state(2).Open < maxAsks {
		time.Sleep(time.Millisecond) // sleeps: between two looks; the test's own limit ends it
	}
	wait(t, a.ask(1, 2, 9), "one too many")
	if e := a.settled(); e.Ticket != 1 || e.Outcome != event.Throttled {
		t.Errorf("%+v", e)
	}
	for range 10 {
		toC := a.ask(2, 3, 9)
		c.answer(c.asked(), event.Idle)
		wait(t, toC, "the living one")
		if e := a.settled(); e.Ticket != 2 || e.There != event.Idle {
			t.Errorf("held up until one that is lost had ended: %+v", e)
		}
	}
	for _, released := range lost {
		a.inTime(released)
	}
	for range lost {
		if e := a.settled(); e.Outcome != event.Failed || e.Took < a.conf.Timeout || !strings.Contains(e.Reason, "what came of it is not known") {
			t.Errorf("%+v", e)
		}
	}
}

// state is what a Hub tells of a peer.
func (e *end) state(number uint16) event.PeerState {
	e.t.Helper()
	states, err := e.States(e.t.Context())
	i := slices.IndexFunc(states, func(p event.PeerState) bool { return p.Node == number && !p.Kin })
	if err != nil || i < 0 {
		e.t.Fatalf("nothing is known of node %d: %+v, %v", number, states, err)
	}
	return states[i]
}

// inTime waits for a request's end as long as is configured, and some times that for a machine that is busy.
func (e *end) inTime(released <-chan struct{}) {
	e.t.Helper()
	select {
	case <-released:
	case <-time.After(5 * e.conf.Timeout):
		e.t.Errorf("node %d: no end of a request within 5 times cancel_timeout = %v", e.set.Node, e.conf.Timeout)
	}
}

// redialed waits until a dial to a peer has failed once more.
func redialed(e *end, number uint16) error {
	for failed := false; !failed; {
		e.do(func(time.Duration) {
			if n := e.own.peers[number]; n.failure != "" {
				n.failure, failed = "", true
			}
		})
		time.Sleep(time.Millisecond) // sleeps: between two looks; the test's own limit ends it
	}
	return nil
}

// What was asked when the link broke is asked again over the next one, and is one request there.
func TestLinkCutInFlight(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, 1, oneSecret), newEnd(t, 2, oneSecret)
	w := newCable(t, b.Addr().String())
	b.peers(unreachable(1))
	a.peers(at(2, w.Addr().String()))
	a.up(2)
	one := a.ask(1, 2, 100)
	first := b.asked()
	w.cut()
	a.down(2)
	a.up(2)
	two := a.ask(2, 2, 200)
	second := b.asked()
	if second.r.PID != 200 {
		t.Fatalf("the first one was asked again: %+v", second)
	}
	b.answer(first, event.Cancelled)
	b.answer(second, event.Late)
	wait(t, one, "the first")
	wait(t, two, "the second")
	a.wantBoth(event.Cancelled, event.Late)
}

// A link through which nothing passes any more, and which nobody closes, is given up by both ends.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, 1, oneSecret), newEnd(t, 2, oneSecret)
	w := newCable(t, b.Addr().String())
	b.peers(unreachable(1))
	a.peers(at(2, w.Addr().String()))
	a.up(2)
	b.up(1)
	w.stop(true)
	for _, e := range []string{a.down(2), b.down(1)} {
		if !strings.Contains(e, "pings in a row without an answer") {
			t.Errorf("%s", e)
		}
	}
	w.stop(false)
	w.cut()
	a.up(2)
	released := a.ask(1, 2, 9)
	b.answer(b.asked(), event.Cancelled)
	wait(t, released, "a request after it")
}

// Both ends dial at the same time: one session stays, and it is the same on both.
func TestBothDial(t *testing.T) {
	t.Parallel()
	for range 20 {
		a, b := newEnd(t, 1, oneSecret), newEnd(t, 2, oneSecret)
		a.peers(b.here())
		b.peers(a.here())
		a.up(2)
		b.up(1)
		released := a.ask(1, 2, 9)
		b.answer(b.asked(), event.Cancelled)
		wait(t, released, "a request")
		for {
			one, two := sessions(a), sessions(b)
			if len(one) == 1 && len(two) == 1 && one[0].dialed != two[0].dialed && one[0].nc.LocalAddr().String() == two[0].nc.RemoteAddr().String() {
				break
			}
			time.Sleep(time.Millisecond) // sleeps: between two looks; the test's own limit ends it
		}
		for _, e := range []*end{a, b} {
			e.mu.Lock()
			for _, ev := range e.events {
				switch ev.(type) {
				case event.PeerUp, event.PeerDown:
					t.Errorf("node %d: the link was not lost, and it tells %+v", e.set.Node, ev)
				}
			}
			e.mu.Unlock()
		}
		a.Stop()
		b.Stop()
	}
}

func sessions(e *end) (list []*session) {
	e.do(func(time.Duration) {
		for _, s := range e.own.sessions {
			list = append(list, s)
		}
	})
	return list
}

// Peers come and go by configuration, and nothing is asked of one that has gone.
func TestReconfigure(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	a.peers()
	if reason := b.down(1); !strings.Contains(reason, "closed") {
		t.Error(reason)
	}
	released := a.ask(1, 2, 9)
	wait(t, released, "a request for nobody")
	if e := a.settled(); e.Outcome != event.UnknownKey || !strings.Contains(e.Reason, "no peer") {
		t.Errorf("%+v", e)
	}
	if a.Knows(2) {
		t.Error("it is still known")
	}
	a.peers(b.here())
	a.up(2)
	b.up(1)
	// Another address: the link to the old one is closed.
	c := newEnd(t, 2, oneSecret)
	c.peers(unreachable(1))
	a.peers(c.here())
	a.down(2)
	a.up(2)
	released = a.ask(2, 2, 9)
	c.answer(c.asked(), event.Cancelled)
	wait(t, released, "a request at the new address")
}

// Without a link, or where none is wanted, a request goes as clients send it: the peers' listener takes it, and the
// connection stays until that one is let go.
func TestPlain(t *testing.T) {
	t.Parallel()
	for mode, secret := range map[config.PeerMode][]byte{config.PeerPrefer: twoSecret, config.PeerDisable: oneSecret} {
		a, b := newEnd(t, 1, secret), newEnd(t, 2, oneSecret)
		p := b.here()
		p.Mode = mode
		a.peers(p)
		b.peers(unreachable(1))
		if mode == config.PeerPrefer {
			a.down(2)
		}
		released := a.ask(1, 2, 9)
		select {
		case r := <-b.plain:
			if r.PID != 9 || string(r.Key) != "a key" {
				t.Errorf("%v: %+v", mode, r)
			}
		case <-time.After(patience):
			t.Fatalf("%v: nothing came", mode)
		}
		select {
		case <-released:
			t.Errorf("%v: released before the other one was", mode)
		default:
		}
		close(b.release)
		wait(t, released, "release")
		if e := a.settled(); e.Outcome != event.Forwarded || e.There != event.Forwarded || e.Owner != event.PeerOf(2) {
			t.Errorf("%v: %+v", mode, e)
		}
		select {
		case j := <-b.judged:
			t.Errorf("%v: over a link: %+v", mode, j)
		default:
		}
	}
}

// A fallback that fails says why.
func TestPlainFails(t *testing.T) {
	t.Parallel()
	a := newEnd(t, 1, oneSecret)
	p := unreachable(2)
	p.Mode = config.PeerDisable
	a.peers(p)
	wait(t, a.ask(1, 2, 9), "a request")
	if e := a.settled(); e.Outcome != event.Failed || !strings.Contains(e.Reason, "connection refused") {
		t.Errorf("%+v", e)
	}
}

// A link whose other end does not read is dropped before it costs more than its queue.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	a := newEnd(t, 1, oneSecret)
	near, far := net.Pipe() // a write waits for its reader
	defer far.Close()
	s := newSession(a.Hub, near, relay.Far{Node: 2}, true)
	done := make(chan struct{})
	go func() { s.run(); close(done) }()
	for n := 0; !s.ended(); n++ {
		if s.say(relay.Settled{ID: uint64(n), Reason: strings.Repeat("x", 200)}); n > 2*maxQueue/200 {
			t.Fatal("it takes everything")
		}
	}
	wait(t, done, "its end")
	if s.reason != "it reads too slowly" || cap(s.queue) > 3*maxQueue {
		t.Errorf("%s, %d bytes", s.reason, cap(s.queue))
	}
}
