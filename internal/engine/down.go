package engine

import (
	"encoding/binary"
	"strings"

	"cancello/internal/session"
	"cancello/internal/sqlstate"
	"cancello/internal/wire"
)

// serverData takes bytes from a server, whoever they are for.
func (e *Engine) serverData(s *server, b Buf) {
	switch s.phase {
	case dead:
		return
	case passing:
		e.passDown(s, b)
		return
	}
	if len(b.Bytes) > 0 {
		s.lastData = e.now
	}
	c := s.cl
	s.more, s.taking = b.More, true
	off := 0
	for len(s.pending) > 0 && off < len(b.Bytes) && s.phase != dead {
		n := min(prefix, len(b.Bytes)-off)
		s.pending = append(s.pending, b.Bytes[off:off+n]...)
		off += n
		p := s.pending
		s.pending = nil
		if taken := e.consume(s, p, Buf{}, 0); taken < len(p) && s.phase != dead {
			s.pending = append(p[:0], p[taken:]...)
		}
	}
	if off < len(b.Bytes) && s.phase != dead {
		off += e.consume(s, b.Bytes[off:], b, off)
	}
	if s.taking = false; s.phase == dead {
		return
	}
	if off < len(b.Bytes) {
		s.pending = append(s.pending, b.Bytes[off:]...)
	}
	if c != nil && s.cl == c {
		e.balance(&c.link, &s.link)
	}
	if s.phase == resting && !s.still(e.bug) {
		e.unrest(s)
	}
	e.settle(s)
	if c == nil {
		return
	}
	if _, cut := c.sess.Cut(); c.condemned && !cut {
		e.condemn(c)
	}
	e.attend(c)
}

// unrest takes a server from everybody's disposal until it has said whatever it began to say.
func (e *Engine) unrest(s *server) {
	s.pool.Remove(s)
	s.phase = cleaning
}

// awaitWhole bounds the wait for the end of a message that is all that keeps a server where it is: nobody asked for it,
// so nobody else would ever give up.
func (e *Engine) awaitWhole(s *server) {
	if s.awaited {
		return
	}
	s.awaited = true
	limit := e.cfg.Timeouts.ServerConnect
	e.after(limit, func() {
		s.awaited = false
		switch {
		case s.phase == dead || !e.onlyUnread(s):
		case e.now-s.lastData < limit || s.paused != 0: // something came, or its reader is slow
			e.awaitWhole(s)
		default:
			e.dismiss(s, "a message to nobody did not come to its end within server_connect_timeout")
		}
	})
}

// onlyUnread tells whether unread bytes are all that keeps a server from somebody else, or its client from leaving.
func (e *Engine) onlyUnread(s *server) bool {
	if s.fences > 0 {
		return false
	}
	c := s.cl
	switch {
	case s.phase == cleaning:
		return !s.busy && len(s.chores) == 0 && !s.still(e.bug)
	case s.phase != leased || !c.sess.Quiet() || (c.sess.Settled() && s.still(e.bug)):
		return false
	}
	return c.departed() || c.unrestored() || (c.sess.Tx() == 'I' && (e.draining || c.sess.Mode() != session.Keep))
}

// consume takes a server's bytes, which are lent.Bytes from base on or our own, until they are used up or a message is
// cut, and returns how many it took. What the bytes mean changes with the server's phase.
func (e *Engine) consume(s *server, p []byte, lent Buf, base int) int {
	off := 0
	for off < len(p) && s.phase != dead {
		var n int
		if s.phase == leased {
			n = e.toClient(s, p[off:], lent, base+off)
		} else {
			n = e.own(s, p[off:])
		}
		if n == 0 {
			break
		}
		off += n
	}
	return off
}

