package engine

import (
	"time"

	"cancello/internal/sqlstate"
	"cancello/internal/wire"
)

// never is a limit that is not reached.
const never = time.Duration(1<<63 - 1)

// attend sees to it that a client is looked at when the first of its limits is reached. It is called several times in
// each query, where most limits are not set: only those that are cost anything.
func (e *Engine) attend(c *client) {
	if c.forgotten || c.arrival != nil { // it is not in yet; or it has a server to itself: a stream of changes is one long query
		return
	}
	l := &c.pool.share.Limits
	if c.condemned {
		at := e.now
		if _, cut := c.sess.Cut(); cut {
			at += e.cfg.Timeouts.ServerConnect // it can be told at the end of that message, if that comes
		}
		e.setAlarm(c, at)
		return
	}
	at := never
	if l.ClientIdle != 0 {
		at = limitAt(l.ClientIdle, c.idleSince())
	}
	if l.IdleTransaction != 0 {
		at = min(at, limitAt(l.IdleTransaction, c.dawdlesSince()))
	}
	if l.Query != 0 {
		at = min(at, limitAt(l.Query, e.unitSince(c)))
	}
	if l.Transaction != 0 {
		at = min(at, limitAt(l.Transaction, c.txSince()))
	}
	if c.place.Waits() {
		at = min(at, limitAt(e.cfg.Timeouts.WaitNotify, c.unnotifiedSince()))
	}
	if c.lost {
		at = min(at, limitAt(e.cfg.Cancel.ClientLoss, e.lossSince(c)))
	}
	if at != never {
		e.setAlarm(c, max(at, e.now+time.Millisecond))
	}
}

// limitAt is when a limit is reached by what has lasted since then; 0 is no limit.
func limitAt(limit, since time.Duration) time.Duration {
	if limit == 0 || since == never {
		return never
	}
	return since + limit
}

// reached tells whether a limit has been.
func (e *Engine) reached(limit, since time.Duration) bool { return limitAt(limit, since) <= e.now }

// enforce does what is due to a client that has reached a limit.
func (e *Engine) enforce(c *client) {
	l := c.pool.share.Limits
	switch {
	case e.reached(l.ClientIdle, c.idleSince()):
		if c.queued > 0 {
			c.quietAt = e.now // it reads still
			return
		}
		e.end(c, sqlstate.ClientIdleTimeout(l.ClientIdle), "client_idle_timeout")
	case e.reached(l.IdleTransaction, c.dawdlesSince()):
		if c.queued > 0 {
			c.quietAt = e.now
			return
		}
		e.end(c, sqlstate.IdleTransactionTimeout(l.IdleTransaction), "idle_transaction_timeout")
	case c.condemned:
		e.condemn(c)
	case e.reached(l.Transaction, c.txSince()):
		e.endTransaction(c)
	case e.reached(e.cfg.Cancel.ClientLoss, e.lossSince(c)):
		c.strained().cause = "client_loss_timeout"
		e.settle(c.srv)
	case e.reached(l.Query, e.unitSince(c)):
		c.limited, c.limitedAt = c.sess.Ended()+1, e.now
		if !e.protected(c) {
			e.orderOwn(c, "query_timeout")
		}
	case e.reached(e.cfg.Timeouts.WaitNotify, c.unnotifiedSince()):
		c.notified = true
		e.say(c, wire.AppendNotice(nil, "NOTICE", "00000", sqlstate.NoticeQueued))
	}
}

// endTransaction ends a transaction that takes too long. What runs is cancelled first, unless it may be a COMMIT (trap
// A11): only when that is known to have failed may a client be told that all was rolled back.
func (e *Engine) endTransaction(c *client) {
	if c.sess.Begun() == c.sess.Ended() || c.sess.Dawdles() {
		e.condemn(c)
		return
	}
	c.strained().txSpared = e.now
	if !e.protected(c) {
		c.strain.overdue = c.sess.Ended() + 1
		e.orderOwn(c, transactionTimeout)
	}
}

