package sim

import (
	"slices"
	"time"

	"cancello/internal/config"
)

// limitCodes are what a client is told that reached a limit of its own, and closed for it.
func limitCode(code string) bool { return code == "57P05" || code == "25P03" || code == "25P04" }

// underWay is since when, at the earliest, the engine has known of the client's present unit as the one to be worked on.
func (c *client) underWay() time.Duration {
	u := c.unit()
	if u == nil || u.fedAt == 0 {
		return 0
	}
	if c.ended > 0 {
		return max(u.fedAt, c.units[c.ended-1].endedAt)
	}
	return u.fedAt
}

// inTransaction is since when, at the earliest, the client has been in its present transaction, as the engine has told it;
// and the serial of its first unit; 0: it is in none. One that ended this very moment counts still.
func (c *client) inTransaction() (since time.Duration, first int) {
	n := min(c.ended, len(c.units))
	return c.blockBefore(n, c.underWay(), c.w.now)
}

// blockBefore is since when the transaction lasts that stands open in front of the unit at n, which began at since.
func (c *client) blockBefore(n int, since, now time.Duration) (_ time.Duration, first int) {
	first = n + 1
	for i := n - 1; i >= 0 && (c.units[i].status != 'I' || c.units[i].endedAt == now); i-- {
		since, first = c.units[i].fedAt, i+1
		if i > 0 {
			since = max(since, c.units[i-1].endedAt)
		}
	}
	return since, first
}

// overran tells whether a unit of the client was cancelled when its transaction had lasted for longer than a limit. It is
// told that between two messages, perhaps not at once: its next units may have ended by then.
func (c *client) overran(limit time.Duration) bool {
	for i, u := range c.units[:min(c.ended, len(c.units))] {
		if u.told != "57014" || c.w.since(u.endedAt) > c.w.k.config.Timeouts.ServerConnect+time.Millisecond {
			continue
		}
		began := u.fedAt
		if i > 0 {
			began = max(began, c.units[i-1].endedAt)
		}
		if since, _ := c.blockBefore(i, began, 0); c.w.lasted(since, u.endedAt) >= limit {
			return true
		}
	}
	return false
}

// checkDue sees a cancel of Cancello's own go out for a client that is there: a limit of it must have been reached, or it
// was commanded; and it must not meet a COMMIT, nor may one have been sent behind (trap A11).
func (w *World) checkDue(c *client) bool {
	l := c.limits()
	for _, u := range c.units[min(c.ended, len(c.units)):] {
		if u.kind == "commit" && u.queuedAt != 0 {
			return false
		}
	}
	if c.commanded() {
		return true
	}
	since := c.underWay()
	tx, _ := c.inTransaction()
	return l.Query > 0 && since > 0 && w.since(since) >= l.Query || l.Transaction > 0 && tx > 0 && w.since(tx) >= l.Transaction
}

// commanded tells whether somebody at the console had the client's present unit cancelled.
func (c *client) commanded() bool {
	return slices.ContainsFunc(c.commands, (*ticket).open)
}

// checkMourning sees a cancel of Cancello's own go out for a client that is gone: where what it runs may go on, its time
// must be over.
func (w *World) checkMourning(c *client, o *order) {
	k, l := w.k.config.Cancel, w.k.config.Limits
	if k.OnLoss == config.LossCancels || c.phase != left || c.killed || c.commanded() || w.draining || l != (config.Limits{}) ||
		o.backend.state != bRunning || o.backend.curTag.client != c.id {
		return
	}
	at := c.closedAt
	if c.conn.overAt != 0 {
		at = min(at, c.conn.overAt) // it was cut off before it left
	}
	if since := w.since(at); k.OnLoss == config.LossCloses || k.ClientLoss == 0 || since < k.ClientLoss {
		w.violate("P8", "order %d goes out for %s, who left %v ago, with on_client_loss = %s", o.id, c.name(), since, k.OnLoss)
	}
}

// checkLimit sees the engine close a client for a limit.
func (w *World) checkLimit(c *client, code string) {
	l := c.limits()
	switch code {
	case "57P05":
		since := max(c.letIn, c.lastEnd)
		if u := c.unit(); l.ClientIdle == 0 || w.since(since) < l.ClientIdle || c.ended > 0 && c.units[c.ended-1].status != 'I' || u != nil && u.fedAt != 0 && u.end >= 0 && c.fed >= u.end {
			w.violate("P5", "%s is closed as idle, %v after it had been answered", c.name(), w.since(since))
		}
	case "25P03":
		since := max(c.lastEnd, c.fedAt)
		tx, first := c.inTransaction()
		if l.IdleTransaction == 0 || w.since(since) < l.IdleTransaction || tx == 0 {
			w.violate("P5", "%s is closed as idle in a transaction, %v after it had been answered or asked", c.name(), w.since(since))
		}
		c.mustNotCommit, c.mustNotFrom = w.now, first
	case "25P04":
		since, first := c.inTransaction()
		if l.Transaction == 0 || (since == 0 || w.since(since) < l.Transaction) && !c.overran(l.Transaction) {
			w.violate("P5", "%s is closed for a transaction of %v", c.name(), w.since(since))
		}
		if c.ended == len(c.units) && c.units[c.ended-1].status != 'I' {
			c.mustNotCommit, c.mustNotFrom = w.now, first
		}
	}
}

// checkLimits looks, at the very end, for what was committed of clients of whom all had been rolled back.
func (w *World) checkLimits() {
	for _, m := range w.db.commits {
		if c := w.clients[m.tag.client-1]; c.mustNotCommit != 0 && m.at > c.mustNotCommit && m.tag.unit >= c.mustNotFrom {
			w.violate("P8", "%s was committed %v after %s had been told that its transaction is rolled back", m.tag, m.at-c.mustNotCommit, c.name())
		}
	}
}

// drawLimits draws the limits of a world, most of them none.
func (w *World) drawLimits(k *Knobs) {
	l, t := &k.config.Limits, &k.config.Timeouts
	t.WaitNotify = 0
	if w.chance(0.3) {
		t.WaitNotify = w.between(time.Millisecond, 500*time.Millisecond)
	}
	if w.chance(0.4) {
		k.config.Cancel.OnLoss = config.OnLoss(w.pick(1, 2))
		k.config.Cancel.ClientLoss = w.between(0, 2*time.Second)
	}
	if w.chance(0.5) {
		t.Shutdown = w.between(time.Millisecond, 3*time.Second)
	}
	k.commands = w.some(0.15, 5)
	if w.chance(0.15) {
		l.ClientIdle = w.between(2*time.Millisecond, 500*time.Millisecond)
	}
	if w.chance(0.2) {
		l.IdleTransaction = w.between(time.Millisecond, 300*time.Millisecond)
	}
	if w.chance(0.2) {
		l.Query = w.between(time.Millisecond, 2*time.Second)
	}
	if w.chance(0.2) {
		l.Transaction = w.between(2*time.Millisecond, 3*time.Second)
	}
}
