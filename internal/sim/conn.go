package sim

import (
	"bytes"
	"io"
	"time"

	"cancello/internal/engine"
)

// conn is one connection as the engine sees it: reads become Data, what is queued flows as the socket takes it.
type conn struct {
	g    *gate
	w    *World
	id   engine.Conn
	end  *end // nil until adopted
	sees watcher

	client  *client // one of the two
	backend *backend
	server  engine.Server

	adopted bool
	paused  bool
	reading bool // a read is under way
	late    bool // the read under way was begun before Pause
	more    bool // the last Data said More
	over    bool // Closed was said
	overAt  time.Duration

	segs    []segment
	queued  int // bytes not accounted by Sent
	unsent  int // of these, already taken by the socket
	pumping bool
	sending bool
	tried   bool // the last write was told, though it took nothing

	closing bool // Close was called
	hurry   bool // ... with Now
	shut    bool // all was sent, FIN went out
	moved   bool // the socket took something since the last look at a flush
	drained int
	heardAt time.Duration // when the engine was given something of it last
	fenced  bool          // a cancel was on the wire to it
	gaveUp  bool          // the flush was cut short: the peer didn't read
}

// segment is bytes to be sent: a copy, or a reference to what was lent.
type segment struct {
	b    []byte // not yet taken by the socket
	n    int    // not yet accounted by Sent
	lent *lent
}

// lent is a receive buffer. Once nobody may refer to it any more it is scribbled over.
type lent struct {
	id     uint32
	bytes  []byte
	refs   int
	client *client // whose bytes they are; nil: a server's
	server *conn   // that one
}

func (l *lent) drop() {
	if l.refs--; l.refs == 0 {
		for i := range l.bytes {
			l.bytes[i] = 0xdd
		}
	}
}

func (k *conn) name() string {
	switch {
	case k.client != nil:
		return k.client.name()
	case k.backend != nil:
		return k.backend.name()
	}
	return "connection"
}

// reserve names a connection whose socket comes later: adopt or abandon follows.
func (g *gate) reserve() *conn {
	var i uint32
	if n := len(g.free); n > 0 && g.w.chance(0.7) {
		i = g.free[n-1]
		g.free = g.free[:n-1]
	} else {
		i = uint32(len(g.conns))
		g.conns = append(g.conns, nil)
		g.gens = append(g.gens, 0)
	}
	g.gens[i]++
	k := &conn{g: g, w: g.w, id: engine.MakeConn(i, g.gens[i])}
	g.conns[i] = k
	return k
}

// find is the connection of a name; nil if it is stale, which is no mistake: Closed may have been on its way.
func (g *gate) find(id engine.Conn) *conn {
	i := id.Index()
	if int(i) < len(g.conns) && g.conns[i] != nil && g.conns[i].id == id {
		return g.conns[i]
	}
	return nil
}

// adopt gives a reserved connection its socket, with bytes that were read from it already. What was asked meanwhile is
// carried out now.
func (k *conn) adopt(e *end, first []byte) {
	k.end, k.adopted = e, true
	e.owner = k
	e.in = append(bytes.Clone(first), e.in...)
	if k.closing {
		k.carryOut()
		return
	}
	k.arrived()
	k.pumpSoon()
}

// abandon ends a reserved connection that will have no socket.
func (k *conn) abandon(err error) {
	if k.over || k.adopted {
		return
	}
	k.closing = true
	k.w.after(0, func() { k.tell(err) })
}

func (k *conn) arrived() {
	switch {
	case k.over || !k.adopted:
	case k.closing:
		k.linger()
	case k.paused && !k.end.rst && !(k.end.eof && len(k.end.in) == 0):
	default:
		k.readSoon()
	}
}

func (k *conn) readSoon() {
	if !k.reading {
		k.reading = true
		k.w.after(k.w.between(0, 60*time.Microsecond), k.readTurn)
	}
}

// readTurn is one turn of the loop for this connection.
func (k *conn) readTurn() {
	k.reading = false
	late := k.late
	k.late = false
	if k.over || k.closing {
		return
	}
	if k.paused && !late {
		if k.end.rst || k.end.eof && len(k.end.in) == 0 {
			k.sayClosed()
		}
		return
	}
	n := min(len(k.end.in), k.w.k.readBuffer)
	switch {
	case n > 0:
		k.give(k.end.read(n), n == k.w.k.readBuffer)
	case k.more:
		k.give(nil, false)
	}
	if k.over || k.closing {
		return
	}
	switch {
	case len(k.end.in) > 0 || k.more:
		if !k.paused || k.end.rst {
			k.readSoon()
		}
	case k.end.rst || k.end.eof:
		k.sayClosed()
	}
}

// give lends bytes to the engine for one Data.
func (k *conn) give(p []byte, more bool) {
	g, w := k.g, k.w
	k.more, k.heardAt = more, w.now
	g.lends++
	l := &lent{id: g.lends, bytes: bytes.Clone(p), refs: 1, client: k.client}
	g.current = l
	switch {
	case k.client != nil:
		k.client.feed(len(p))
	case k.backend != nil:
		l.server = k
		k.sees.fromServer(k, p)
		k.sees.rest(k)
	}
	if w.trace != nil {
		w.tracef("engine takes %d bytes of %s", len(p), k.name())
	}
	g.enterReading(k, func() { g.m.Data(w.now, k.id, engine.Buf{Bytes: l.bytes, ID: l.id, More: more}) })
	g.current = nil
	l.drop()
}

