package engine

import (
	"encoding/binary"
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/sqlstate"
	"cancello/internal/wire"
)

// A passage is a client with a server of its own, whose bytes go through as they come (pool_mode = passthrough). They
// have met before: the server has let the client in, byte for byte. Nothing is judged but where a message ends, which
// is where something of our own can be said. What is left to do is back pressure, and cancel: the client has our key,
// and what comes with it goes to its server, as it would directly.

// Passage judges whether a client may be passed to a server, and says to which. A refusal is for the client.
func (e *Engine) Passage(now time.Duration, r Request) (Target, sqlstate.Error) {
	e.now = now
	p, refusal := e.passable(r)
	if p == nil {
		return Target{}, refusal
	}
	u := p.choose(e.bug)
	t := p.target(u, p.limit(u, e.cfg.Timeouts.ServerConnect))
	e.sweepPool(p)
	return t, sqlstate.Error{}
}

// PassageFailed: the target of a passage could not be reached. Where there is a choice the next Passage names another.
func (e *Engine) PassageFailed(now time.Duration, r Request, t Target, f Failure) {
	e.now = now
	p := e.pool(poolName{database: r.Database, user: r.User})
	if p == nil {
		return
	}
	u := e.upstreamAt(config.Upstream{Host: t.Host, Port: t.Port})
	e.fails(p, u, f)
	e.out.Emit(event.DialFailed{User: r.User, Database: r.Database, Remote: u.name, Reason: f.Message})
	e.sweepPool(p)
}

// passable finds the pool that a passage is counted in, or why there can be none.
func (e *Engine) passable(r Request) (*pool, sqlstate.Error) {
	p := e.pool(poolName{database: r.Database, user: r.User})
	switch {
	case e.draining:
		return nil, sqlstate.Draining()
	case p == nil:
		return nil, sqlstate.DatabaseNotConfigured(r.Database)
	case e.clients >= e.cfg.Pool.MaxClientConn:
		e.sweepPool(p)
		return nil, sqlstate.TooManyConnections(e.cfg.Pool.MaxClientConn)
	}
	return p, sqlstate.Error{}
}

// Passed: a server is about to let a client in, or has just done so. keyed says that the client shall have a key of ours,
// which is alive from here on. t is
// what Passage named, conn is reserved for the server's connection. Admit answers before Passed returns; the
// verdict names the server.
func (e *Engine) Passed(now time.Duration, l Login, r Request, t Target, conn Conn, info ServerInfo, keyed bool) {
	e.now = now
	p, refusal := e.passable(r)
	if p == nil {
		e.deny(l, r, refusal)
		return
	}
	c := &client{link: link{conn: r.Conn}, pool: p, remote: r.Remote, door: p.door(r.Local, r.TLS), lastEnd: -1, endedBy: -1, clock: clock{joined: now}}
	e.enter(c)
	e.setPeer(r.Conn, c, nil)
	var k []byte
	if c.pid, k = e.minter.Mint(r.Version, c.slot, [12]byte(r.Random[:12])); keyed {
		c.key = string(k)
	}
	e.lastServer++
	u := e.upstreamAt(config.Upstream{Host: t.Host, Port: t.Port})
	u.note(&info)
	back := e.works(u)
	s := &server{link: link{conn: conn}, id: e.lastServer, pool: p, upstream: u, era: p.era, phase: passing, cl: c, info: info, dialedAt: now, lastData: -1}
	c.srv = s
	e.servers[s.id] = s
	e.setPeer(conn, nil, s)
	p.tally.Logins++
	e.out.Emit(event.ServerOpened{Server: uint64(s.id), User: p.name.user, Database: p.name.database, Remote: s.upstream.name, PID: info.PID, HasKey: info.HasKey, As: r.User})
	e.dummyKey(s, info.Dummy)
	e.out.Emit(event.ClientJoined{PID: c.pid, User: p.name.user, Database: p.name.database, Remote: c.remote})
	e.out.Admit(l, Verdict{OK: true, PID: c.pid, Key: []byte(c.key), Server: s.id})
	if back {
		e.goOn(u)
	}
}

// passes tells whether a client is one end of a passage. It stays one when the other end has gone.
func (c *client) passes() bool { return c.srv != nil && c.srv.phase == passing }

// up and down take bytes of a passage through.
func (e *Engine) passUp(c *client, b Buf) {
	c.pool.tally.Received += uint64(len(b.Bytes))
	c.srv.lastWrite = e.now
	e.forward(&c.srv.link, b, 0, len(b.Bytes))
	e.balance(&c.srv.link, &c.link)
}

func (e *Engine) passDown(s *server, b Buf) {
	s.lastData = e.now
	s.frames.pass(b.Bytes)
	e.forward(&s.cl.link, b, 0, len(b.Bytes))
	e.balance(&s.cl.link, &s.link)
}

// part ends a passage at the server's side. What it had been sent is delivered first.
func (e *Engine) part(s *server, reason string) {
	c, p, conn := s.cl, s.pool, s.conn
	s.phase = dead
	s.conn, s.cl, c.srv = 0, nil, nil
	delete(e.servers, s.id)
	e.out.Emit(event.ServerClosed{Server: uint64(s.id), User: p.name.user, Database: p.name.database, Reason: reason})
	if conn != 0 {
		e.out.Close(conn, Flush)
	}
}

// partedFrom: the server of a passage has closed it, so its client is closed too, with what was said to it.
func (e *Engine) partedFrom(s *server, reason string) {
	c := s.cl
	s.conn = 0
	e.part(s, reason)
	e.hangUp(c, Flush, reason)
	e.forget(c)
}

// passCancel sends a cancel of a passage on: what it ends is the server's to judge. Requests do not join: what one of
// them meant may have ended when the next was sent.
func (e *Engine) passCancel(c *client, t ticket) {
	e.lastOrder++
	o := &order{id: e.lastOrder, c: c, srv: c.srv, tickets: []ticket{t}, began: e.now}
	c.orders = append(c.orders, o)
	if !c.srv.info.HasKey {
		e.settleOrder(o, event.Unsupported, "the server gave no cancel key")
		return
	}
	e.orders[o.id] = o
	e.carry(o)
	e.after(e.cfg.Cancel.Timeout, func() { e.orderTimedOut(o) })
}

// passes tells whether an order is for a passage, where no unit is known.
func (o *order) passes() bool { return o.unit == 0 }

// passedOn: the connection that carried a passage's cancel is closed.
func (e *Engine) passedOn(o *order, r Result) {
	if r == Broken {
		e.settleOrder(o, event.Failed, "the cancel's connection broke after it was written")
		return
	}
	e.settleOrder(o, event.Forwarded, "")
}

// frames follows where messages end.
type frames struct {
	head [wire.HeaderLen]byte
	have int    // of head
	rest uint64 // of the body
}

// pass takes p in.
func (f *frames) pass(p []byte) {
	for len(p) > 0 {
		if f.rest > 0 {
			n := min(f.rest, uint64(len(p)))
			f.rest -= n
			p = p[n:]
			continue
		}
		n := copy(f.head[f.have:], p)
		f.have += n
		p = p[n:]
		if f.have == len(f.head) {
			f.have = 0
			f.rest = uint64(max(binary.BigEndian.Uint32(f.head[1:]), 4)) - 4
		}
	}
}

// between tells whether the last message is whole.
func (f *frames) between() bool { return f.have == 0 && f.rest == 0 }
