package proxy

import (
	"net"
	"sync"
)

// arrivals are the connections that were accepted and are not in yet: neither handed to the loop or the console, nor
// refused, nor known to be a cancel's. When the listeners go to another process, those that have not said a word go with
// them, and the drain waits for the others: nobody who was accepted is told 57P03.
type arrivals struct {
	mu      sync.Mutex
	n       int
	silent  map[net.Conn]net.Listener // of these, those that have not said a word, and where they came in
	fewer   sync.Cond
	pass    func(nc net.Conn, ln net.Listener) bool // nil: they stay
	pending int                                     // of the silent ones, those that were told to go
}

func (a *arrivals) init() {
	a.silent = map[net.Conn]net.Listener{}
	a.fewer.L = &a.mu
}

// enter counts one that was just accepted.
func (a *arrivals) enter() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n++
}

// keep notes one that has not said a word, and that hear will be asked about.
func (a *arrivals) keep(nc net.Conn, ln net.Listener) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.silent[nc] = ln
	if a.pass != nil { // from a predecessor of ours, when our own successor is there already
		a.pending++
	}
}

// hear waits by peek for the first byte of one. passed: it has gone elsewhere, and only our descriptor is left to be closed.
// interrupted: what was waited for may still come, and its deadline is in the past.
func (a *arrivals) hear(nc net.Conn, peek func() error) (passed, interrupted bool) {
	a.mu.Lock()
	if a.pass != nil {
		nc.SetReadDeadline(longAgo)
	}
	a.mu.Unlock()
	err := peek()
	a.mu.Lock()
	ln, pass := a.silent[nc], a.pass
	delete(a.silent, nc)
	a.mu.Unlock()
	if pass == nil {
		return false, false
	}
	passed = isTimeout(err) && pass(nc, ln)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending--
	a.fewer.Broadcast()
	return passed, !passed
}

// leave counts one that is in, or not any more.
func (a *arrivals) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n--
	a.fewer.Broadcast()
}

// yield has all those go that have not said a word, and waits until they have.
func (a *arrivals) yield(pass func(nc net.Conn, ln net.Listener) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pass, a.pending = pass, len(a.silent)
	for nc := range a.silent {
		nc.SetReadDeadline(longAgo)
	}
	for a.pending > 0 {
		a.fewer.Wait()
	}
}

// settle waits until nobody is left.
func (a *arrivals) settle() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.n > 0 {
		a.fewer.Wait()
	}
}
