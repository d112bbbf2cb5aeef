package relay

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"cancello/internal/event"
)

// A key of four bytes proves nothing before its owner has compared it, so it costs a token of its source and node: a source
// that guesses is slow. The token comes back when the owner knows the key, so that one that does not guess is not slowed,
// not even a balancer that all clients seem to come from.
const (
	burst      = 20                     // asks at once
	tokenEvery = 100 * time.Millisecond // and this often one more
	maxHeld    = 100                    // asks that wait for a token
	maxBuckets = 10000                  // those beyond share one
	plainKey   = 4                      // bytes
)

// source is who guesses whom.
type source struct {
	from string
	node uint16
}

type bucket struct {
	source
	tokens int
	at     time.Duration // that tokens is of
	held   []*ask        // that wait, oldest first
}

// buckets are those of all sources, oldest first. The zero value is ready.
type buckets struct {
	of      map[source]*bucket
	line    []*bucket
	crowd   *bucket   // of the sources beyond maxBuckets
	waiting []*bucket // that asks wait for
}

// fill adds the tokens that are due.
func (b *bucket) fill(now time.Duration) {
	n := int((now - b.at) / tokenEvery)
	if b.tokens += n; b.tokens >= burst {
		b.tokens, b.at = burst, now
		return
	}
	b.at += time.Duration(n) * tokenEvery
}

// idle says that nothing would be lost with a bucket.
func (b *bucket) idle(now time.Duration) bool {
	b.fill(now)
	return b.tokens == burst && len(b.held) == 0
}

// find is the bucket of a source, which is made if need be.
func (s *buckets) find(of source, now time.Duration) *bucket {
	if b := s.of[of]; b != nil {
		return b
	}
	if s.of == nil {
		s.of = map[source]*bucket{}
	}
	for range 2 { // a few looks each time keep the number down without ever going through all
		if len(s.line) == 0 {
			break
		}
		oldest := s.line[0]
		s.line = s.line[1:]
		if oldest.idle(now) {
			delete(s.of, oldest.source)
		} else {
			s.line = append(s.line, oldest)
		}
	}
	if len(s.of) >= maxBuckets {
		if s.crowd == nil {
			s.crowd = &bucket{tokens: burst, at: now}
		}
		return s.crowd
	}
	b := &bucket{source: of, tokens: burst, at: now}
	s.of[of] = b
	s.line = append(s.line, b)
	return b
}

// next is when a token for somebody who waits is due.
func (s *buckets) next(now time.Duration) (at time.Duration, ok bool) {
	for _, b := range s.waiting {
		if !ok || b.at+tokenEvery < at {
			at, ok = b.at+tokenEvery, true
		}
	}
	return at, ok
}

// address is what of a client's address counts as one source: all of it but the port, of IPv6 the network.
func address(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	ip := at.Addr().Unmap()
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}

// charge takes a token for an ask that needs one; where there is none the ask waits, or is over.
func (r *Relay) charge(a *ask) bool {
	if len(a.req.Key) != plainKey || a.in != nil { // one that came over a link has paid there
		return true
	}
	b := r.buckets.find(source{address(a.req.Remote), a.node}, r.now)
	a.bucket = b
	b.fill(r.now)
	if b.tokens > 0 && len(b.held) == 0 {
		b.tokens--
		return true
	}
	if len(b.held) >= maxHeld {
		a.bucket = nil
		r.throttle(a)
		return false
	}
	if a.held = true; len(b.held) == 0 && !slices.Contains(r.buckets.waiting, b) {
		r.buckets.waiting = append(r.buckets.waiting, b)
	}
	b.held = append(b.held, a)
	r.wake(b.at + tokenEvery)
	return false
}

func (r *Relay) throttle(a *ask) {
	r.traffic(a).throttled++
	r.end(a, event.CancelSettled{Outcome: event.Throttled, Reason: fmt.Sprintf("too many requests from %s with keys of four bytes that node %d does not know", address(a.req.Remote), a.node)})
}

// refund gives an ask's token back: its key was right.
func (r *Relay) refund(a *ask) {
	if b := a.bucket; b != nil && !a.held {
		a.bucket = nil
		b.fill(r.now)
		b.tokens = min(burst, b.tokens+1)
		r.admit(b)
	}
}

// unbucket forgets an ask that is over.
func (r *Relay) unbucket(a *ask) {
	b := a.bucket
	a.bucket = nil
	if b == nil || !a.held {
		return
	}
	for i, x := range b.held {
		if x == a {
			b.held = append(b.held[:i], b.held[i+1:]...)
			break
		}
	}
}

// admit lets those go on that there are tokens for.
func (r *Relay) admit(b *bucket) {
	for b.tokens > 0 && len(b.held) > 0 {
		a := b.held[0]
		b.held = b.held[1:]
		b.tokens--
		a.held = false
		r.send(a)
	}
}

// refill hands out the tokens that have become due.
func (r *Relay) refill() {
	s := &r.buckets
	for _, b := range s.waiting {
		b.fill(r.now)
		r.admit(b)
	}
	s.waiting = slices.DeleteFunc(s.waiting, func(b *bucket) bool { return len(b.held) == 0 })
}
