package engine

import "time"

// doubts tells whether a server has been silent for so long that it is asked server_check_query before a client gets it.
func (e *Engine) doubts(s *server) bool {
	_, asked := e.cfg.Pool.Check.Text()
	return asked && s.provenAt != e.now && e.now-s.restSince >= e.cfg.Pool.Check.Delay && e.bug != BugUnchecked
}

// checkMore asks servers at rest for those in the line. There are both only where the ones at rest are in doubt: each is
// asked for somebody, who goes on waiting in the line, and may be cancelled there.
func (e *Engine) checkMore(p *pool) {
	for p.Line.Len() > p.Checking {
		s, rests := p.Take()
		if !rests {
			return
		}
		if _, asked := e.cfg.Pool.Check.Text(); asked {
			e.check(s)
			continue
		}
		s.phase = cleaning
		e.handOn(s) // what was asked then is no longer
	}
}

// check asks a server whether it is still there. The answer is that of a chore: then it is handed on.
func (e *Engine) check(s *server) {
	sql, _ := e.cfg.Pool.Check.Text()
	s.phase = cleaning
	s.checking, s.expected = true, true
	s.pool.Checking++
	e.command(s, sql)
	step := s.step
	e.after(lateCheck, func() {
		if s.step == step && s.expected {
			s.unexpected()
			e.staff(s.pool)
		}
	})
}

// lateCheck is how long a server is waited for that is asked whether it is still there: then another is opened, if it may
// be. The answer has the rest of server_connect_timeout.
const lateCheck = 500 * time.Millisecond

// unexpected has nobody wait for a server any more that is asked.
func (s *server) unexpected() {
	if s.expected {
		s.expected = false
		s.pool.Checking--
	}
}

// forgets looks at what a query of our own did: what server_reset_query deallocates is not prepared any more.
func (s *server) forgets(tag []byte) {
	switch string(tag) {
	case "DEALLOCATE ALL\x00", "DISCARD ALL\x00":
		if s.shelf != nil {
			s.shelf.Clear()
		}
	}
}

// checked ends a check, if there was one.
func (e *Engine) checked(s *server) {
	s.unexpected()
	if s.checking {
		s.checking = false
		s.provenAt = e.now
	}
}