// overrun looks at a unit that has ended, and was cancelled because its transaction took too long. If that is over now
// in another way, its client goes on.
func (c *client) overrun() {
	if c.strain == nil || c.strain.overdue == 0 || c.strain.overdue > c.sess.Ended() {
		return
	}
	failed := c.sess.WasCancelled(c.strain.overdue)
	c.strain.overdue = 0
	c.condemned = failed || c.sess.Begun() == c.sess.Ended() && c.sess.Tx() != 'I'
}

// condemn closes a client whose transaction took too long.
func (e *Engine) condemn(c *client) {
	c.condemned = false
	e.end(c, sqlstate.TransactionTimeout(c.pool.share.Limits.Transaction), transactionTimeout)
}

const transactionTimeout = "transaction_timeout"

// idleSince is since when a client has asked for nothing, outside of a transaction.
func (c *client) idleSince() time.Duration {
	if c.gone || c.waits() || c.departed() || c.sess.Begun() > c.sess.Ended() || c.sess.Tx() != 'I' {
		return never
	}
	return max(c.quietAt, c.lastEnd)
}

// dawdlesSince is since when a server has waited for a client within a transaction, a batch or a message. No
// ReadyForQuery has come for a batch that is open, so PostgreSQL's own limit does not count for it (trap A8).
func (c *client) dawdlesSince() time.Duration {
	s := c.srv
	switch {
	case s == nil || s.phase != leased || c.paused != 0 || c.waits() || c.gone || c.departed():
		return never
	case c.sess.Dawdles():
		return max(c.quietAt, s.lastWrite, s.lastData)
	case c.sess.Begun() == c.sess.Ended() && c.sess.Tx() != 'I':
		return max(c.quietAt, c.lastEnd)
	}
	return never
}

// unitSince is since when a server has worked on a client's unit, or has done so since that was last cancelled for it.
func (e *Engine) unitSince(c *client) time.Duration {
	if !c.clock.running || c.srv == nil || c.sess.Dawdles() {
		return never
	}
	if e.bug == BugUnitKeepsClock {
		return c.clock.txAt
	}
	if c.limited == c.sess.Ended()+1 {
		return max(c.clock.unitAt, c.limitedAt)
	}
	return c.clock.unitAt
}

// wakes notes that a client goes on after its server had waited for it in the middle of a unit: what it took for that is
// not the server's time.
func (c *client) wakes(now time.Duration) {
	if c.clock.running && c.sess.Dawdles() {
		c.limited, c.limitedAt = c.sess.Ended()+1, now
	}
}

// txSince is since when a client has been in a transaction.
func (c *client) txSince() time.Duration {
	if c.srv == nil || c.departed() || !c.clock.running && c.sess.Tx() == 'I' {
		return never
	}
	if c.strain != nil && c.clock.txAt < c.strain.txSpared {
		return c.strain.txSpared
	}
	return c.clock.txAt
}

// protected tells whether what a client runs may be a COMMIT, or one was sent behind: by the time that a cancel of our own
// gets there, the server may be at it (trap A11).
func (e *Engine) protected(c *client) bool { return c.sess.Commits() && e.bug != BugCancelsCommit }

// orderOwn cancels what a client runs for a reason of our own, unless somebody has asked for it already.
func (e *Engine) orderOwn(c *client, cause string) {
	for _, o := range c.orders {
		if o.unit == c.sess.Ended()+1 && o.state != void {
			return
		}
	}
	e.order(c, nil, cause)
}

// unnotifiedSince is since when a client has waited for a server without being told so.
func (c *client) unnotifiedSince() time.Duration {
	if !c.place.Waits() || c.notified || c.gone {
		return never
	}
	return c.since
}

// end closes a client for a reason of our own: what it runs is cancelled, what it left open is rolled back.
func (e *Engine) end(c *client, err sqlstate.Error, cause string) {
	if c.cause() == "" {
		c.strained().cause = cause
	}
	e.fatal(c, err)
}
