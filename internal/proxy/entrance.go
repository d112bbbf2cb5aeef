package proxy

import (
	"net"
	"time"

	"cancello/internal/config"
	"cancello/internal/listen"

	"golang.org/x/sys/unix"
)

// entrance is one place that is listened on.
type entrance struct {
	net.Listener
	fd    int // its own
	place config.Listener
	next  func() (fd int, from unix.Sockaddr, err error) // accepts one; unix.EAGAIN: there is none

	// What follows is the loop's.
	open   bool          // it is watched, or will be
	pause  time.Duration // how long it accepts nothing after the next failure but one
	logged time.Time     // when a failure was
}

func newEntrance(ln net.Listener, l config.Listener) *entrance {
	fd := number(ln)
	return &entrance{Listener: ln, fd: fd, place: l, next: func() (int, unix.Sockaddr, error) {
		listen.Unblock(fd)
		return unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	}}
}

// Pause stops accepting on all listeners: when it returns, whatever was accepted is served here, and all else waits in
// their queues.
func (p *Proxy) Pause() { _ = p.onLoop(func(time.Duration) { p.shutEntrances() }) }

// Resume undoes Pause.
func (p *Proxy) Resume() {
	p.loop.Post(func(time.Duration) {
		for _, e := range p.entrances {
			p.unlock(e)
		}
	})
}

// unlock begins to accept. On the loop.
func (p *Proxy) unlock(e *entrance) {
	if !e.open {
		e.open = true
		p.attend(e)
	}
}

// shutEntrances stops accepting. On the loop.
func (p *Proxy) shutEntrances() {
	for _, e := range p.entrances {
		e.open = false
		p.loop.Forget(e.fd)
	}
}

// Yield gives the listeners up, which are paused: those that another process has taken, and the others too. A
// connection that was accepted from one that was taken and has not said a word goes to pass; false keeps it here. Then
// it drains, as soon as all that were accepted are in, or refused.
func (p *Proxy) Yield(taken func(net.Listener) bool, pass func(net.Listener, net.Conn) bool) {
	for _, e := range p.entrances {
		if taken(e.Listener) {
			listen.Unlink(e.Listener, false) // its file is the other process's by now
		}
		e.Close()
	}
	_ = p.onLoop(func(time.Duration) {
		for _, e := range p.entrances {
			e.fd = -1 // closed, so that it may be anybody's by now
		}
		p.dismissSilent()
	})
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

// admit begins the visit of an accepted connection that is no caller.
func (p *Proxy) admit(e *entrance, nc net.Conn) {
	p.arrivals.enter()
	p.tidy.note()
	p.arrivals.keep(nc, e.Listener)
	p.soon(p.visitOf(p.newApplicant(nc.RemoteAddr(), nc.LocalAddr(), remoteName(nc), e.place.Keys), nc, nil).receive)
}
