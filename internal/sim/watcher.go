package sim

import (
	"bytes"
	"slices"
	"strings"
	"time"
)

// watcher follows the bytes of one connection of the gate by their frames, at the moment the engine takes or queues
// them. It is how the checkers know who holds a server, without asking the engine.
type watcher struct {
	in, out frames

	// Of a server.
	holder    *client // the last client whose statement was queued to it
	last      int     // serial of its last unit there
	asked     int     // messages queued in this lease that a ReadyForQuery answers
	answered  int     // ReadyForQuery read in this lease
	open      bool    // a batch was begun and not yet synced
	lending   bool    // settings are applied for a client that is not known yet
	trying    bool    // they were asked for, and not answered yet
	refused   bool    // ... of which only a refusal has been sent
	checking  bool    // it was asked whether it is still there, and has not answered
	checkAt   time.Duration
	silent    []*unit // of which a message may be that began the lease and doesn't tell whose it is
	failing   bool    // it was made to fail since it rested last
	rested    bool    // when the engine last took its bytes, it had answered everything
	cleanThen bool    // of the message that is half queued: clean when it began
	lastType  byte    // of what was read from it; 0 nothing yet
	status    byte    // of the last ReadyForQuery
}

// toClient follows what the engine says to a client: its units end here.
func (s *watcher) toClient(k *conn, p []byte) {
	s.out.feed(p, k.g.mark, func(typ byte, body []byte, _ uint64) {
		c := k.client
		s.lastType = typ
		if typ == 'E' && field(body, 'V') == "FATAL" {
			s.lastType = 'F'
			c.w.checkLimit(c, field(body, 'C'))
			return
		}
		if typ == 'E' && c.ended < len(c.units) {
			u := c.units[c.ended]
			u.refused, u.told = true, field(body, 'C')
			if l := k.g.current; l != nil && l.server != nil {
				u.failing = u.failing || l.server.sees.failing
			}
		}
		if typ != 'Z' {
			return
		}
		if c.ended < len(c.units) {
			u := c.units[c.ended]
			u.endedAt, u.status = c.w.now, body[0]
			if l := k.g.current; l != nil {
				u.endedBy = l.server
			}
			k.g.ends(c)
		}
		c.ended++
	})
}

// toServer follows what the engine queues to a server. from is who sent it, where that is known.
func (s *watcher) toServer(k *conn, p []byte, from *client) {
	now, rested := s.clean(k), s.rested
	s.rested = false
	if from != nil && s.holder != from {
		began, clean := k.g.mark, now
		if !s.out.boundary() {
			began, clean = s.out.began, s.cleanThen
		}
		s.lease(k, from, tag{client: from.id}, began, clean)
	}
	s.out.feed(p, k.g.mark, func(typ byte, body []byte, began uint64) {
		clean := now
		if began != k.g.mark {
			clean = s.cleanThen
		}
		if rested {
			k.w.checkAsked(k, typ, body)
		}
		if typ == 'Q' && len(body) == 1 && from == nil {
			s.checking, s.checkAt = true, k.w.now
		}
		s.failing = s.failing || (typ == 'Q' || typ == 'P') && bytes.Contains(body, []byte(refusedText))
		switch typ {
		case 'X':
			k.w.checkRetired(k)
		case 'Q', 'F', 'P', 'B', 'd':
			t, ok := findTag(body)
			if ok {
				s.tagged(k, t, began, clean)
			} else if typ == 'Q' {
				if now && from == nil && !k.w.keeps(s.holder) && refusal(body) { // somebody's, but whose?
					k.w.checkClean(k, "somebody", clean)
					s.lending, s.refused = true, true
				}
				s.own(k, body, began, clean)
			}
		case 'S', 'E', 'D', 'C', 'H':
			if (rested || s.fresh()) && from == nil && !k.w.keeps(s.holder) { // somebody's, but whose?
				s.holder, s.silent = nil, k.w.loneSyncs(k)
			}
		}
		rested = false
		switch typ {
		case 'Q', 'F', 'S':
			s.asked++
			s.open = false
		case 'P', 'B', 'D', 'E', 'C':
			s.open = true
		}
	})
	if !s.out.boundary() && s.out.began == k.g.mark {
		s.cleanThen = now
	}
}

