package peer

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"cancello/internal/event"
	"cancello/internal/relay"
)

// One address guesses keys of node 2's clients at node 1, far more often than it may, and waits for no answer: true cancels
// from elsewhere arrive all the same, with keys of either length, and so does one from that very address once it guesses less
// often than it may. Nobody else's place is taken, also while the owner says nothing.
func TestGuesserIsInNobodysWay(t *testing.T) {
	t.Parallel()
	const owner, trueKey = 2, "true"
	a, b := pair(t)
	var silent atomic.Bool // node 2 does not answer guesses
	ended, answering := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(answering)
		for {
			select {
			case j := <-b.judged:
				if k := string(j.r.Key); k == trueKey || len(k) > 4 {
					b.answer(j, event.Cancelled)
				} else if !silent.Load() {
					b.Unknown(j.t)
				}
			case <-ended:
				return
			}
		}
	}()
	defer func() { close(ended); <-answering }()

	var tickets relay.Ticket
	ask := func(ctx context.Context, from, key string) {
		tickets++
		q := relay.Request{PID: 1<<30 | owner<<20 | 5, Key: []byte(key), ReadAt: a.set.Now(), Remote: from + ":1"}
		a.Ask(ctx, nil, tickets, q, owner)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	flood := func(n int) {
		for range n {
			ask(gone, "192.0.2.66", "\x00\x01\x02\x03")
		}
	}
	arrives := func(from, key string) {
		t.Helper()
		ask(t.Context(), from, key)
		is := tickets
		e := a.await("the outcome of a true cancel", func(ev event.Event) bool {
			s, ok := ev.(event.CancelSettled)
			return ok && s.Ticket == uint64(is)
		}).(event.CancelSettled)
		if e.Outcome != event.Forwarded || e.There != event.Cancelled {
			t.Errorf("from %s, with a key of %d bytes: %+v", from, len(key), e)
		}
	}
	for i := range 20 {
		flood(100)
		arrives("192.0.2.1", fmt.Sprintf("a key of 3.2, number %d", i))
		arrives("192.0.2.2", trueKey)
	}
	a.none(t)
	for range 30 { // within the places that one source has
		flood(1)
		arrives("192.0.2.66", trueKey)
	}
	a.none(t)
	before := a.throttled()
	silent.Store(true)
	flood(300)
	arrives("192.0.2.1", "a key of 3.2, at last")
	arrives("192.0.2.2", trueKey)
	if n := a.throttled() - before; n < 200 { // 50 have places, 50 wait for one
		t.Errorf("of 300 that nobody answers %d are refused", n)
	}
}

// throttled is how many requests for the peer were refused.
func (e *end) throttled() uint64 {
	e.t.Helper()
	states, err := e.States(e.t.Context())
	if err != nil || len(states) != 1 {
		e.t.Fatalf("%+v, %v", states, err)
	}
	return states[0].Throttled
}

// none waits until no request for the peer is under way.
func (e *end) none(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // sleeps: between two looks
		states, err := e.States(t.Context())
		if err != nil || len(states) != 1 {
			t.Fatalf("%+v, %v", states, err)
		}
		if states[0].Open == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still under way: %+v", states[0])
		}
	}
}
