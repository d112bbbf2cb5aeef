package engine

import (
	"time"

	"cancello/internal/event"
	"cancello/internal/sqlstate"
)

// Drain lets nobody in any more and closes each client when it has no transaction open and nothing running. Cancels go
// on. Drained is emitted when no client is left.
func (e *Engine) Drain(now time.Duration) {
	e.now = now
	if e.draining {
		return
	}
	e.draining = true
	for _, c := range append([]*client(nil), e.slots...) {
		switch {
		case c == nil:
		case c.login != 0:
			e.refuseLogin(c, sqlstate.Draining())
		default:
			e.closeIfDraining(c)
		}
	}
	e.checkDrained()
}

// closeIfDraining closes a client that is between two units, if the time has come.
func (e *Engine) closeIfDraining(c *client) {
	if !e.draining || c.gone || c.waits() || len(c.pending) > 0 || c.departed() {
		return
	}
	if c.srv != nil && !c.sess.Free() {
		return
	}
	e.fatal(c, sqlstate.AdminShutdown())
}

// checkDrained retires the servers that are left and says so when a drain is over.
func (e *Engine) checkDrained() {
	if !e.draining || e.drained || e.present > 0 {
		return
	}
	e.drained = true
	e.out.Emit(event.Drained{})
}

// drainedPool tells whether nobody will ask for the pool's servers any more.
func (e *Engine) drainedPool(p *pool) bool { return e.draining && p.clients == 0 }