// refusal tells whether a Query stands in the place of one that is refused.
func refusal(body []byte) bool { return bytes.HasPrefix(body, []byte(refusedText)) }

// refusedText is how the text begins that makes a server fail.
const refusedText = "cancello: refused"

// keeps is true for a client that keeps its server until it leaves.
func (w *World) keeps(c *client) bool {
	return !w.k.transaction && !w.k.mixed && c != nil && c.phase == active && !c.conn.closing && !c.conn.over
}

// own is a Query of the engine's own on its way to a server.
func (s *watcher) own(k *conn, body []byte, began uint64, clean bool) {
	k.w.checkOwn(k, body, began)
	if body[0]|0x20 == 'd' { // DISCARD ALL, on a server that has answered all; a Sync may have been swallowed by a COPY
		s.asked, s.answered, s.open = 0, 0, false
	}
	if body[0]|0x20 == 's' || strings.HasPrefix(string(body), `RESET "`) { // settings, for a client that is not known yet
		k.w.checkClean(k, "somebody", clean)
		s.lending, s.trying = true, true
	}
}

// tagged is a client's message on its way to a server. clean says what the server was when its first byte came.
func (s *watcher) tagged(k *conn, t tag, began uint64, clean bool) {
	w := k.w
	if t.client < 1 || t.client > len(w.clients) {
		return
	}
	c := w.clients[t.client-1]
	if s.holder != c {
		s.lease(k, c, t, began, clean)
	}
	s.lending, s.refused = false, false
	if t.unit > s.last {
		w.checkFence(k, c, t, began)
		s.last = t.unit
		if t.unit <= len(c.units) {
			if u := c.units[t.unit-1]; u.queuedTo == nil {
				u.queuedTo, u.queuedAt = k, w.now
			}
		}
	}
}

// lease notes that a server has changed client.
func (s *watcher) lease(k *conn, c *client, t tag, began uint64, clean bool) {
	k.w.checkHandOn(k, c, t, began, clean || s.began(k, c))
	if s.holder != nil { // else the lease may have begun with a message that doesn't tell whose it is
		s.asked, s.answered = 0, 0
	}
	s.holder, s.last, s.lending, s.refused = c, 0, false, false
}

// began tells whether the lease that lasts is the client's, since its lone Sync began it: that was answered there, or it is
// still to be.
func (s *watcher) began(k *conn, c *client) bool {
	return s.holder == nil && slices.ContainsFunc(s.silent, func(u *unit) bool {
		return u.c == c && (u.endedAt == 0 || u.endedBy == k)
	})
}

// loneSyncs are the units that may be what a server is given, where that is a Sync and nothing else.
func (w *World) loneSyncs(k *conn) (list []*unit) {
	for _, c := range w.clients {
		if u := c.unit(); c.user == k.backend.user && u != nil && u.kind == "nothing" && u.fedAt != 0 && u.queuedTo == nil {
			list = append(list, u)
		}
	}
	return list
}

// fromServer follows what the engine is about to take from a server.
func (s *watcher) fromServer(k *conn, p []byte) {
	s.in.feed(p, 0, func(typ byte, body []byte, _ uint64) {
		switch typ {
		case 'Z':
			s.answered++
			s.checking, s.trying = false, false
			if len(body) == 1 {
				s.status = body[0]
			}
		case 'N', 'A':
			k.w.noteAsync(k, typ, body)
			return
		case 'S':
			return
		}
		s.lastType = typ
	})
}

// rest notes whether the server has answered everything, as far as the engine is about to know.
func (s *watcher) rest(k *conn) {
	s.rested = s.clean(k) && s.status == 'I' && s.answered >= s.asked && !s.open && s.out.boundary()
	s.failing = s.failing && !s.rested
}

// fresh is true as long as a server has been asked nothing.
func (s *watcher) fresh() bool { return s.lastType == 0 && s.asked == 0 && !s.open }

// clean is true when the engine has read a server's last answer to the end and nothing beyond.
func (s *watcher) clean(k *conn) bool {
	return s.in.boundary() && !k.more && (s.lastType == 0 || s.lastType == 'Z' && s.status == 'I')
}
