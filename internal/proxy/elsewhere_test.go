package proxy

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/key"
	"cancello/internal/pgtest/fake"
)

// others is Elsewhere that only notes what it hears.
type others struct {
	nodes []uint16 // that there are
	kin   atomic.Bool
	heard chan string
}

func (o *others) Knows(node uint16) bool {
	for _, n := range o.nodes {
		if n == node {
			return true
		}
	}
	return false
}

func (o *others) HasKin() bool { return o.kin.Load() }

func (o *others) Ask(_ context.Context, _ <-chan error, _ engine.Ticket, r engine.CancelRequest, node uint16) bool {
	o.heard <- fmt.Sprintf("node %d is asked for %d", node, r.PID&0xff)
	return len(r.Key) == plainKey
}

func (o *others) Unknown(t engine.Ticket)  { o.heard <- fmt.Sprintf("%d is unknown", t) }
func (o *others) Released(t engine.Ticket) { o.heard <- fmt.Sprintf("%d is released", t) }

func (o *others) Settled(t engine.Ticket, e event.CancelSettled) {
	o.heard <- fmt.Sprintf("%d is %s", t, e.Outcome)
}

// Who a request is for, by its key alone: another node, another process of this one, nobody, or a client of ours. What is
// for this node alone goes to no other one.
func TestWhoIsAsked(t *testing.T) {
	o := &others{nodes: []uint16{7}, heard: make(chan string, 10)}
	s := newScript()
	w := start(t, s, func(set *Settings) { set.Elsewhere = o })
	of := func(node uint16, incarnation byte) *key.Minter {
		return key.NewMinter(node, [4]byte{incarnation}, []byte("the secret of a test's own keys!"))
	}
	forger := key.NewMinter(7, [4]byte{1}, []byte("what somebody takes for a secret"))
	mint := func(m *key.Minter, slot byte) (uint32, []byte) { return m.Mint(fake.V32, uint32(slot), [12]byte{1}) }
	const nobody, forged = "unknown_key", "forged"
	for _, c := range []struct {
		name      string
		m         *key.Minter
		long      bool
		kin       bool
		unknown   bool // to the engine
		want      string
		whereHere string // the same, for this node alone
	}{
		{name: "a key of 3.2 of a peer", m: of(7, 1), long: true, want: "node 7 is asked for 3", whereHere: nobody},
		{name: "a forged key of 3.2 that names a peer", m: forger, long: true, want: forged, whereHere: forged},
		{name: "a forged key of 3.2, and there is another process", m: forger, long: true, kin: true, want: forged, whereHere: forged},
		{name: "a key of 3.0 of a peer", m: of(7, 1), want: "node 7 is asked for 3", whereHere: nobody},
		{name: "a key of 3.2 of no peer", m: of(8, 1), long: true, want: "node 8 is asked for 3", whereHere: nobody},
		{name: "a key of 3.0 of no peer", m: of(8, 1), want: nobody, whereHere: nobody},
		{name: "a key of 3.2 of a former process", m: of(0, 9), long: true, want: nobody, whereHere: nobody},
		{name: "a key of 3.2 of another process", m: of(0, 9), long: true, kin: true, want: "node 0 is asked for 3", whereHere: "node 0 is asked for 3"},
		{name: "a key of 3.0 of another process", m: of(0, 9), kin: true, want: "node 0 is asked for 3", whereHere: "node 0 is asked for 3"},
		{name: "a key of ours that has gone", m: testMinter, long: true, kin: true, unknown: true, want: "node 0 is asked for 3", whereHere: "node 0 is asked for 3"},
		{name: "a key of ours that has gone, and there is no other process", m: testMinter, long: true, unknown: true, want: "the engine", whereHere: "the engine"},
		{name: "a key of ours", m: testMinter, long: true, kin: true, want: "the engine", whereHere: "the engine"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o.kin.Store(c.kin)
			w.on(func(time.Duration) { s.unknown = c.unknown })
			pid, k := mint(c.m, 3)
			if !c.long {
				k = []byte{9, 9, 9, 9}
			}
			for want, send := range map[string]func(){
				"anywhere: " + c.want:  func() { fake.SendCancel(t, w.addr(), pid, k) },
				"here: " + c.whereHere: func() { w.CancelHere(t.Context(), "192.0.2.1:1", pid, k) },
			} {
				before := len(w.settled())
				send()
				got := "nothing"
				select {
				case got = <-o.heard:
				case <-w.cancels:
					got = "the engine"
				default:
					if all := w.settled(); len(all) == before+1 {
						got = all[before].String()
					}
				}
				if want != "anywhere: "+got && want != "here: "+got {
					t.Errorf("%s, and it was %s", want, got)
				}
			}
		})
	}
}

