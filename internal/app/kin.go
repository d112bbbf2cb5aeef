package app

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"cancello/internal/event"
	"cancello/internal/takeover"
)

const (
	// kinPause is between two tries to have a link to a process that is still there.
	kinPause = 100 * time.Millisecond
	// kinPauseMax is how long that is at most: it doubles from failure to failure.
	kinPauseMax = time.Second
	// kinLook is how often it is looked whether the links are there.
	kinLook = time.Millisecond
)

// linkKin makes a link for cancels to each process that came before this one, and waits until all are there.
func (a *App) linkKin(ctx context.Context) error {
	s := &a.succession
	var last atomic.Pointer[error] // why a link could not be made
	for _, session := range s.before {
		s.ending.Go(func() { a.keepLink(session, &last) })
	}
	look := time.NewTicker(kinLook)
	defer look.Stop()
	for {
		linked, err := a.kin(ctx)
		if err == nil && linked >= s.present() {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			why := ctx.Err()
			if said := last.Load(); said != nil {
				why = *said
			}
			return fmt.Errorf("no link for cancels to the %d processes that came before: %w", s.present(), why)
		}
	}
}

// kin is how many processes of this node there are links to.
func (a *App) kin(ctx context.Context) (n int, err error) {
	states, err := a.hub.States(ctx)
	for _, p := range states {
		if p.Kin && p.Up {
			n++
		}
	}
	return n, err
}

// present is how many of those that came before have not ended.
func (s *succession) present() (n int) {
	for _, session := range s.before {
		select {
		case <-session.Ended():
		default:
			n++
		}
	}
	return n
}

// keepLink keeps a link to a process as long as that is there, and tells why it can't be had.
func (a *App) keepLink(s *takeover.Session, last *atomic.Pointer[error]) {
	for pause := kinPause; ; {
		ctx, cancel := context.WithTimeout(context.Background(), takeoverTime)
		nc, err := s.Link(ctx)
		cancel()
		if err == nil {
			err = a.hub.Kin(nc, true, s.Ended())
		}
		if err == nil {
			pause = kinPause
		} else {
			last.Store(&err)
		}
		select {
		case <-s.Ended():
			return
		case <-time.After(pause):
			pause = min(2*pause, kinPauseMax)
		}
	}
}

// Link takes a link for cancels to a process that comes after this one.
func (h host) Link(to takeover.Identity, nc net.Conn, gone <-chan struct{}) {
	h.a.succession.ending.Go(func() {
		h.a.linkEnded(to, h.a.hub.Kin(nc, false, gone))
	})
}

// linkEnded logs why there is no link for cancels to a process that comes after this one, each reason once: that process
// tries again and again.
func (a *App) linkEnded(to takeover.Identity, err error) {
	s := &a.succession
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noLink == nil {
		s.noLink = map[takeover.Identity]string{}
	}
	if err == nil {
		delete(s.noLink, to)
		return
	}
	if why := err.Error(); s.noLink[to] != why {
		s.noLink[to] = why
		a.log.Warn("takeover: no link for cancels", "process", to.PID, "reason", why)
	}
}

// tellKin has those be told of their outcomes who passed cancels on to this process, which is about to end, and has what was
// read here for others reach them.
func (a *App) tellKin() {
	ctx, cancel := context.WithTimeout(a.life, a.configInForce().Cancel.Timeout)
	defer cancel()
	a.proxy.AwaitCancels(ctx) // first: what they pass on is the hub's then
	a.hub.TellAll(ctx)
}

// addPredecessors puts those that came before and have not ended into a snapshot.
func (a *App) addPredecessors(s event.Snapshot) event.Snapshot {
	a.succession.mu.Lock()
	defer a.succession.mu.Unlock()
	for _, session := range a.succession.before {
		s.Predecessors = append(s.Predecessors, event.Predecessor{Process: session.Offer.Who.PID, Clients: session.Clients()})
	}
	return s
}
