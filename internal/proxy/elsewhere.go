package proxy

import (
	"context"
	"time"

	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/key"
)

// Elsewhere is the other processes that there may be: other nodes, and others of this one. Its methods may be called from
// any goroutine; only Ask blocks.
type Elsewhere interface {
	// Knows tells whether there is such a node.
	Knows(node uint16) bool
	// HasKin tells whether there is another process of this node.
	HasKin() bool
	// Ask has node carry a request out, or another process of this one, and tells the outcome. It returns when the request's
	// connection may be closed, or ctx ends; guess tells that its key, of protocol 3.0, is nobody's. gone, which may be nil,
	// tells that its sender has gone.
	Ask(ctx context.Context, gone <-chan error, t engine.Ticket, r engine.CancelRequest, node uint16) (guess bool)
	// Unknown, or Released and Settled, answer Judge.
	Unknown(t engine.Ticket)
	Released(t engine.Ticket)
	Settled(t engine.Ticket, e event.CancelSettled)
}

// alone is Elsewhere where there is no other process.
type alone struct{}

func (alone) Knows(uint16) bool { return false }
func (alone) HasKin() bool      { return false }
func (alone) Ask(context.Context, <-chan error, engine.Ticket, engine.CancelRequest, uint16) bool {
	return false
}
func (alone) Unknown(engine.Ticket)                      {}
func (alone) Released(engine.Ticket)                     {}
func (alone) Settled(engine.Ticket, event.CancelSettled) {}

// Now is the clock that the engine's moments are of.
func (p *Proxy) Now() time.Duration { return p.loop.Now() }

// Judge has the engine judge a request that another process passed on to this one, under a ticket that no other request
// here has, unless it is for a guest of the console. Elsewhere hears what becomes of it.
func (p *Proxy) Judge(t engine.Ticket, r engine.CancelRequest) {
	if settled, known := p.cancelGuest(r); known {
		settled.Ticket, settled.Took = uint64(t), max(0, p.loop.Now()-r.ReadAt)
		p.set.Elsewhere.Released(t)
		p.set.Elsewhere.Settled(t, settled)
		return
	}
	p.loop.Post(func(now time.Duration) {
		if p.engine.Unknown(r.PID, r.Key) {
			p.set.Elsewhere.Unknown(t)
			return
		}
		p.own.arrivals[t] = true
		p.present(now, t, r)
	})
}

// CancelHere is for a request that was received for this node alone, and goes to no other. It returns when its connection
// may be closed, or ctx ends.
func (p *Proxy) CancelHere(ctx context.Context, remote string, pid uint32, k []byte) {
	r, began := engine.CancelRequest{PID: pid, Key: k, ReadAt: p.loop.Now(), Remote: remote}, time.Now()
	if !p.guestHere(r, began) {
		p.carryOut(ctx, r, began, nil)
	}
}

// route is who a request goes to.
type route uint8

const (
	toNobody route = iota
	toEngine       // of this process, which judges it
	toNode         // another one
	toKin          // another process of this node
)

// route finds who a request is for. here: it goes to no other node. w is for toNobody, node for toNode.
func (p *Proxy) route(r engine.CancelRequest, here bool) (to route, w whose, node uint16) {
	w = p.sort(r.PID, r.Key)
	node, _, _ = key.Split(r.PID)
	// What a key of 3.2 says of its node is true, so that what is wrong there is worth a word; one of 3.0 may say anything.
	proven := len(r.Key) > plainKey
	switch {
	case w == elsewhere && !here && (proven || p.set.Elsewhere.Knows(node)):
		return toNode, w, node
	case (w == former || w == unknown) && p.set.Elsewhere.HasKin():
		return toKin, w, node
	case w == oursPerhaps:
		return toEngine, w, node
	}
	return toNobody, w, node
}

// carryOut brings a request to whom it is for, and waits until its connection may be closed. Where v, who received it, is nil it
// goes to no other node. It tells whether the request was nobody's and may have been a guess.
func (p *Proxy) carryOut(ctx context.Context, r engine.CancelRequest, began time.Time, v *visit) (guess bool) {
	switch to, w, node := p.route(r, v == nil); to {
	case toNode:
		return p.passOn(ctx, r, node, v)
	case toKin:
		return p.passOn(ctx, r, p.keys.Load().Node(), v)
	case toEngine:
		return p.judgeHere(ctx, r, v)
	default:
		return p.nobodys(w, r.Remote, began)
	}
}

// plainKey is the length of a key of protocol 3.0.
const plainKey = 4

// passOn has another process carry a request out. Whoever may have guessed is watched, since its place may be needed when it
// has gone.
func (p *Proxy) passOn(ctx context.Context, r engine.CancelRequest, node uint16, v *visit) (guess bool) {
	var gone <-chan error
	if v != nil && len(r.Key) == plainKey {
		var unwatch func()
		gone, unwatch = v.watch()
		defer unwatch()
	}
	return p.set.Elsewhere.Ask(ctx, gone, engine.Ticket(p.ids.Add(1)), r, node)
}

// judgeHere has the engine judge a request. What it doesn't know another process of this node may.
func (p *Proxy) judgeHere(ctx context.Context, r engine.CancelRequest, v *visit) (guess bool) {
	t := engine.Ticket(p.ids.Add(1))
	released, another := make(chan struct{}), make(chan struct{})
	if !p.loop.Post(func(now time.Duration) {
		if p.set.Elsewhere.HasKin() && p.engine.Unknown(r.PID, r.Key) {
			close(another)
			return
		}
		p.own.tickets[t] = func() { close(released) }
		p.present(now, t, r)
	}) {
		return false
	}
	select {
	case <-released:
	case <-another:
		return p.passOn(ctx, r, p.keys.Load().Node(), v)
	case <-ctx.Done():
	}
	return false
}

// present gives a request to the engine, on the loop. The client's own socket is drained first, so that what it sent before the request has been seen when
// the request is judged.
func (p *Proxy) present(now time.Duration, t engine.Ticket, r engine.CancelRequest) {
	if c, ok := p.engine.CancelTarget(r.PID, r.Key); ok {
		p.loop.Drain(c)
	}
	p.engine.CancelRequested(now, t, r)
}
