package engine

import (
	"io"
	"strings"

	"cancello/internal/event"
	"cancello/internal/session"
	"cancello/internal/sqlstate"
	"cancello/internal/wire"
)

// loss is how a server was lost.
type loss struct {
	reason     string
	running    bool   // closed by us, perhaps while it runs: closing is not cancelling (trap A10)
	disconnect bool   // closed because a cancel was asked for
	said       []byte // the FATAL ErrorResponse that it said, whole; nil if none
}

// serverClosed: a server's connection is gone.
func (e *Engine) serverClosed(s *server, err error) {
	reason := "the server closed the connection"
	if err != nil && err != io.EOF {
		reason = err.Error()
	}
	if s.phase == passing {
		e.partedFrom(s, reason)
		return
	}
	e.lose(s, loss{reason: reason})
}

// serverFatal: a leased server says why it is about to close.
func (e *Engine) serverFatal(s *server, p []byte) {
	body := s.cl.sess.Report().Body
	l := loss{reason: strings.TrimSpace(string(wire.ErrorField(body, 'C')) + " " + string(wire.ErrorField(body, 'M')))}
	if _, n, err := wire.BackendHeader(p); err == nil && len(p) >= wire.HeaderLen+n {
		l.said = append([]byte(nil), p[:wire.HeaderLen+n]...)
	}
	e.drop(s, l, Now)
}

// drop loses a server and closes its connection.
func (e *Engine) drop(s *server, l loss, how How) {
	conn := s.conn
	e.lose(s, l)
	if conn != 0 {
		e.out.Close(conn, how)
	}
}

// lose takes a server out of everything; its connection is closed or about to be.
func (e *Engine) lose(s *server, l loss) {
	if s.phase == dead {
		return
	}
	p, c, phase := s.pool, s.cl, s.phase
	s.phase = dead
	s.conn, s.busy, s.pending = 0, false, nil
	delete(e.servers, s.id)
	p.Live--
	s.claim.add(-1)
	p.Remove(s)
	e.checked(s)
	if l.running && c != nil && c.sess.Ended() < c.sess.Begun() {
		e.haunt(p, s.claim)
	}
	e.out.Emit(event.ServerClosed{Server: uint64(s.id), User: p.name.user, Database: p.name.database, Reason: l.reason})
	if c != nil {
		for _, o := range c.orders {
			o.severed = l.running && o.unit > c.sess.Ended()
		}
		e.bereave(c, s, phase, l)
	}
	if s.shelf != nil {
		s.shelf.Clear()
	}
	e.freed(s.claim)
	e.staff(p)
	e.sweepPool(p)
	e.checkDrained()
}

// haunt counts a closed, perhaps running server against the limits for a while (trap A10).
func (e *Engine) haunt(p *pool, of claim) {
	if e.cfg.Timeouts.ServerGhost == 0 {
		return
	}
	p.Ghosts++
	of.add(1)
	e.after(e.cfg.Timeouts.ServerGhost, func() {
		p.Ghosts--
		of.add(-1)
		e.freed(of)
		e.staff(p)
		e.sweepPool(p)
	})
}

// bereave tells a client that its server is lost (trap A4). Where its next statements would run outside of what they
// belong to, it is closed, as on a direct connection.
func (e *Engine) bereave(c *client, s *server, was phase, l loss) {
	e.detach(s)
	unfinished := c.sess.Begun() - c.sess.Ended()
	switch {
	case c.departed():
		c.sess.ServerGone()
		e.unitEnded(c)
		e.dismissed(c)
		return
	case was == applying && s.worn && !s.restoring:
		c.sess.ServerGone()
		e.comeBack(c)
		return
	case was == applying && c.login != 0:
		e.refuseLogin(c, sqlstate.NoServer(s.upstream.name+": "+l.reason).Fatal())
		return
	case was == applying && !s.restoring:
		c.sess.ServerGone()
		e.refuseWaiting(c, sqlstate.ServerLostBeforeSend())
		return
	case e.inseparable(c, unfinished):
		e.lastWords(c, l, unfinished)
		c.sess.ServerGone()
		e.unitEnded(c)
		e.forget(c)
		return
	case unfinished == 1 && c.sess.Failed(): // it has its error, and knows that nothing came of it
		e.say(c, wire.AppendReadyForQuery(nil, 'I'))
	case unfinished == 1:
		err := sqlstate.OutcomeUnknown()
		if l.disconnect {
			err = sqlstate.CancelledByDisconnect()
		} else if l.reason != "" {
			err.Detail = l.reason
		}
		e.sayError(c, err, wire.AppendReadyForQuery(nil, 'I'))
	}
	c.sess.ServerGone()
	e.unitEnded(c)
	e.proceed(c)
	e.closeIfDraining(c)
}

// inseparable tells whether the client cannot go on without that very server.
func (e *Engine) inseparable(c *client, unfinished uint64) bool {
	_, cut := c.sess.Cut()
	return c.sess.Mode() == session.Keep || c.sess.Tx() != 'I' || c.sess.Open() || (unfinished > 0 && c.sess.Opening()) || unfinished > 1 || cut
}

// lastWords closes a client whose server is lost, with the server's own words if it had any.
func (e *Engine) lastWords(c *client, l loss, unfinished uint64) {
	_, cut := c.sess.Cut()
	switch {
	case l.said != nil && !cut:
		e.send(&c.link, l.said)
		e.hangUp(c, Flush, l.reason)
	case unfinished > 0 || c.sess.Tx() != 'I':
		e.fatal(c, sqlstate.TransactionLost())
	default:
		e.fatal(c, sqlstate.SessionLost())
	}
}
