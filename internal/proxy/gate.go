package proxy

import (
	"container/list"
	"context"
	"runtime"
	"sync"
)

// line is one of those that wait before the gate.
type line uint8

const (
	ofOrders    line = iota // handshakes with servers, for a cancel
	ofStrangers             // handshakes with who has not said yet what he wants, and may want to cancel
	ofLogins                // passwords, and all that is done to log in to servers
	lines
)

// gate bounds how many goroutines burn CPU on passwords and handshakes at a time: all cores but one, so that a burst of
// logins never keeps the loop from running (without it a loop stood still for 129 ms on two cores, with it 5 ms). Its
// lines take turns, so that however many wait to log in, a cancel waits for those of its own line and as many of each
// other; strangers are no more than maxSilent.
type gate struct {
	mu      sync.Mutex
	free    int
	waiting [lines]list.List // of chan struct{}, closed when it is one's turn
	next    line             // whose turn it is
}

func newGate() *gate { return &gate{free: max(1, runtime.NumCPU()-1)} }

// through runs f inside the gate. outside, which f may call, runs what waits for somebody outside of it. The error is
// ctx's, when it ended before there was room.
func (g *gate) through(ctx context.Context, l line, f func(outside func(func())) error) error {
	if err := g.enter(ctx, l); err != nil {
		return err
	}
	inside := true
	defer func() {
		if inside {
			g.leave()
		}
	}()
	return f(func(wait func()) {
		if inside {
			g.leave()
		}
		wait()
		inside = g.enter(ctx, l) == nil // else it is over: the little that is left to do needs no gate
	})
}

func (g *gate) enter(ctx context.Context, l line) error {
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	place := g.waiting[l].PushBack(turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	select {
	case <-turn: // meanwhile: somebody else's, then
		g.mu.Unlock()
		g.leave()
	default:
		g.waiting[l].Remove(place)
		g.mu.Unlock()
	}
	return ctx.Err()
}

// leave gives a place to the first of the next line in turn.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for range lines {
		l := g.next
		g.next = (l + 1) % lines
		if first := g.waiting[l].Front(); first != nil {
			close(g.waiting[l].Remove(first).(chan struct{}))
			return
		}
	}
	g.free++
}