// toClient takes bytes of a leased server and returns how many; 0 where a message is cut.
func (e *Engine) toClient(s *server, p []byte, lent Buf, at int) int {
	c := s.cl
	before := c.sess.Ended()
	n, v := c.sess.Down(p)
	switch v {
	case session.DownMore, session.DownFatal, session.DownBroken:
	case session.DownSwallow, session.DownUndo:
	case session.DownInstead:
		e.send(&c.link, c.sess.Out())
	case session.DownNotify:
		e.notify(c, s, p[:n])
	default:
		if lent.Bytes != nil {
			e.forward(&c.link, lent, at, n)
		} else {
			e.send(&c.link, p[:n])
		}
	}
	switch v {
	case session.DownParam:
		r := c.sess.Report()
		s.tracks(r.Name, r.Value)
		c.heard(r.Name, r.Value)
		c.sess.Reads(s.set.Reading())
	case session.DownLate:
		e.send(&c.link, c.sess.Out())
		c.quietAt = e.now // what it waited for may be among that: only now it can be idle
		if c.untold {
			e.ends(c)
		}
	case session.DownFatal:
		e.serverFatal(s, p)
		return len(p)
	case session.DownBroken:
		e.dismiss(s, c.sess.Err().Message)
		return len(p)
	}
	if c.sess.Ended() > before {
		e.unitEnded(c)
	}
	return n
}

// notify passes the front of a NotificationResponse on. A notification of the session's own server bears the pid that
// the client knows as its own (trap B5).
func (e *Engine) notify(c *client, s *server, front []byte) {
	p := append([]byte(nil), front...)
	if pid := p[wire.HeaderLen:]; s.info.PID != 0 && binary.BigEndian.Uint32(pid) == s.info.PID {
		binary.BigEndian.PutUint32(pid, c.pid)
	}
	e.send(&c.link, p)
}

// own takes one message of a server that no client's messages flow to: the answers to our own queries, and what it says
// unasked, which goes to nobody (trap B1).
func (e *Engine) own(s *server, p []byte) int {
	if len(p) < wire.HeaderLen {
		return 0
	}
	typ, body, err := wire.BackendHeader(p)
	if err != nil {
		e.dismiss(s, err.Error())
		return len(p)
	}
	n := wire.HeaderLen + body
	if n > maxOwn {
		e.dismiss(s, "a message of more than 64 KB to nobody")
		return len(p)
	}
	if len(p) < n {
		return 0
	}
	text := p[wire.HeaderLen:n]
	busy := s.phase == cleaning || s.phase == applying
	switch {
	case typ == wire.MsgParameterStatus:
		if name, value, ok := wire.ParameterStatus(text); ok {
			s.tracks(name, value)
		}
	case typ == wire.MsgNoticeResponse || typ == wire.MsgNotificationResponse:
	case typ == wire.MsgErrorResponse:
		e.ownFailed(s, text)
	case busy && typ == wire.MsgReadyForQuery:
		e.ownDone(s, text[0])
	case busy && typ == wire.MsgCommandComplete:
		s.forgets(text)
	case busy && (typ == wire.MsgEmptyQueryResponse || typ == wire.MsgRowDescription || typ == wire.MsgDataRow):
	default:
		e.dismiss(s, "an unexpected message of type "+string(rune(typ))+" to nobody")
	}
	return n
}

// maxOwn bounds a message of a server that is for nobody, in bytes.
const maxOwn = 64 << 10

// ownFailed: a server reported an error that no client's message caused.
func (e *Engine) ownFailed(s *server, body []byte) {
	code, message := string(wire.ErrorField(body, 'C')), string(wire.ErrorField(body, 'M'))
	severity := string(wire.ErrorField(body, 'V'))
	if s.phase == applying && severity != "FATAL" && severity != "PANIC" {
		// Nothing of the client's was sent, and nothing may be: it would run under settings it did not ask for.
		if code == sqlstate.CodeQueryCanceled && s.worn && !s.restoring {
			e.dismiss(s, "a time limit of its last client ended a query of our own")
			return
		}
		c := s.cl
		e.unapply(s, true)      // the ReadyForQuery that follows is awaited as that of a chore
		s.pool.accepted.Clear() // what was taken once is not any more
		if c.login != 0 {
			e.refuseLogin(c, sqlstate.StartupRefused(code, message).Quote(string(wire.ErrorField(body, 'D')), string(wire.ErrorField(body, 'H'))))
			return
		}
		e.fatalFor(c, sqlstate.SettingsRefused(code, message), code+" the server refused a setting of the client")
		return
	}
	e.dismiss(s, strings.TrimSpace(code+" "+message))
}

// ownDone: a query of our own was answered.
func (e *Engine) ownDone(s *server, tx byte) {
	s.busy = false
	if tx != 'I' {
		e.dismiss(s, "still in a transaction after a reset")
		return
	}
	if s.phase == applying {
		e.applied(s)
	}
}
