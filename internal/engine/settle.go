package engine

import (
	"cancello/internal/lease"
	"cancello/internal/session"
	"cancello/internal/wire"
)

// settle looks at a server after anything that concerned it: whether its client is done with it, and what it needs before
// somebody else may have it. It is the only place where a lease ends in order. While its bytes are gone through there is no
// telling what is unread; serverData settles it when that is known.
func (e *Engine) settle(s *server) {
	if s.taking {
		return
	}
	switch {
	case s.phase == leased && s.cl.departed():
		e.settleDeparted(s)
	case s.phase == leased:
		e.settleLease(s)
	case s.phase == applying && s.cl.departed():
		c := s.cl
		e.unapply(s, false)
		e.dismissed(c)
	}
	if s.phase == cleaning && !s.busy {
		e.nextChore(s)
	}
	if s.phase != dead && e.onlyUnread(s) {
		e.awaitWhole(s)
	}
}

// probe asks a server whether it swallowed a Sync, where that is all that is not known of it, and rolls back a block
// that statement mode has no place for. Both are queries of our own, so a cancel on the wire is waited for.
func (e *Engine) probe(s *server) {
	switch sess := &s.cl.sess; {
	case s.fences > 0:
	case sess.Doubtful():
		e.send(&s.link, sess.Probe())
	case sess.MustUndo():
		undo := sess.Undo()
		if e.bug == BugBlockCommitted {
			undo = wire.AppendQuery(nil, "COMMIT")
		}
		s.lastWrite = e.now
		e.send(&s.link, undo)
	}
}

// nextChore runs what is still to be done to a server between two clients, and hands it on when nothing is. A cancel on
// the wire is waited for: it would end our own query.
func (e *Engine) nextChore(s *server) {
	switch {
	case s.fences > 0:
	case len(s.chores) > 0:
		chore := s.chores[0]
		s.chores = s.chores[1:]
		s.shared = s.shared && chore != lease.DiscardAll
		if chore == lease.DiscardAll && s.shelf != nil {
			s.shelf.Clear()
		}
		e.choresSet(s, chore)
		e.command(s, string(chore))
	case s.still(e.bug):
		e.handOn(s)
	}
}

func (e *Engine) settleLease(s *server) {
	c := s.cl
	e.probe(s)
	if e.hurry(s) {
		return
	}
	if c.sess.Free() && s.still(e.bug) {
		switch {
		case e.restore(s):
			return
		case c.sess.Mode() != session.Keep || c.sess.Begun() == 0 && s.sole == nil: // it was given the server to be let in
			e.release(s)
			e.proceed(c)
			e.closeIfDraining(c)
			return
		case e.draining && len(c.pending) == 0:
			e.closeIfDraining(c)
			return
		}
	}
	if c.held {
		e.proceed(c)
	}
}

// release takes a server from its client and begins what has to be done to it.
func (e *Engine) release(s *server) {
	e.vacate(s)
	e.nextChore(s)
}

// vacate parts a server and its client, and knows what is to be done to it before it is anybody's.
func (e *Engine) vacate(s *server) {
	s.chores = lease.Chores(e.leftBehind(s))
	e.detach(s)
	s.phase = cleaning
}

// leftBehind is what the client that holds s leaves there.
func (e *Engine) leftBehind(s *server) lease.State {
	c := s.cl
	if c.sess.Stirred() {
		s.set = s.pool.settings.Intern(s.set.Doubt())
	}
	return lease.State{
		Tx: c.sess.Tx(), Session: c.sess.Mode() == session.Keep && c.sess.Begun() > 0,
		Prepared: c.sess.Tags()&(session.TagPrepare|session.TagListen) != 0, Set: c.sess.Tags()&session.TagSet != 0,
		StaysOpen: s.info.Extras, Identity: e.identityChanged(s),
		Reset: lease.Chore(e.cfg.Pool.Reset.Query), Always: e.cfg.Pool.Reset.Always,
	}
}

// identityChanged tells whether the server runs as somebody else than it logged in as.
func (e *Engine) identityChanged(s *server) bool {
	if s.initial == s.set {
		return false
	}
	const name = "session_authorization"
	was, _ := s.initial.Get(name)
	is, _ := s.set.Get(name)
	return was != is
}

// detach parts a server and its client.
func (e *Engine) detach(s *server) {
	c := s.cl
	s.cl, c.srv = nil, nil
	if e.bug == BugKeyOutlivesClient {
		e.lastHeld[c] = s
	}
	e.resume(&s.link, pausePeer)
	e.resume(&c.link, pausePeer)
	if len(c.orders) == 0 && (c.strain == nil || c.strain.overdue == 0) { // else it may be asked how a unit ended
		c.sess.Rest()
	}
}

// applied: a query of the client's settings was answered. With the last one the client's messages flow.
func (e *Engine) applied(s *server) {
	if s.sets = s.sets[1:]; len(s.sets) > 0 {
		e.command(s, s.sets[0])
		return
	}
	c := s.cl
	s.set = s.pool.settings.Intern(s.set.WithOwn(s.next))
	s.before, s.next, s.restoring = nil, nil, false
	if c.login != 0 {
		e.letIn(s)
		return
	}
	for _, p := range s.set.Params() { // what it asked for as given, it now learns as the server reads it
		if v, ok := c.told.Get(p.Name); !ok || v != p.Value {
			e.tell(c, p.Name, p.Value)
		}
	}
	c.told = s.set
	if len(c.pending) == 0 && c.sess.Mode() != session.Keep { // what it had the server for was cancelled
		e.vacate(s)
		e.proceed(c)
		e.closeIfDraining(c)
		e.attend(c)
		return
	}
	c.sess.Reads(s.set.Reading())
	s.phase = leased
	e.proceed(c)
}

// tell sends a client a ParameterStatus.
func (e *Engine) tell(c *client, name, value string) {
	c.told = c.pool.settings.Intern(c.told.With(name, value))
	e.say(c, wire.AppendParameterStatus(nil, name, value))
}

// heard notes that a client was told a value by its server.
func (c *client) heard(name, value []byte) {
	if !c.told.Has(name, value) {
		c.told = c.pool.settings.Intern(c.told.With(string(name), string(value)))
	}
}
