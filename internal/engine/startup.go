package engine

import (
	"errors"
	"slices"
	"strings"

	"cancello/internal/lease"
	"cancello/internal/session"
	"cancello/internal/sqlstate"
	"cancello/internal/unit"
	"cancello/internal/wire"
)

// wishes reads what a client asks for in its startup packet. Who has a server to himself asks that server, as he would
// directly.
func (e *Engine) wishes(r *Request, sole bool) ([]wire.Param, *sqlstate.Error) {
	if sole {
		return slices.DeleteFunc(r.Params, func(p wire.Param) bool {
			return slices.ContainsFunc(e.cfg.Pool.IgnoreStartupParameters, func(name string) bool { return strings.EqualFold(name, p.Name) })
		}), nil
	}
	asked, err := lease.Asked(r.Params, e.cfg.Pool.IgnoreStartupParameters)
	var bad *lease.OptionsError
	switch {
	case errors.As(err, &bad) && bad.Syntax:
		e := sqlstate.InvalidOptions(bad.Message)
		return nil, &e
	case err != nil:
		e := sqlstate.UnsupportedOptions(err.Error())
		return nil, &e
	}
	for _, p := range asked {
		if lease.Fixed(p.Name) {
			e := sqlstate.UnsupportedStartupParameter(p.Name)
			return nil, &e
		}
	}
	return asked, nil
}

// admitAll lets in those who waited for the pool's parameters. Who asks for values that no server has read yet waits for
// one to try them on (trap C1).
func (e *Engine) admitAll(p *pool) {
	for len(p.logins) > 0 {
		c := p.logins[0]
		p.logins = p.logins[1:]
		if !e.admitKnown(c) {
			e.askToTry(c)
		}
	}
	p.logins = nil
}

// admitKnown lets a client in, if it is known how servers read all that it asks for.
func (e *Engine) admitKnown(c *client) bool {
	wish, _, known := c.pool.accepted.Wish(c.pool.params, c.arrival.wishes)
	if known {
		e.admit(c, wish)
	}
	return known
}

// askToTry gets a login a server to try its settings on, or a place in the line.
func (e *Engine) askToTry(c *client) {
	p := c.pool
	c.since = e.now
	if s, ok := e.take(p); ok {
		e.tryOn(c, s)
		e.settle(s)
		return
	}
	p.Line.Join(&c.place, c)
	e.staff(p)
	e.watch(p)
}

// tryOn gives a server the settings that a login asks for.
func (e *Engine) tryOn(c *client, s *server) {
	p := s.pool
	c.place.Leave()
	c.srv, s.cl = s, c
	s.shared = s.shared || p.mode() != session.Keep
	wish, raw, _ := p.accepted.Wish(s.initial, c.arrival.wishes)
	s.sets = lease.Try(wish, s.set, raw)
	if len(s.sets) == 0 {
		e.letIn(s)
		return
	}
	c.held = true
	e.apply(s, wish)
}

// letIn: the server has taken all that its login asks for. The client is told what the server reports; it has the server
// only for what it has sent already, so that nothing is said to it that it did not ask for (trap B1).
func (e *Engine) letIn(s *server) {
	c, p := s.cl, s.pool
	if s.era == p.era {
		p.accepted.Learn(s.set, c.arrival.wishes)
	}
	if s.phase = leased; len(c.pending) == 0 {
		e.detach(s)
		s.phase = cleaning
	}
	e.admit(c, s.set)
	for _, other := range p.Line.All() { // what they wait to try may be known now
		if other.login != 0 && p.params != nil && other.place.Waits() {
			if _, _, known := p.accepted.Wish(p.params, other.arrival.wishes); known {
				other.place.Leave()
				e.admitKnown(other)
			}
		}
	}
}

// apply has a server take the settings of its client, of which s.sets are the queries.
func (e *Engine) apply(s *server, told *lease.Settings) {
	s.phase = applying
	s.worn = len(s.set.Own()) > 0
	s.before, s.next = s.set.Own(), told.Own()
	s.set = s.pool.settings.Intern(s.set.Between(told))
	e.command(s, s.sets[0])
}

// restore gives a client the startup values back that a RESET or a DISCARD ALL has taken (trap E1): on a direct connection
// they are what it returns to. It tells whether there is anything to await.
func (e *Engine) restore(s *server) bool {
	c := s.cl
	if c.sess.Tags()&session.TagReset == 0 {
		return false
	}
	c.sess.Restored()
	sql := ""
	if c.resets {
		sql = lease.Restore(c.start, s.set)
	}
	if sql == "" {
		return false
	}
	s.sets, s.restoring = []string{sql}, true
	c.held = true
	e.apply(s, c.start)
	return true
}

// unrestored tells whether a RESET has ended and what it took is still to be given back: it waits for the end of a message
// that its server has begun.
func (c *client) unrestored() bool {
	return c.resets && c.sess.Tags()&session.TagReset != 0 && c.sess.Tx() == 'I' && c.sess.Begun() == c.sess.Ended()
}

// choresSet notes what a chore does to the settings that nobody reports.
func (e *Engine) choresSet(s *server, chore lease.Chore) {
	switch chore {
	case lease.Rollback, lease.KeepAwake:
	case lease.DiscardAll:
		s.set = s.pool.settings.Intern(s.set.WithOwn(nil))
	default: // server_reset_query: whatever it does
		s.set = s.pool.settings.Intern(s.set.Doubt())
	}
}

// unapply parts a server and the client whose settings were on their way to it: what is outstanding is awaited as a chore.
// failed tells that the server has refused them, and with one all: they were one transaction.
func (e *Engine) unapply(s *server, failed bool) {
	if failed || len(s.sets) > 1 { // in front goes the encoding alone
		s.set = s.pool.settings.Intern(s.set.WithOwn(s.before))
	}
	s.before, s.next = nil, nil
	s.sets, s.chores = nil, nil
	if s.restoring {
		s.chores = lease.Chores(e.leftBehind(s))
	}
	s.restoring = false
	e.detach(s)
	s.phase = cleaning
}

// comeBack puts a client back in front of the line: its server was of no use, because of what its former client had set
// there, such as a statement_timeout that ended our own query. One that waits for nothing any more goes on without.
func (e *Engine) comeBack(c *client) {
	if c.login == 0 && c.sess.Waits(c.pending) == unit.NoUnit { // what it had the server for was cancelled
		e.proceed(c)
		e.closeIfDraining(c)
		return
	}
	c.held = false
	c.pool.Line.Return(&c.place, c)
	e.attend(c)
	e.staff(c.pool)
	e.watch(c.pool)
}
