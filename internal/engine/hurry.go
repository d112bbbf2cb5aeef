package engine

import (
	"maps"
	"slices"

	"cancello/internal/session"
	"cancello/internal/sqlstate"
)

// hurry ends a session whose server is to be closed for good (server_fast_close), once nothing of it runs and no
// transaction is open. It tells whether it did.
func (e *Engine) hurry(s *server) bool {
	if !e.cfg.Pool.FastClose || s.phase != leased || s.misplaced() == "" {
		return false
	}
	c := s.cl
	if c.departed() || c.sess.Mode() != session.Keep || !c.sess.Free() || len(c.pending) > 0 || !s.still(e.bug) {
		return false
	}
	e.fatal(c, sqlstate.ServerReplaced(s.misplaced()))
	return true
}

// hurryAll does so for the servers of a pool that have just become outdated.
func (e *Engine) hurryAll(p *pool) {
	if !e.cfg.Pool.FastClose {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(e.servers)) {
		if s := e.servers[id]; s != nil && s.pool == p {
			e.hurry(s)
		}
	}
}
