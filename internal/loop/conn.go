package loop

import (
	"math"
	"sync"

	"cancello/internal/engine"
)

// state is where a connection stands in its life.
type state uint8

const (
	vacant   state = iota // no connection, or Closed has been told
	reserved              // a name without a descriptor
	open
	flushing // Close(Flush) asked: the queue goes out
	draining // our FIN is out, the peer's is awaited
	ended    // the descriptor is closed, Closed is about to be told
)

// conn is one connection. An idle one owns no memory but this.
type conn struct {
	gen   uint32
	num   int32 // of the descriptor; -1: none
	state state

	paused   bool
	inReady  bool // stands in Loop.ready
	inDirty  bool // stands in outbox.dirty
	readable bool // a read may find something
	cutShort bool // FIN, an error or an urgent mark was announced: a short read doesn't mean dry
	hangup   bool // FIN (or, on a Unix socket, the peer's close) was announced
	failed   bool // the kernel announced an error
	owed     bool // the last Data said More
	blocked  bool // the socket took less than it was given: wait for room
	moved    bool // something was written since the stall timer looked
	lingers  bool // stands in Loop.stalls

	asked    bool // Close was asked while reserved
	askedHow engine.How

	drained int32 // bytes thrown away since our FIN
	broken  error // a write failed: what has arrived is still read, then this is told
	tls     *sealed
	first   *early // nil for none

	segs  list   // pieces of this turn, in outbox.segs
	queue *queue // what the kernel did not take yet; borrowed from outbox, nil when empty
}

// early is bytes that came before the descriptor and are not delivered yet: never none.
type early struct{ bytes []byte }

// queue is bytes that wait for room in a socket.
type queue struct {
	buf  []byte
	head int // how much of buf is written
}

func (q *queue) rest() []byte { return q.buf[q.head:] }

func (k *conn) fd() int { return int(k.num) }

// ending is a Closed to be told.
type ending struct {
	c   engine.Conn
	err error
}

// takes says whether bytes may still be queued.
func (k *conn) takes() bool {
	switch k.state {
	case open:
		return k.broken == nil
	case reserved:
		return !k.asked
	}
	return false
}

// over says that TLS has ended, and that nothing stands before its end any more.
func (k *conn) over() bool { return k.tls != nil && k.tls.end != nil && k.first == nil }

// waits says whether anything waits on the heap.
func (k *conn) waits() bool { return k.unsent() > 0 || k.tls != nil && len(k.tls.pipe.out) > 0 }

// unsent is how many bytes wait on the heap as they came, not as records.
func (k *conn) unsent() int {
	if k.queue == nil {
		return 0
	}
	return len(k.queue.rest())
}

// names gives out the names of connections, to any goroutine.
type names struct {
	mu struct {
		sync.Mutex
		gens []uint32 // last generation given out, by index
		free []uint32 // indexes whose connection is gone
	}
}

func (s *names) reserve() engine.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.mu.free); n > 0 {
		i := s.mu.free[n-1]
		s.mu.free = s.mu.free[:n-1]
		s.mu.gens[i]++
		return engine.MakeConn(i, s.mu.gens[i])
	}
	i := uint32(len(s.mu.gens))
	s.mu.gens = append(s.mu.gens, 1)
	return engine.MakeConn(i, 1)
}

// current says whether c is the last name given out for its index.
func (s *names) current(c engine.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := int(c.Index())
	return i < len(s.mu.gens) && s.mu.gens[i] == generation(c)
}

// release lets the index of c be used again. An index whose generations are used up is retired.
func (s *names) release(c engine.Conn) {
	if generation(c) == math.MaxUint32 {
		return
	}
	s.mu.Lock()
	s.mu.free = append(s.mu.free, c.Index())
	s.mu.Unlock()
}

func generation(c engine.Conn) uint32 { return uint32(c >> 32) }

const tablePage = 128 // of 80 bytes: one of the sizes that Go gives memory out in

// table finds connections by index. Its pages never move, so a *conn stays good.
type table struct{ pages []*[tablePage]conn }

// at returns the place of index i, or nil if it was never used.
func (t *table) at(i uint32) *conn {
	p := i / tablePage
	if int(p) >= len(t.pages) {
		return nil
	}
	return &t.pages[p][i%tablePage]
}

// grow makes room for index i.
func (t *table) grow(i uint32) *conn {
	for int(i/tablePage) >= len(t.pages) {
		p := new([tablePage]conn)
		for j := range p {
			p[j].num = -1
		}
		t.pages = append(t.pages, p)
	}
	return t.at(i)
}

func (t *table) each(f func(*conn)) {
	for _, p := range t.pages {
		for i := range p {
			f(&p[i])
		}
	}
}

// find returns the connection c names, or nil if c is stale, gone, or no name at all.
func (l *Loop) find(c engine.Conn) *conn {
	gen := generation(c)
	k := l.table.at(c.Index())
	if k == nil || k.gen < gen {
		return l.meet(c)
	}
	if k.gen != gen || k.state == vacant || k.state == ended {
		return nil
	}
	return k
}

// meet makes the record of a name the loop sees for the first time.
func (l *Loop) meet(c engine.Conn) *conn {
	if generation(c) == 0 || !l.names.current(c) {
		return nil
	}
	k := l.table.grow(c.Index())
	*k = conn{gen: generation(c), num: -1, state: reserved}
	return k
}

// push has c looked at in the next turn.
func (l *Loop) push(c engine.Conn, k *conn) {
	if !k.inReady {
		k.inReady = true
		l.ready = append(l.ready, c)
	}
}
