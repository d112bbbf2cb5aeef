package proxy

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"cancello/internal/event"
	"cancello/internal/key"
)

// whose is what a CancelRequest's pid and key tell of it, taken by themselves and without asking the engine.
type whose uint8

const (
	// oursPerhaps may be a client's of this process: the engine judges it.
	oursPerhaps whose = iota
	// elsewhere is another node's, by what it says of itself: a key of 3.0 by its pid, one of 3.2 by its MAC as well.
	elsewhere
	// former is a key of 3.2 that another process of this node has minted.
	former
	// unknown is a key of 3.0 that no client of this process has, or had lately.
	unknown
	// forged looks like a key of 3.2 and was not minted by anybody who knows the secret.
	forged
	// malformed has a length that we never give out.
	malformed
)

// sort tells whose a CancelRequest is; where it is elsewhere, key.Split of its pid says at which node. A storm of requests
// that mean nobody is thrown away by this, where they are read: the engine hears of none.
// What is left the engine judges as if nobody had looked.
func (p *Proxy) sort(pid uint32, k []byte) whose {
	v := p.keys.Load().Check(pid, k)
	switch {
	case v.Elsewhere():
		return elsewhere
	case v == key.Malformed:
		return malformed
	case v == key.Forged:
		return forged
	case v == key.Former:
		return former
	case v == key.Plain && !p.shortKeys.has(pid, k):
		return unknown
	}
	return oursPerhaps
}

// nobodys settles a request that sort has told to be none of ours. Nothing of it was seen by the engine. It tells
// whether it may have been a guess.
func (p *Proxy) nobodys(w whose, remote string, began time.Time) (guess bool) {
	outcome := event.UnknownKey
	switch w {
	case forged:
		outcome = event.Forged
	case malformed:
		outcome = event.Malformed
	}
	p.set.Emit(event.CancelSettled{Outcome: outcome, Ticket: p.ids.Add(1), Remote: remote, Took: time.Since(began)})
	return w == forged || w == unknown
}

// The table of shortKeys: a page is made when the first of its slots is used.
const (
	keyPage  = 1 << 12
	keyPages = key.Slots / keyPage
)

// shortKeys are the keys of protocol 3.0 that clients of ours hold, by slot: those that nothing but a comparison can
// judge. The loop writes them, anybody reads. A key stands here before its client is told it, and until its slot has
// another client: so a request whose key does not stand here means nobody, and one whose key does may.
type shortKeys struct {
	pages [keyPages]atomic.Pointer[[keyPage]atomic.Uint64]
}

// taken marks a key, so that one of zeros differs from none.
const taken = 1 << 32

// admit notes the key that a slot's new client is about to be told; one of another length, or none, ends the former one.
// On the loop.
func (s *shortKeys) admit(pid uint32, k []byte) {
	_, slot, ok := key.Split(pid)
	if !ok {
		return
	}
	var entry uint64
	if len(k) == 4 {
		entry = taken | uint64(binary.BigEndian.Uint32(k))
	}
	at := &s.pages[slot/keyPage]
	page := at.Load()
	if page == nil {
		if entry == 0 {
			return
		}
		page = new([keyPage]atomic.Uint64)
		at.Store(page)
	}
	page[slot%keyPage].Store(entry)
}

// has says whether a client may hold that pid and key, of our node, in a time that doesn't depend on the key.
func (s *shortKeys) has(pid uint32, k []byte) bool {
	_, slot, ok := key.Split(pid)
	if !ok {
		return false
	}
	page := s.pages[slot/keyPage].Load()
	return page != nil && page[slot%keyPage].Load() == taken|uint64(binary.BigEndian.Uint32(k))
}
