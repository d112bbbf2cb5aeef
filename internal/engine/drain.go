package engine

import (
	"maps"
	"slices"
	"time"

	"cancello/internal/event"
	"cancello/internal/sqlstate"
)

// Drain lets nobody in any more and closes each client when it has no transaction open and nothing running. Cancels go
// on; a pause does not. Drained is emitted when no client is left.
func (e *Engine) Drain(now time.Duration) {
	e.now = now
	if e.draining {
		return
	}
	e.draining = true
	e.Resume(now, "") // who waits would wait for ever
	e.closeSides()
	for _, c := range append([]*client(nil), e.slots...) {
		switch {
		case c == nil:
		case c.login != 0:
			e.refuseLogin(c, sqlstate.Draining())
		case c.replication() != "": // it would never be between two units
			e.fatal(c, sqlstate.AdminShutdown())
		default:
			e.closeIfDraining(c)
		}
	}
	for _, name := range slices.SortedFunc(maps.Keys(e.pools), poolName.compare) {
		e.emptyIfDeserted(e.pools[name])
	}
	if d := e.cfg.Timeouts.Shutdown; d > 0 && !e.drained {
		e.after(d, e.endDrain)
	}
	e.checkDrained()
}

// endDrain is the end of a drain's patience: what runs is cancelled, who is still there is told. Servers that then go on
// for cancel_timeout, at a COMMIT for one, are left to PostgreSQL.
func (e *Engine) endDrain() {
	const cause = "shutdown_timeout"
	for _, c := range append([]*client(nil), e.slots...) {
		if c != nil {
			e.kill(c, cause)
		}
	}
	for _, p := range e.poolsOf("") {
		for _, c := range p.Line.All() {
			if c.gone { // what it had asked for before it went will not be done
				e.giveUpOn(c)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(e.servers)) {
		s := e.servers[id]
		if s == nil || s.cl == nil || !s.cl.gone && !s.cl.departed() {
			continue
		}
		c := s.cl // of those that have gone, or said so, what they had asked for was still done
		c.lost, c.strained().lostAt = true, e.now
		if c.strain.cause == "" {
			c.strain.cause = cause
		}
		e.settle(s)
	}
	e.after(e.cfg.Cancel.Timeout, func() {
		for _, id := range slices.Sorted(maps.Keys(e.servers)) {
			if s := e.servers[id]; s != nil && s.cl != nil {
				e.dismiss(s, "shutdown_timeout is over, and it works on")
			}
		}
	})
	e.checkDrained()
}

// emptyIfDeserted retires the servers at rest of a pool that nobody will ask again.
func (e *Engine) emptyIfDeserted(p *pool) {
	for e.deserted(p) {
		s, ok := p.Take()
		if !ok {
			return
		}
		e.retire(s, e.desertion())
	}
}

// closeIfDraining closes a client that is between two units, if the time has come.
func (e *Engine) closeIfDraining(c *client) {
	if !e.draining || c.gone || c.passes() || c.waits() || len(c.pending) > 0 || c.departed() {
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

// deserted tells whether nobody will ask for the pool's servers any more.
func (e *Engine) deserted(p *pool) bool { return (e.draining || p.closed) && p.clients == 0 }

// desertion says why.
func (e *Engine) desertion() string {
	if e.draining {
		return "draining"
	}
	return "its database is no longer configured"
}
