package peer

import (
	"time"

	"cancello/internal/event"
	"cancello/internal/relay"
)

// outside is relay.Outside. Its methods are called on the hub's goroutine.
type outside struct{ h *Hub }

var _ relay.Outside = outside{}

// Say queues a message.
func (o outside) Say(l relay.Link, m relay.Message) {
	if s := o.h.own.sessions[l]; s != nil {
		s.say(m)
	}
}

// Cut ends a session whose other end is silent.
func (o outside) Cut(l relay.Link, reason string) {
	if s := o.h.own.sessions[l]; s != nil {
		s.end(reason)
	}
}

// Plain carries a request as a client does.
func (o outside) Plain(t relay.Ticket, node uint16, r relay.Request) {
	h := o.h
	n := h.own.peers[node]
	if n == nil {
		h.mail.post(func(now time.Duration) { h.relay.PlainDone(now, t, "it is no peer any more") })
		return
	}
	address, timeout := n.Address, h.live.Load().Timeout
	h.running.Go(func() {
		failure := plain(h.ctx, address, timeout, r)
		h.mail.post(func(now time.Duration) { h.relay.PlainDone(now, t, failure) })
	})
}

// Judge gives a request to our own engine.
func (o outside) Judge(t relay.Ticket, r relay.Request) { o.h.set.Judge(t, r) }

// Release lets the connection of a client's request be closed.
func (o outside) Release(t relay.Ticket, guess bool) {
	if released := o.h.own.tickets[t]; released != nil {
		delete(o.h.own.tickets, t)
		released <- guess
	}
}

// Emit passes an event on.
func (o outside) Emit(e event.Event) { o.h.set.Emit(e) }

// Wake sets the clock.
func (o outside) Wake(at time.Duration) { o.h.own.wake.Reset(max(at-o.h.set.Now(), 0)) }
