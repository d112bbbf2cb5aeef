package proxy

import (
	"context"
	"errors"
	"time"
)

// ErrStopped: the loop has stopped, or did so before it came to what was asked of it.
var ErrStopped = errors.New("stopping: the event loop has ended")

// Do runs f on the loop, where the engine may be asked and told things, and waits until it has run, ctx ends or the
// loop stops. After an error of ctx it may still run; so f hands its results over by a channel or in memory that is
// read after a nil error alone.
func (p *Proxy) Do(ctx context.Context, f func(now time.Duration)) error {
	ran := make(chan struct{})
	if !p.loop.Post(func(now time.Duration) {
		defer close(ran)
		f(now)
	}) {
		return ErrStopped
	}
	select {
	case <-ran:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.ended: // it has run by now, or never will
	}
	select {
	case <-ran:
		return nil
	default:
		return ErrStopped
	}
}

// Draining tells whether Drain was called.
func (p *Proxy) Draining() bool { return p.draining.Load() }
