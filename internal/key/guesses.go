package key

import (
	"container/list"
	"time"
)

// What Guesses goes by.
const (
	// freeGuesses may fail in a row: a cancel that comes when its client has left is no guess.
	freeGuesses = 20
	// forgiveAfter takes one failure off an address' account, again and again: what fails no more often is held no longer.
	forgiveAfter = time.Second
	// mostFailures is as far as an account goes: the late cancels of clients behind a guesser's address are held until a
	// minute after its last failure, not for hours.
	mostFailures = freeGuesses + 60
	// firstHold is for the first failure beyond, twice that for each one more.
	firstHold = 100 * time.Millisecond
	// maxHeld is how many requests of one address may be held at a time.
	maxHeld = 50
	// MaxGuessers is how many addresses Guesses remembers: the ones that failed last.
	MaxGuessers = 4096
)

// Guesses decides how long the connection of a request that failed is kept: 32 bits of a key of 3.0 can be guessed by who
// has time, and who guesses one after the other gets no further than forgiveAfter lets him. It never decides of a request
// that means somebody: that one has been judged by then. K names an address. Memory is bounded (MaxGuessers); times are
// those of one clock of the caller's. The zero value is ready.
type Guesses[K comparable] struct {
	byAddress map[K]*list.Element
	order     list.List // of *guesser[K], the one that failed longest ago in front
}

// guesser is what is known of one address.
type guesser[K comparable] struct {
	address  K
	failures int           // on its account
	since    time.Duration // the account is as it was then: what has been forgiven is taken off it
	held     int
}

// Failed notes that a request from an address failed, and says how long to keep its connection, at most most. After that,
// and only where it is more than 0, Left is due.
func (g *Guesses[K]) Failed(address K, now, most time.Duration) (hold time.Duration) {
	e := g.account(address, now)
	if e == nil {
		return 0
	}
	if forgiven := int((now - e.since) / forgiveAfter); forgiven >= e.failures {
		e.failures, e.since = 0, now
	} else {
		e.failures -= forgiven
		e.since += time.Duration(forgiven) * forgiveAfter
	}
	e.failures = min(e.failures+1, mostFailures)
	over := e.failures - freeGuesses
	if over <= 0 || e.held >= maxHeld {
		return 0
	}
	if hold = min(firstHold<<min(over-1, 20), most); hold > 0 {
		e.held++
	}
	return hold
}

// Left says that a connection is kept no longer.
func (g *Guesses[K]) Left(address K) {
	if at := g.byAddress[address]; at != nil {
		if e := at.Value.(*guesser[K]); e.held > 0 {
			e.held--
		}
	}
}

// Len is how many addresses it remembers.
func (g *Guesses[K]) Len() int { return g.order.Len() }

// account is that of an address, which has just failed. Nil: the connections of all that it remembers are kept, so there is
// room for no other.
func (g *Guesses[K]) account(address K, now time.Duration) *guesser[K] {
	if at := g.byAddress[address]; at != nil {
		g.order.MoveToBack(at)
		return at.Value.(*guesser[K])
	}
	if g.byAddress == nil {
		g.byAddress = map[K]*list.Element{}
	}
	if g.order.Len() >= MaxGuessers && !g.makeRoom() {
		return nil
	}
	e := &guesser[K]{address: address, since: now}
	g.byAddress[address] = g.order.PushBack(e)
	return e
}

// makeRoom forgets the address that failed longest ago, but none that Left is due for: its next account would be charged for
// what this one has left. Those go to the back, so that they are passed over once and not at every failure.
func (g *Guesses[K]) makeRoom() bool {
	for range g.order.Len() {
		at := g.order.Front()
		if e := at.Value.(*guesser[K]); e.held == 0 {
			delete(g.byAddress, e.address)
			g.order.Remove(at)
			return true
		}
		g.order.MoveToBack(at)
	}
	return false
}
