package engine

import "time"

// worn tells whether a server is to be closed for its age (server_lifetime), now that nobody holds it. Of one pool they
// go one by one: no two within that time divided by the pool's size.
func (e *Engine) worn(s *server) bool {
	p := s.pool
	if p.share.ServerLife == 0 {
		return s.served
	}
	return p.wornAt(s) <= e.now
}

// wornAt is when a server of the pool may be closed for its age.
func (p *pool) wornAt(s *server) time.Duration {
	at := s.openedAt + p.share.ServerLife
	if p.wornLast > 0 {
		at = max(at, p.wornLast+p.share.ServerLife/time.Duration(max(p.Limit, 1)))
	}
	return at
}

// retireWorn closes a server for its age.
func (e *Engine) retireWorn(s *server) {
	s.pool.wornLast = e.now
	e.retire(s, "server_lifetime")
}

// noteWear remembers of a server that comes to rest when it is to be looked at for its age.
func (p *pool) noteWear(s *server) {
	if p.share.ServerLife == 0 {
		return
	}
	if at := p.wornAt(s); p.wearAt == 0 || at < p.wearAt {
		p.wearAt = at
	}
}

// wearAll looks at all servers at rest for their age, the oldest first.
func (e *Engine) wearAll(p *pool) {
	for {
		p.wearAt = 0
		var first *server
		for i := range p.Idle() {
			s := p.At(i)
			p.noteWear(s)
			if first == nil || s.openedAt < first.openedAt {
				first = s
			}
		}
		if first == nil || p.wearAt == 0 || p.wearAt > e.now {
			return
		}
		p.Remove(first)
		e.retireWorn(first)
	}
}
