package sim

import "time"

// party is who owns an end: told when bytes, an EOF or a reset arrived, and when a full end has room again.
type party interface {
	arrived()
	room()
}

// nobody owns an end that is not yet taken.
type nobody struct{}

func (nobody) arrived() {}
func (nobody) room()    {}

// end is one end of a connection: what has arrived and was not read, what was written and is under way. Both are
// bounded, so a reader that stops stops the writer.
type end struct {
	w     *World
	peer  *end
	owner party
	in    []byte // arrived, unread
	out   []byte // written, under way to the peer
	inCap int
	cap   int // of out

	delay  time.Duration // one way
	chop   chop
	chops  int  // pieces so far, of a drip
	moving bool // a delivery is scheduled
	full   bool // a write was cut short: room is to be told

	fin     bool // our side is shut: FIN follows out
	finSent bool // and has arrived
	eof     bool // the peer's FIN has arrived
	rst     bool // the connection was reset
	closed  bool // we are gone: what arrives is answered with a reset
	hole    bool // the path is dead: nothing arrives any more, either way
}

// chop is how a path cuts the stream into pieces.
type chop uint8

const (
	whole chop = iota // as it was written
	random
	drip // a few bytes at a time, for a while
)

// connect makes a connection. The ends take their parties later.
func (w *World) connect(a, b party) (*end, *end) {
	d := w.between(w.k.minDelay, w.k.maxDelay)
	size := 64 << 10
	if w.chance(w.k.tinySockets) {
		size = 512 + w.rng.IntN(8<<10)
	}
	style := whole
	if w.chance(w.k.chopped) {
		style = chop(1 + w.rng.IntN(2))
	}
	x := &end{w: w, owner: a, delay: d, chop: style, inCap: size, cap: size}
	y := &end{w: w, owner: b, delay: d, chop: style, inCap: size, cap: size}
	x.peer, y.peer = y, x
	return x, y
}

// write takes what there is room for and says how much.
func (e *end) write(p []byte) int {
	if e.rst || e.closed || e.fin {
		return len(p) // gone; the reader learns of it
	}
	n := min(len(p), e.cap-len(e.out))
	if n < len(p) {
		e.full = true
	}
	e.out = append(e.out, p[:n]...)
	e.kick()
	return n
}

// read takes up to n bytes of what has arrived. The slice is good until the next read.
func (e *end) read(n int) []byte {
	n = min(n, len(e.in))
	p := e.in[:n:n]
	e.in = e.in[n:]
	if n > 0 {
		e.peer.kick()
	}
	return p
}

// shutdown ends our side: FIN follows what was written.
func (e *end) shutdown() {
	if !e.fin && !e.rst {
		e.fin = true
		e.kick()
	}
}

// close leaves. Unread input turns it into a reset, as Linux does.
func (e *end) close() {
	if e.closed {
		return
	}
	if len(e.in) > 0 && !e.rst {
		e.abort()
		return
	}
	e.shutdown()
	e.closed = true
}

// abort leaves with a reset: what is under way is lost.
func (e *end) abort() {
	if e.closed {
		return
	}
	e.closed = true
	e.out, e.in = nil, nil
	if !e.hole {
		e.w.after(e.delay, e.peer.reset)
	}
}

// reset is a reset that arrives.
func (e *end) reset() {
	if e.rst {
		return
	}
	e.rst = true
	e.out = nil
	if e.w.chance(0.5) {
		e.in = nil // unread input may or may not survive
	}
	if !e.closed {
		e.owner.arrived()
	}
}

// cut resets both ends, as a firewall does.
func (e *end) cut() {
	e.w.after(e.delay, e.reset)
	e.w.after(e.delay, e.peer.reset)
}

// vanish makes the path a black hole until keepalive, after d, resets both ends.
func (e *end) vanish(d time.Duration) {
	e.hole, e.peer.hole = true, true
	e.w.after(d, e.reset)
	e.w.after(d, e.peer.reset)
}

func (e *end) kick() {
	if e.moving || e.rst || e.hole || len(e.out) == 0 && (!e.fin || e.finSent) {
		return
	}
	if p := e.peer; len(e.out) > 0 && len(p.in) >= p.inCap && !p.closed && !p.rst {
		return // its reader will kick
	}
	e.moving = true
	d := e.delay
	if e.chops > 0 && e.chop == drip {
		d /= 16 // the pieces of one stream come close together
	}
	e.w.after(d, e.move)
}

func (e *end) move() {
	e.moving = false
	p := e.peer
	if e.rst || e.hole {
		return
	}
	if p.closed || p.rst { // nothing arrives behind a reset
		if len(e.out) > 0 {
			e.out = nil
			e.w.after(e.delay, e.reset)
		}
		return
	}
	n := min(len(e.out), max(0, p.inCap-len(p.in)))
	switch {
	case n <= 1:
	case e.chop == random && e.w.chance(0.5):
		n = 1 + e.w.rng.IntN(n)
	case e.chop == drip && e.chops < 60:
		n = min(n, 1+e.w.rng.IntN(6))
		e.chops++
	}
	p.in = append(p.in, e.out[:n]...)
	e.out = e.out[n:]
	ended := false
	if len(e.out) == 0 && e.fin && !e.finSent {
		e.finSent, p.eof, ended = true, true, true
	}
	if n > 0 || ended {
		p.owner.arrived()
	}
	if n > 0 && e.full && !e.rst && !e.closed {
		e.full = false
		e.owner.room()
	}
	e.kick()
}
