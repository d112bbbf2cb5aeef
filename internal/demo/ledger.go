package demo

import (
	"context"
	"fmt"
	"sync"

	"cancello/internal/event"
)

// ledger keeps how cancels ended, by the address that each came from. Its methods may be called from any goroutine.
type ledger struct {
	mu      sync.Mutex
	settled map[string]event.CancelSettled
	changed chan struct{} // closed, and made anew, with each entry
	visits  chan event.CancelSettled
}

func newLedger() *ledger {
	return &ledger{settled: map[string]event.CancelSettled{}, changed: make(chan struct{})}
}

// enter takes an event of Cancello's. It never blocks.
func (l *ledger) enter(e event.Event) {
	c, ok := e.(event.CancelSettled)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.visits != nil {
		select {
		case l.visits <- c:
		default: // nobody reads that fast
		}
		return
	}
	l.settled[c.Remote] = c
	close(l.changed)
	l.changed = make(chan struct{})
}

// await waits for the outcome of the cancel that came from that address, and strikes it out.
func (l *ledger) await(ctx context.Context, remote string) (event.CancelSettled, error) {
	for {
		l.mu.Lock()
		c, ok := l.settled[remote]
		delete(l.settled, remote)
		changed := l.changed
		l.mu.Unlock()
		if ok {
			return c, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return event.CancelSettled{}, fmt.Errorf("a cancel has no outcome: %w", context.Cause(ctx))
		}
	}
}

// open gives, from now on, the cancels of whoever sends them.
func (l *ledger) open() <-chan event.CancelSettled {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.visits = make(chan event.CancelSettled, 64)
	return l.visits
}
