package engine

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
	s.checking = true
	s.pool.Checking++
	e.command(s, sql)
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
	if s.checking {
		s.checking = false
		s.pool.Checking--
		s.provenAt = e.now
	}
}
