package engine

import (
	"io"
	"time"

	"cancello/internal/config"
	"cancello/internal/wire"
)

// clientClosed: a client's connection is gone.
func (e *Engine) clientClosed(c *client, err error) {
	if c.gone {
		return
	}
	reason := "client closed the connection"
	if err != nil && err != io.EOF {
		reason = err.Error()
	}
	e.leave(c, reason)
}

// terminate: a client said that it is done. Whole units that it has sent are finished (trap A9); what it left open is
// rolled back, as by a direct connection.
func (e *Engine) terminate(c *client) {
	c.terminated = true
	c.held = false
	if c.srv != nil {
		e.settle(c.srv)
		return
	}
	e.dismissed(c)
}

const leftInOrder = "client terminated"

// dismissed: a departed client holds no server any more.
func (e *Engine) dismissed(c *client) {
	if !c.gone {
		e.hangUp(c, Flush, leftInOrder)
	}
	e.forget(c)
}

// settleDeparted ends what a departed client left open on its server, cancels what still runs for a lost one, and takes
// the server back once it owes nothing.
func (e *Engine) settleDeparted(s *server) {
	c := s.cl
	if s.sole != nil {
		e.partSole(s)
		return
	}
	if e.abandoned(s) {
		return
	}
	out, ok := c.sess.Abandon()
	if !ok {
		l := loss{reason: "its client left in the middle of a message", running: !c.sess.Starves()}
		e.drop(s, l, Now)
		return
	}
	if len(out) > 0 && (e.bug == BugSyncCommitsDeparted || e.bug == BugIdleBatchSynced && c.cause() == "idle_transaction_timeout") {
		out = wire.AppendSync(nil)
	}
	e.send(&s.link, out)
	e.probe(s)
	if c.sess.Settled() {
		if s.still(e.bug) {
			e.release(s)
			e.dismissed(c)
			return
		}
		if !c.gone { // whatever its server still has to wait for, a fence for one, is not for its client
			e.hangUp(c, Flush, leftInOrder)
		}
	}
	if c.lost {
		e.mourn(c)
	}
}

// abandoned closes the server of a lost client that has left something there (on_client_loss = close), and tells whether
// it did.
func (e *Engine) abandoned(s *server) bool {
	c := s.cl
	if !c.lost || c.cause() != "" || e.cfg.Cancel.OnLoss != config.LossCloses || e.bug == BugLossNotAwaited || c.sess.Free() {
		return false
	}
	e.drop(s, loss{reason: "its client is gone (on_client_loss = close)", running: !c.sess.Starves()}, Now)
	return true
}

// lossSince is since when a lost client's unit may run on (on_client_loss = wait).
func (e *Engine) lossSince(c *client) time.Duration {
	if !c.lost || c.cause() != "" || c.srv == nil || e.cfg.Cancel.OnLoss != config.LossWaits || e.bug == BugLossNotAwaited {
		return never
	}
	return c.strain.lostAt
}

// mourn cancels the unit that runs for a lost client, if it may not run on: once each, and never one that may be a
// COMMIT, which the cancel of a wait for replication would acknowledge (trap A11).
func (e *Engine) mourn(c *client) {
	unit := c.sess.Ended() + 1
	if unit > c.sess.Begun() || c.strain.mourned >= unit || c.sess.Protected() || e.lossSince(c) != never {
		return
	}
	c.strain.mourned = unit
	cause := c.strain.cause
	if cause == "" {
		cause = "on_client_loss"
	}
	e.orderOwn(c, cause)
}
