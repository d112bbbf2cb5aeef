package engine

import (
	"time"

	"cancello/internal/event"
)

// clock is what of a client's work is measured. The hot path only adds to fixed buckets: no event, no allocation.
type clock struct {
	joined  time.Duration // when it logged in
	unitAt  time.Duration // when its server began to work on the earliest unfinished unit
	txAt    time.Duration // when the transaction of that unit began
	counted uint64        // serial of the last unit that was measured or left out
	running bool          // unitAt and txAt hold
}

// tally finds or makes the counts of a configured database. They outlive its pools; there are never more than the
// configuration has had entries.
func (e *Engine) tally(entry string) *event.Tally {
	t := e.tallies[entry]
	if t == nil {
		t = &event.Tally{Entry: entry}
		e.tallies[entry] = t
	}
	return t
}

// clockIn notes that a server begins to work, if nothing of the client ran before.
func (e *Engine) clockIn(c *client) {
	if c.clock.running || c.sess.Begun() == c.sess.Ended() {
		return
	}
	c.clock.running, c.clock.counted, c.clock.unitAt = true, c.sess.Ended(), e.now
	if c.sess.Tx() == 'I' && (e.bug != BugTxKeepsClock || c.clock.txAt == 0) {
		c.clock.txAt = e.now
	}
	e.attend(c)
}

// countMessages adds what the session has counted.
func (c *client) countMessages() {
	n := c.sess.TakeCounts()
	t := c.pool.tally
	t.ClientParses += n.ClientParses
	t.ServerParses += n.ServerParses
	t.Binds += n.Binds
}

// clockOut counts the units that ended. In a pipeline the server begins with the next one where it ended the last.
func (e *Engine) clockOut(c *client) {
	k := &c.clock
	if !k.running {
		return
	}
	t := c.pool.tally
	for ; k.counted < c.sess.Ended(); k.counted++ {
		t.Query.Observe(e.now - k.unitAt)
		k.unitAt = e.now
	}
	if c.sess.Tx() == 'I' {
		t.Transaction.Observe(e.now - k.txAt)
		if e.bug != BugTxKeepsClock {
			k.txAt = e.now
		}
	}
	k.running = c.sess.Begun() > c.sess.Ended()
}

// clockWait counts how long a client that gets a server has waited for it.
func (e *Engine) clockWait(c *client) {
	var d time.Duration
	if c.place.Waits() {
		d = e.now - c.since
	}
	c.pool.tally.Wait.Observe(d)
}
