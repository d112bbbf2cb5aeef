package engine

import (
	"slices"
	"strings"

	"cancello/internal/lease"
	"cancello/internal/session"
	"cancello/internal/sqlstate"
	"cancello/internal/wire"
)

// A replication connection has a server of its own, whatever the pool mode: opened for it with its own startup
// parameters, never given to anybody else (a walsender refuses DISCARD ALL), and closed when it leaves. It counts against
// the limits of its pool.

// replication takes the startup parameter `replication` out of a request: "true" or "database", or empty where it asks
// for an ordinary connection (ProcessStartupPacket in backend_startup.c).
func replication(r *Request) (value string, bad *sqlstate.Error) {
	at := slices.IndexFunc(r.Params, func(p wire.Param) bool { return p.Name == "replication" })
	if at < 0 {
		return "", nil
	}
	given := r.Params[at].Value
	r.Params = slices.Delete(r.Params, at, at+1)
	if given == "database" {
		return given, nil
	}
	yes, ok := readBool(given)
	switch {
	case !ok:
		e := sqlstate.InvalidReplication(given)
		return "", &e
	case yes:
		return "true", nil
	}
	return "", nil
}

// readBool reads a truth value as PostgreSQL does: a word or the beginning of one that can be no other (parse_bool).
func readBool(s string) (value, ok bool) {
	low := strings.ToLower(s)
	for _, w := range []struct {
		word  string
		least int // letters that tell it from the others
		value bool
	}{{"true", 1, true}, {"false", 1, false}, {"yes", 1, true}, {"no", 1, false}, {"on", 2, true}, {"off", 2, false}, {"1", 1, true}, {"0", 1, false}} {
		if len(low) >= w.least && strings.HasPrefix(w.word, low) {
			return w.value, true
		}
	}
	return false, false
}

// replicates lets a login wait for a server of its own.
func (e *Engine) replicates(c *client) {
	p := c.pool
	c.since = e.now
	p.sole = append(p.sole, c)
	e.staff(p)
	if d := p.share.QueryWait; d > 0 {
		e.after(d, func() {
			if slices.Contains(c.pool.sole, c) {
				e.refuseLogin(c, sqlstate.QueryWaitTimeout(d).Fatal())
			}
		})
	}
}

// openSole opens servers for those who are to have one of their own, where there is room. Servers at rest make room.
func (e *Engine) openSole(p *pool) {
	for len(p.sole) > 0 {
		if !p.Room() || p.claim.full() != nil {
			if s, rests := p.Oldest(); rests {
				p.opening = true
				e.retire(s, forReplication)
				p.opening = false
				continue
			}
			if !p.Room() || !e.makeRoom(p) {
				return // handOn closes the next one that comes back
			}
		}
		c := p.sole[0]
		p.sole = p.sole[1:]
		e.openFor(c)
	}
	p.sole = nil
}

// forReplication is why a server is closed that could be of use to others.
const forReplication = "closed to make room for a replication connection"

// openFor opens a server for one client alone.
func (e *Engine) openFor(c *client) {
	p := c.pool
	u := p.choose(e.bug)
	e.lastServer++
	s := &server{id: e.lastServer, pool: p, upstream: u, era: p.era, dialedAt: e.now, lastData: -1, claim: p.claim, sole: c}
	t := p.target(u, e.cfg.Timeouts.ServerConnect)
	s.as = t.User
	t.Replication, t.Params = c.replication(), c.arrival.wishes
	e.servers[s.id] = s
	p.Dialing++
	p.aside++ // nobody else waits for it
	s.claim.add(1)
	u.begin(s)
	e.out.Dial(s.id, t)
}

// soleEnded: a dial for one client alone has ended.
func (s *server) soleEnded() {
	if s.sole != nil && s.era == s.pool.era { // else it was counted among the stale
		s.pool.aside--
	}
}

// soleDialed gives a server to the client that it was opened for.
func (e *Engine) soleDialed(s *server) {
	c, p := s.sole, s.pool
	switch {
	case c.gone:
		e.retire(s, "its replication client left")
		return
	case s.misplaced() != "": // the place has changed meanwhile
		p.sole = append(p.sole, c)
		e.retire(s, s.misplaced())
		return
	}
	s.phase, s.cl, c.srv = leased, c, s
	e.admit(c, s.set)
}

// soleFailed refuses the client for which no server could be opened, in the server's words where it has some.
func (e *Engine) soleFailed(s *server, f Failure) {
	switch c := s.sole; {
	case c.gone:
	case f.Refused:
		e.refuseLogin(c, sqlstate.ServerRefused(s.upstream.name, f.Code, f.Message))
	default:
		e.refuseLogin(c, sqlstate.NoServer(s.upstream.name+": "+f.Message).Fatal())
	}
}

// partSole closes the server of a replication client that has left, as its own connection would have been closed: what runs
// there ends or does not, as the server sees fit.
func (e *Engine) partSole(s *server) {
	c := s.cl
	if e.bug == BugSolePooled && c.sess.Free() {
		s.sole = nil
		e.release(s)
		e.dismissed(c)
		return
	}
	if cut, _ := c.sess.Cut(); !cut {
		e.send(&s.link, wire.AppendTerminate(nil))
	}
	// A walsender looks at its connection all the time; only a statement of its database may run on.
	running := c.replication() == "database" && !c.sess.Streams()
	e.drop(s, loss{reason: "its replication client left", running: running}, Flush)
}

// begins is the mode in which a client's session begins, and whether RESET has to be followed by its startup values.
func (c *client) begins() (mode session.Mode, resets bool) {
	if c.replication() != "" {
		return session.Keep, false // its values are its server's own
	}
	return c.pool.mode(), lease.Differs(c.told, c.pool.params)
}
