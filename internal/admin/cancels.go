package admin

import (
	"slices"
	"sync"
	"time"

	"cancello/internal/event"
)

// How many cancels SHOW CANCELS tells of. Those that mean nobody have a place of their own: anybody can send any number of
// them, and must not drive out the others.
const (
	keptCancels = 1000
	keptNobodys = 100
)

// Cancels remembers the last cancels. The zero value is ready; Add may be called from any goroutine and never waits for
// more than a copy.
type Cancels struct {
	mu       sync.Mutex
	of       ring // clients
	ofNobody ring
}

// ring keeps the last of what is added.
type ring struct {
	kept []settled
	next int // where the oldest is, once it is full
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
	switch e.Outcome {
	case event.UnknownKey, event.Forged, event.Malformed, event.Throttled:
		c.ofNobody.add(settled{at, e}, keptNobodys)
	default:
		c.of.add(settled{at, e}, keptCancels)
	}
}

func (r *ring) add(s settled, most int) {
	if len(r.kept) < most {
		r.kept = append(r.kept, s)
		return
	}
	r.kept[r.next] = s
	r.next = (r.next + 1) % most
}

// appendTo appends what is kept, the latest first.
func (r *ring) appendTo(list []settled) []settled {
	n := len(r.kept)
	for i := range n {
		list = append(list, r.kept[(r.next+n-1-i)%n])
	}
	return list
}

// list is the last cancels, the latest first.
func (c *Cancels) list() []settled {
	c.mu.Lock()
	list := c.ofNobody.appendTo(c.of.appendTo(nil))
	c.mu.Unlock()
	slices.SortStableFunc(list, func(a, b settled) int { return b.at.Compare(a.at) })
	return list
}
