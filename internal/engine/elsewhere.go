package engine

import (
	"time"

	"cancello/internal/event"
)

// Unknown says whether no client of ours has a key that is not forged, either: another process may know it.
func (e *Engine) Unknown(pid uint32, k []byte) bool {
	c, outcome := e.find(pid, k)
	return c == nil && outcome == event.UnknownKey
}

// inSocket is how long what a client sent may have been in its socket before we had it. On a request of our own listeners
// the socket is read first; one that another node read is as old as the way from there, and a unit that came later than
// this after it cannot have been meant.
const inSocket = 50 * time.Millisecond

// begunSince tells whether all that c has in hand came after a request had been read, whose moment was told as ReadBy.
func (c *client) begunSince(r CancelRequest) bool {
	return r.ReadBy != 0 && c.inHandAt > r.ReadBy+inSocket
}

// hears notes when a client that had nothing in hand begins to send.
func (c *client) hears(now time.Duration) {
	if c.sess.Begun() == c.sess.Ended() && len(c.pending) == 0 {
		c.inHandAt = now
	}
}
