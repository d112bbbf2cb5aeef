package peer

import (
	"context"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/relay"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

var (
	oneSecret = []byte("hunter2 hunter2 hunter2 one")
	twoSecret = []byte("hunter2 hunter2 hunter2 two")
)

// end is a Hub, and what it told and asked.
type end struct {
	*Hub
	t       *testing.T
	conf    Config
	began   time.Time
	offset  time.Duration // its clock is another one
	mu      sync.Mutex
	events  []event.Event
	heard   chan struct{} // holds one: there was an event
	judged  chan judged
	plain   chan relay.Request
	release chan struct{} // lets plain requests go
}

// judged is what our engine would have been asked.
type judged struct {
	t  relay.Ticket
	r  relay.Request
	at time.Duration
}

// newEnd is a Hub with a listener that knows nobody.
func newEnd(t *testing.T, number uint16, secrets ...[]byte) *end {
	t.Helper()
	e := &end{
		t: t, began: time.Now(), offset: time.Duration(number) * time.Hour, heard: make(chan struct{}, 1),
		judged: make(chan judged, 1000), plain: make(chan relay.Request, 10), release: make(chan struct{}),
		conf: Config{Secrets: secrets, Timeout: 10 * time.Second},
	}
	h, err := New(Settings{
		Node: number, Incarnation: uint64(number)<<32 + uint64(time.Now().UnixNano()&0xffff), Now: func() time.Duration { return time.Since(e.began) + e.offset },
		Judge: func(t relay.Ticket, r relay.Request) {
			e.judged <- judged{t, r, time.Since(e.began) + e.offset}
		},
		Cancel: func(ctx context.Context, remote string, pid uint32, key []byte) {
			e.plain <- relay.Request{PID: pid, Key: key, Remote: remote}
			select {
			case <-e.release:
			case <-ctx.Done():
			}
		},
		Emit: func(ev event.Event) {
			e.mu.Lock()
			e.events = append(e.events, ev)
			e.mu.Unlock()
			select {
			case e.heard <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	e.Hub = h
	t.Cleanup(h.Stop)
	if err := h.Listen("127.0.0.1:0", nil); err != nil {
		t.Fatal(err)
	}
	h.Serve()
	h.Configure(e.conf)
	return e
}

// peers has the Hub know these.
func (e *end) peers(list ...config.Peer) {
	e.conf.Peers = list
	e.Configure(e.conf)
}

// at is a peer of the configuration.
func at(number uint16, addr string) config.Peer {
	return config.Peer{Node: config.Give(int(number)), Address: addr}
}

// here is how others reach e.
func (e *end) here() config.Peer { return at(e.set.Node, e.Addr().String()) }

// unreachable is a peer of that number where nobody is.
func unreachable(number uint16) config.Peer { return at(number, "127.0.0.1:1") }

// await waits until a fact was told.
func (e *end) await(what string, is func(event.Event) bool) event.Event {
	e.t.Helper()
	for deadline := time.After(patience); ; {
		e.mu.Lock()
		i := slices.IndexFunc(e.events, is)
		var found event.Event
		if i >= 0 {
			found = e.events[i]
			e.events = slices.Delete(e.events, i, i+1)
		}
		e.mu.Unlock()
		if i >= 0 {
			return found
		}
		select {
		case <-e.heard:
		case <-deadline:
			e.mu.Lock()
			defer e.mu.Unlock()
			e.t.Fatalf("node %d: not %s, but %v", e.set.Node, what, e.events)
		}
	}
}

// up forgets that a dial failed before.
func (e *end) up(number uint16) {
	e.t.Helper()
	e.await("up", func(ev event.Event) bool { u, ok := ev.(event.PeerUp); return ok && u.Node == number })
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = slices.DeleteFunc(e.events, func(ev event.Event) bool { d, ok := ev.(event.PeerDown); return ok && d.Node == number })
}

func (e *end) down(number uint16) string {
	e.t.Helper()
	return e.await("down", func(ev event.Event) bool { d, ok := ev.(event.PeerDown); return ok && d.Node == number }).(event.PeerDown).Reason
}

func (e *end) refused() string {
	e.t.Helper()
	return e.await("refused", func(ev event.Event) bool { _, ok := ev.(event.PeerRefused); return ok }).(event.PeerRefused).Reason
}

func (e *end) settled() event.CancelSettled {
	e.t.Helper()
	return e.await("settled", func(ev event.Event) bool { _, ok := ev.(event.CancelSettled); return ok }).(event.CancelSettled)
}

// asked waits for a request that came over a link.
func (e *end) asked() judged {
	e.t.Helper()
	select {
	case j := <-e.judged:
		return j
	case <-time.After(patience):
		e.t.Fatalf("node %d was asked nothing", e.set.Node)
		return judged{}
	}
}

// answer is what our engine would do with it.
func (e *end) answer(j judged, o event.Outcome) {
	e.Released(j.t)
	e.Settled(j.t, event.CancelSettled{Outcome: o, PID: j.r.PID, Remote: j.r.Remote, User: "ann", Unit: 3})
}

// ask asks without waiting for the end, which the channel tells.
func (e *end) ask(t relay.Ticket, number uint16, pid uint32) <-chan struct{} {
	released := make(chan struct{})
	q := relay.Request{PID: pid, Key: []byte("a key"), ReadAt: e.set.Now(), Remote: "192.0.2.1:1"}
	go func() {
		defer close(released)
		e.Ask(context.Background(), nil, t, q, number)
	}()
	return released
}

func wait(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("no end of waiting for %s", what)
	}
}

// pair is two Hubs that know each other, of which the first one dials.
func pair(t *testing.T) (a, b *end) {
	a, b = newEnd(t, 1, oneSecret), newEnd(t, 2, oneSecret)
	b.peers(unreachable(1))
	a.peers(b.here())
	a.up(2)
	b.up(1)
	return a, b
}

// cable is a way to somewhere that can be cut, and stopped.
type cable struct {
	net.Listener
	t       *testing.T
	mu      sync.Mutex
	cond    sync.Cond
	address string // where it leads
	conns   []net.Conn
	stopped bool // nothing passes, and nothing ends
}

// newCable is one to address.
func newCable(t *testing.T, address string) *cable {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &cable{Listener: ln, t: t, address: address}
	w.cond.L = &w.mu
	var running sync.WaitGroup
	running.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			w.mu.Lock()
			to := w.address
			w.mu.Unlock()
			far, err := net.Dial("tcp", to)
			w.mu.Lock()
			if err != nil {
				near.Close()
				w.mu.Unlock()
				continue
			}
			w.conns = append(w.conns, near, far)
			w.mu.Unlock()
			running.Go(func() { w.pass(far, near) })
			running.Go(func() { w.pass(near, far) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		w.stop(false)
		w.cut()
		running.Wait()
	})
	return w
}

func (w *cable) pass(to, from net.Conn) {
	defer to.Close()
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		w.mu.Lock()
		for w.stopped {
			w.cond.Wait()
		}
		w.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			io.Copy(io.Discard, from)
			return
		}
	}
}

// lead has connections go to another address from now on.
func (w *cable) lead(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.address = address
}

// cut closes all connections.
func (w *cable) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, nc := range w.conns {
		nc.Close()
	}
	w.conns = nil
}

// stop has nothing pass any more, or all again.
func (w *cable) stop(yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = yes
	w.cond.Broadcast()
}

// wantBoth takes two outcomes, in any order: those of the tickets 1 and 2.
func (e *end) wantBoth(first, second event.Outcome) {
	e.t.Helper()
	got := map[uint64]event.Outcome{}
	for range 2 {
		s := e.settled()
		got[s.Ticket] = s.There
	}
	if got[1] != first || got[2] != second {
		e.t.Errorf("%v", got)
	}
}