// sayClosed is the end of a connection by the other side.
func (k *conn) sayClosed() {
	var err error = errReset{}
	if !k.end.rst {
		err = io.EOF
	}
	k.end.close()
	k.tell(err)
}

// tell is the last word about a connection. Its name is stale from then on.
func (k *conn) tell(err error) {
	if k.over {
		return
	}
	k.over, k.overAt = true, k.w.now
	k.release()
	k.w.tracef("engine hears that %s is closed: %v", k.name(), err)
	g, i := k.g, k.id.Index()
	g.conns[i] = nil
	if k.server != 0 {
		delete(g.servers, k.server)
	}
	g.enter(func() { g.m.Closed(k.w.now, k.id, err) })
	g.free = append(g.free, i)
}

func (k *conn) release() {
	for _, s := range k.segs {
		if s.lent != nil {
			s.lent.drop()
		}
	}
	k.segs, k.queued, k.unsent = nil, 0, 0
}

// Forward queues by reference.
func (g *gate) Forward(to engine.Conn, b engine.Buf, from, n int) {
	k, l := g.find(to), g.current
	if k == nil || k.closing || n == 0 {
		return
	}
	if l == nil || b.ID != l.id || from < 0 || n < 0 || from+n > len(l.bytes) {
		g.w.violate("contract", "Forward of [%d:%d] of a buffer that is not lent now", from, from+n)
		return
	}
	l.refs++
	k.enqueue(segment{l.bytes[from : from+n], n, l}, l.client)
}

// Send queues a copy.
func (g *gate) Send(to engine.Conn, p []byte) {
	if k := g.find(to); k != nil && !k.closing && len(p) > 0 {
		k.enqueue(segment{bytes.Clone(p), len(p), nil}, nil)
	}
}

// enqueue queues s; from is the client whose receive buffer it lies in, if any.
func (k *conn) enqueue(s segment, from *client) {
	k.g.mark++
	switch {
	case k.client != nil:
		k.sees.toClient(k, s.b)
	case k.backend != nil:
		k.sees.toServer(k, s.b, from)
	}
	k.segs = append(k.segs, s)
	k.queued += s.n
	k.w.checkQueue(k)
	k.tried = false
	k.pumpSoon()
}

func (k *conn) pumpSoon() {
	if !k.pumping && k.adopted && !k.over {
		k.pumping = true
		d := 30 * time.Microsecond
		if k.w.chance(k.w.k.turns) {
			d = longestTurn
		}
		k.w.after(k.w.between(0, d), func() { k.pumping = false; k.pump() })
	}
}

func (k *conn) room() { k.pump() }

// pump gives the socket what it takes.
func (k *conn) pump() {
	if k.over || !k.adopted {
		return
	}
	k.g.tell(k)
	blocked := false
	for i := range k.segs {
		s := &k.segs[i]
		if len(s.b) == 0 {
			continue
		}
		n := k.end.write(s.b)
		s.b = s.b[n:]
		k.unsent += n
		k.moved = k.moved || n > 0
		if len(s.b) > 0 {
			blocked = true
			break
		}
	}
	k.sentSoon(blocked && !k.tried)
	k.tried = true
	if k.closing && !blocked {
		k.linger()
	}
}

// sentSoon accounts for what the socket took, later and perhaps in two steps. A write that took nothing is told too,
// once.
func (k *conn) sentSoon(even bool) {
	if k.unsent == 0 && !even || k.sending {
		return
	}
	k.sending = true
	k.w.after(k.w.between(0, 60*time.Microsecond), func() {
		k.sending = false
		if k.over {
			return
		}
		n := k.unsent
		if n > 1 && k.w.chance(0.2) {
			n = 1 + k.w.rng.IntN(n)
		}
		k.account(n)
		if !k.closing {
			k.g.enterReading(k, func() { k.g.m.Sent(k.w.now, k.id, n) })
		}
		if !k.over {
			k.sentSoon(false)
		}
	})
}

func (k *conn) account(n int) {
	k.unsent -= n
	k.queued -= n
	for n > 0 {
		s := &k.segs[0]
		if s.n > n {
			s.n -= n
			return
		}
		n -= s.n
		if s.lent != nil {
			s.lent.drop()
		}
		k.segs = k.segs[1:]
	}
}

// Pause is a request: a read under way may still deliver.
func (g *gate) Pause(c engine.Conn) {
	k := g.find(c)
	if k == nil || k.paused {
		return
	}
	k.paused = true
	if k.adopted && !k.closing && (k.reading || len(k.end.in) > 0) && g.w.chance(g.w.k.latePause) {
		k.late = true
		k.readSoon()
	}
}

// Resume undoes Pause.
func (g *gate) Resume(c engine.Conn) {
	k := g.find(c)
	if k == nil || !k.paused {
		return
	}
	k.paused = false
	if k.adopted && !k.closing && (k.more || len(k.end.in) > 0 || k.end.eof || k.end.rst) {
		k.readSoon()
	}
}