// What another process passed on to us is judged by the engine, and that one hears what becomes of it; nobody else does.
func TestJudgeForAnother(t *testing.T) {
	o := &others{heard: make(chan string, 10)}
	s := newScript()
	s.cancel = func(s *script, tk engine.Ticket, _ engine.CancelRequest) {
		s.out.Release(tk)
		s.out.Emit(event.CancelSettled{Ticket: uint64(tk), Outcome: event.Late})
	}
	w := start(t, s, func(set *Settings) { set.Elsewhere = o })
	w.Judge(1<<63|5, engine.CancelRequest{PID: testPID, Key: testKey})
	for _, want := range []string{"9223372036854775813 is released", "9223372036854775813 is late"} {
		if got := next(t, o.heard, want); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	w.on(func(time.Duration) {
		s.unknown = true
		if len(w.own.arrivals) > 0 {
			t.Error("it is remembered for ever")
		}
	})
	w.Judge(1<<63|6, engine.CancelRequest{PID: testPID, Key: testKey})
	if got := next(t, o.heard, "that it is unknown"); got != "9223372036854775814 is unknown" {
		t.Error(got)
	}
	if got := w.settled(); len(got) > 0 {
		t.Errorf("told here: %v", got)
	}
}

// blocked is Elsewhere that holds who asks.
type blocked struct {
	*others
	free chan struct{}
}

func (b blocked) Ask(ctx context.Context, gone <-chan error, t engine.Ticket, r engine.CancelRequest, node uint16) bool {
	guess := b.others.Ask(ctx, gone, t, r, node)
	for {
		select {
		case <-gone:
			b.heard <- "its sender has gone"
			gone = nil
		case <-b.free:
			return guess
		}
	}
}

// A key of 3.0 that another node does not know is a guess, as where it is known at once: the connections of many are kept.
func TestGuessersOfOthersWait(t *testing.T) {
	o := &others{nodes: []uint16{7}, heard: make(chan string, 1000)}
	w := start(t, newScript(), func(s *Settings) {
		s.Config.Cancel.FailedDelay, s.Config.Timeouts.ClientLogin = time.Hour, 4*time.Hour
		s.Elsewhere = o
	})
	waiting := func() int {
		w.lobby.mu.Lock()
		defer w.lobby.mu.Unlock()
		return w.lobby.queue.Len()
	}
	pid, proven := key.NewMinter(7, [4]byte{1}, []byte("the secret of a test's own keys!")).Mint(fake.V32, 3, [12]byte{1})
	for range 50 { // more than guesses that are free
		fake.SendCancel(t, w.addr(), pid, proven)
		<-o.heard
	}
	until(t, "some are kept waiting", func() bool {
		c := fake.Dial(t, w.addr())
		c.Put(fake.Cancel(pid, []byte{9, 9, 9, 9}))
		<-o.heard
		return waiting() >= 10
	})
	fake.SendCancel(t, w.addr(), pid, proven) // which ends only when it is closed
	if waiting() == 0 {
		t.Error("nobody is kept waiting any more")
	}
	w.lobby.makeRoom(100)
}

// Whoever asks another process learns that the sender of a key of 3.0 has gone.
func TestGoneIsTold(t *testing.T) {
	o := blocked{&others{nodes: []uint16{7}, heard: make(chan string, 10)}, make(chan struct{})}
	w := start(t, newScript(), func(set *Settings) { set.Elsewhere = o })
	pid, _ := key.NewMinter(7, [4]byte{1}, []byte("the secret of a test's own keys!")).Mint(fake.V32, 3, [12]byte{1})
	c := fake.Dial(t, w.addr())
	c.Put(fake.Cancel(pid, []byte{9, 9, 9, 9}))
	next(t, o.heard, "that it is asked for")
	c.Close()
	if got := next(t, o.heard, "that it has gone"); got != "its sender has gone" {
		t.Error(got)
	}
	close(o.free)
}

// What was read for another process is waited for.
func TestAwaitCancels(t *testing.T) {
	o := blocked{&others{nodes: []uint16{7}, heard: make(chan string, 10)}, make(chan struct{})}
	w := start(t, newScript(), func(set *Settings) { set.Elsewhere = o })
	w.AwaitCancels(t.Context()) // there is none
	pid, k := key.NewMinter(7, [4]byte{1}, []byte("the secret of a test's own keys!")).Mint(fake.V32, 3, [12]byte{1})
	c := fake.Dial(t, w.addr())
	c.Put(fake.Cancel(pid, k))
	next(t, o.heard, "that it is asked for")
	ended, end := context.WithCancel(t.Context())
	end()
	w.AwaitCancels(ended) // it is not waited for longer than wanted
	if n := w.carrying.Load(); n != 1 {
		t.Errorf("%d are being carried out", n)
	}
	waited := make(chan struct{})
	go func() {
		w.AwaitCancels(t.Context())
		close(waited)
	}()
	select {
	case <-waited:
		t.Error("not waited for")
	case <-time.After(20 * time.Millisecond): // it is not to happen, however long that takes
	}
	close(o.free)
	<-waited
	c.WantEOF()
}
