package auth

import (
	"container/list"
	"time"
)

// What a Brake goes by.
const (
	// freeFailures are forgiven: people mistype, and programs try twice.
	freeFailures = 3
	// firstDelay follows the first failure that isn't, and doubles with each further one.
	firstDelay = 100 * time.Millisecond
	// forgetAfter is how long after its last failure an address is as good as any other.
	forgetAfter = 10 * time.Minute
	// maxWaiting is how many logins of one address may wait at a time. It bounds what an address that opens many
	// connections at once can try in the end.
	maxWaiting = 50
	// MaxBraked is how many addresses a Brake remembers: the ones that failed last.
	MaxBraked = 4096
)

// Brake slows logins of addresses from which logins fail, whoever they were for. K names an address. What it costs is
// bounded in memory (MaxBraked) and in time: nobody waits longer than the caller says. Times are those of one clock of
// the caller's. The zero value is ready.
type Brake[K comparable] struct {
	byAddress map[K]*list.Element
	order     list.List // of *braked[K], the one that failed longest ago in front
}

// braked is what is known of one address.
type braked[K comparable] struct {
	address  K
	failures int           // in a row
	last     time.Duration // when the last of them was
	waiting  int
}

// Ask says how long a login from an address has to wait now, at most most. After a wait, and only then, Left is due.
// ok is false where too many wait already: this one is to be refused.
func (b *Brake[K]) Ask(address K, now, most time.Duration) (wait time.Duration, ok bool) {
	e := b.find(address)
	if e == nil {
		return 0, true
	}
	if now-e.last >= forgetAfter {
		if e.waiting == 0 {
			b.remove(address)
		}
		return 0, true
	}
	if wait = e.last + delay(e.failures, most) - now; wait <= 0 {
		return 0, true
	}
	if e.waiting >= maxWaiting {
		return 0, false
	}
	e.waiting++
	return wait, true
}

// Left ends a wait.
func (b *Brake[K]) Left(address K) {
	if e := b.find(address); e != nil && e.waiting > 0 {
		e.waiting--
	}
}

// Failed notes that a login from an address failed.
func (b *Brake[K]) Failed(address K, now time.Duration) {
	if b.byAddress == nil {
		b.byAddress = map[K]*list.Element{}
	}
	at := b.byAddress[address]
	if at == nil {
		if b.order.Len() >= MaxBraked {
			b.remove(b.order.Front().Value.(*braked[K]).address)
		}
		at = b.order.PushBack(&braked[K]{address: address})
		b.byAddress[address] = at
	}
	e := at.Value.(*braked[K])
	if now-e.last >= forgetAfter {
		e.failures = 0
	}
	e.failures++
	e.last = now
	b.order.MoveToBack(at)
}

// Succeeded notes that a login from an address went well: what failed before is forgotten.
func (b *Brake[K]) Succeeded(address K) {
	if e := b.find(address); e != nil {
		e.failures = 0
		if e.waiting == 0 {
			b.remove(address)
		}
	}
}

// Len is how many addresses it remembers.
func (b *Brake[K]) Len() int { return b.order.Len() }

// Waiting is how many logins of an address wait.
func (b *Brake[K]) Waiting(address K) int {
	if e := b.find(address); e != nil {
		return e.waiting
	}
	return 0
}

func (b *Brake[K]) find(address K) *braked[K] {
	if at := b.byAddress[address]; at != nil {
		return at.Value.(*braked[K])
	}
	return nil
}

func (b *Brake[K]) remove(address K) {
	b.order.Remove(b.byAddress[address])
	delete(b.byAddress, address)
}

// delay is how long after its last failure an address may not try again.
func delay(failures int, most time.Duration) time.Duration {
	if failures <= freeFailures {
		return 0
	}
	d := firstDelay
	for range failures - freeFailures - 1 {
		if d *= 2; d >= most {
			break
		}
	}
	return min(d, most)
}
