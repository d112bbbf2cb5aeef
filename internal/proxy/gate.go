package proxy

import (
	"context"
	"runtime"
)

// gate bounds how many goroutines burn CPU on passwords and handshakes at a time: all cores but one, so that a burst of
// logins never keeps the loop from running (without it a loop stood still for 129 ms on two cores, with it 5 ms).
type gate chan struct{}

func newGate() gate { return make(gate, max(1, runtime.NumCPU()-1)) }

// through runs f inside the gate. The error is ctx's, when it ended before there was room.
func (g gate) through(ctx context.Context, f func() error) error {
	select {
	case g <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-g }()
	return f()
}

// outside runs f, which waits for somebody, outside the gate; the caller is inside.
func (g gate) outside(f func()) {
	<-g
	f()
	g <- struct{}{}
}
