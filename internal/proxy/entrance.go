package proxy

import (
	"context"
	"net"
	"sync"
	"time"

	"cancello/internal/config"
)

// entrance is one place that is listened on.
type entrance struct {
	net.Listener
	place config.Listener

	mu     sync.Mutex
	paused *pausing      // nil: it accepts
	ended  chan struct{} // closed when it accepts nothing for good
}

// pausing is a time in which nothing is accepted.
type pausing struct {
	parked chan struct{} // closed when the last Accept has returned
	over   chan struct{} // closed when it accepts again
	once   sync.Once
}

func newEntrance(ln net.Listener, l config.Listener) *entrance {
	return &entrance{Listener: ln, place: l, ended: make(chan struct{})}
}

// pause stops accepting. When it returns, whatever was accepted has been received.
func (e *entrance) pause() {
	e.mu.Lock()
	if e.paused == nil {
		e.paused = &pausing{parked: make(chan struct{}), over: make(chan struct{})}
	}
	p := e.paused
	e.mu.Unlock()
	e.deadline(longAgo)
	select {
	case <-p.parked:
	case <-e.ended:
	}
}

// resume undoes pause.
func (e *entrance) resume() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.paused == nil {
		return
	}
	e.deadline(time.Time{})
	close(e.paused.over)
	e.paused = nil
}

func (e *entrance) deadline(t time.Time) {
	if l, ok := e.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		l.SetDeadline(t)
	}
}

// park waits until a pause is over, where there is one.
func (e *entrance) park(ctx context.Context) {
	e.mu.Lock()
	p := e.paused
	e.mu.Unlock()
	if p == nil {
		return
	}
	p.once.Do(func() { close(p.parked) })
	select {
	case <-p.over:
	case <-ctx.Done():
	}
}

// Pause stops accepting on all listeners: when it returns, whatever was accepted is served here, and all else waits in
// their queues.
func (p *Proxy) Pause() {
	for _, e := range p.entrances {
		e.pause()
	}
}

// Resume undoes Pause.
func (p *Proxy) Resume() {
	for _, e := range p.entrances {
		e.resume()
	}
}

// Yield gives the listeners up, which are paused: those that another process has taken, and the others too. A
// connection that was accepted from one that was taken and has not said a word goes to pass; false keeps it here. Then
// it drains, as soon as all that were accepted are in, or refused.
func (p *Proxy) Yield(taken func(net.Listener) bool, pass func(net.Listener, net.Conn) bool) {
	for _, e := range p.entrances {
		if taken(e.Listener) {
			stay(e.Listener)
		}
		e.Close()
		e.resume() // to learn that it is closed
	}
	p.arrivals.yield(func(nc net.Conn, ln net.Listener) bool { return taken(ln) && pass(ln, nc) })
	p.running.Go(func() {
		p.arrivals.settle()
		p.Drain()
	})
}

// Receive serves a connection that another process accepted from what is one of our listeners now.
func (p *Proxy) Receive(ln net.Listener, nc net.Conn) {
	for _, e := range p.entrances {
		if e.Listener == ln {
			p.admit(e, nc)
			return
		}
	}
	nc.Close()
}

// admit begins the visit of an accepted connection.
func (p *Proxy) admit(e *entrance, nc net.Conn) {
	p.arrivals.enter(nc, e.Listener)
	p.receiveSoon(handful{e, nc})
}
