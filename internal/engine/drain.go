package engine

import (
	"maps"
	"slices"
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
	for _, name := range slices.SortedFunc(maps.Keys(e.pools), poolName.compare) {
		e.emptyIfDraining(e.pools[name])
	}
	e.checkDrained()
}

// emptyIfDraining retires the servers at rest of a pool that nobody will ask again.
func (e *Engine) emptyIfDraining(p *pool) {
	for e.drainedPool(p) {
		s, ok := p.Take()
		if !ok {
			return
		}
		e.retire(s, "draining")
	}
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

// checkDrained says so when a drain is over.
func (e *Engine) checkDrained() {
	if !e.draining || e.drained || e.present > 0 {
		return
	}
	e.drained = true
	e.out.Emit(event.Drained{})
}

// drainedPool tells whether nobody will ask for the pool's servers any more.
func (e *Engine) drainedPool(p *pool) bool { return e.draining && p.clients == 0 }
