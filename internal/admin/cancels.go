package admin

import (
	"sync"
	"time"

	"cancello/internal/event"
)

// keptCancels is how many cancels SHOW CANCELS tells of.
const keptCancels = 1000

// Cancels remembers the last cancels. The zero value is ready; Add may be called from any goroutine and never waits for
// more than a copy.
type Cancels struct {
	mu   sync.Mutex
	ring []settled
	next int // where the oldest is, once the ring is full
}

// settled is one cancel and when its outcome was known.
type settled struct {
	at time.Time
	event.CancelSettled
}

// Add remembers one, and forgets the oldest where there are too many.
func (c *Cancels) Add(at time.Time, e event.CancelSettled) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ring) < keptCancels {
		c.ring = append(c.ring, settled{at, e})
		return
	}
	c.ring[c.next] = settled{at, e}
	c.next = (c.next + 1) % keptCancels
}

// list is the last cancels, the latest first.
func (c *Cancels) list() []settled {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.ring)
	list := make([]settled, n)
	for i := range list {
		list[i] = c.ring[(c.next+n-1-i)%n]
	}
	return list
}
