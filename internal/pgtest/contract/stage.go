package contract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cancello/internal/engine"
)

// patience is how many times in a row a world may say that nothing happened before a wait is given up. A world in
// real time takes some milliseconds for each.
const patience = 2000

// stage is one subtest's world with what was seen of it.
type stage struct {
	t   *testing.T
	w   World
	out *guard

	mu    sync.Mutex // events may come on another thread
	seen  map[engine.Conn]*history
	ticks []time.Duration

	// Hooks, called within the event, set with on or before events can come.
	onData   func(c engine.Conn, b engine.Buf)
	onSent   func(c engine.Conn, n int)
	onClosed func(c engine.Conn)
	onTick   func(now time.Duration)
}

// history is what was seen of one connection.
type history struct {
	data     []byte
	pieces   int  // Data events
	largest  int  // the largest of them
	more     bool // what the last one said
	queued   int
	sent     int
	reports  int // Sent events
	closes   int
	err      error
	closedAt time.Duration
	asked    bool // Close was called
}

func newStage(t *testing.T, w World) *stage {
	s := &stage{t: t, w: w, seen: map[engine.Conn]*history{}}
	s.out = &guard{s: s, out: w.Outside()}
	w.Start((*recorder)(s))
	return s
}

// of is what was seen of c. With s.mu held.
func (s *stage) of(c engine.Conn) *history {
	h := s.seen[c]
	if h == nil {
		h = &history{}
		s.seen[c] = h
	}
	return h
}

// look returns a copy of what was seen of c so far. The bytes are shared and only ever appended to.
func (s *stage) look(c engine.Conn) history {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.of(c)
}

// do runs f as an event.
func (s *stage) do(f func()) {
	s.w.Do(func(time.Duration) {
		s.mu.Lock()
		defer s.mu.Unlock()
		f()
	})
}

// connect gives a new connection and its far end.
func (s *stage) connect() (engine.Conn, *far) {
	c := s.w.Reserve()
	return c, s.adopt(c, nil)
}

func (s *stage) adopt(c engine.Conn, first []byte) *far {
	return &far{s: s, p: ordered{s, s.w.Adopt(c, first)}}
}

// ordered makes what the test did before it acts visible to the events that follow, for the race detector too:
// the way through a socket doesn't count.
type ordered struct {
	s *stage
	p Peer
}

func (o ordered) fence() {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
}

func (o ordered) Write(p []byte) (int, error) { o.fence(); return o.p.Write(p) }
func (o ordered) Read(p []byte) (int, error)  { o.fence(); return o.p.Read(p) }
func (o ordered) FIN()                        { o.fence(); o.p.FIN() }
func (o ordered) RST()                        { o.fence(); o.p.RST() }

// until steps until cond holds.
func (s *stage) until(what string, cond func() bool) {
	s.t.Helper()
	for idle := 0; !cond(); {
		if s.w.Step() {
			idle = 0
		} else if idle++; idle == patience {
			s.t.Fatalf("nothing happens any more, still waiting for %s\n%s", what, s)
		}
	}
}

// quiet steps until nothing happens.
func (s *stage) quiet() {
	s.t.Helper()
	for range 1_000_000 {
		if !s.w.Step() {
			return
		}
	}
	s.t.Fatalf("the world doesn't come to rest\n%s", s)
}

// String is the state for a failed test.
func (s *stage) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b bytes.Buffer
	for c, h := range s.seen {
		fmt.Fprintf(&b, "conn %#x: %d bytes in %d Data, more %t; %d of %d sent in %d Sent; closed %d times, err %v\n",
			uint64(c), len(h.data), h.pieces, h.more, h.sent, h.queued, h.reports, h.closes, h.err)
	}
	return b.String()
}

// closed waits for the Closed of c and makes sure that it stays the only one.
func (s *stage) closed(c engine.Conn) history {
	s.t.Helper()
	s.until("Closed", func() bool { return s.look(c).closes > 0 })
	s.quiet()
	h := s.look(c)
	if h.closes != 1 {
		s.t.Errorf("Closed came %d times", h.closes)
	}
	return h
}

// open makes sure that c has not been closed, after all that can happen has happened.
func (s *stage) open(c engine.Conn) {
	s.t.Helper()
	s.quiet()
	if h := s.look(c); h.closes != 0 {
		s.t.Fatalf("Closed (%v) came for a connection that should be open", h.err)
	}
}

// choke sends to c until its peer, which doesn't read, takes no more, and returns what was sent. Much is left queued: a
// kernel that is behind may take a little more afterwards, and what a test says of the rest would not hold.
func (s *stage) choke(c engine.Conn) []byte {
	s.t.Helper()
	var all []byte
	for i := range 1024 {
		p := pattern(uint64(i), MaxData)
		all = append(all, p...)
		s.do(func() { s.out.Send(c, p) })
		s.quiet()
		if h := s.look(c); h.queued-h.sent > 4*MaxData {
			return all
		}
	}
	s.t.Fatalf("64 MB went out to a peer that doesn't read")
	return nil
}

// is compares bytes without printing megabytes.
func (s *stage) is(what string, got, want []byte) {
	s.t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	s.t.Errorf("%s: got %d bytes, want %d; they differ at %d: %x, want %x", what, len(got), len(want), at,
		got[at:min(at+16, len(got))], want[at:min(at+16, len(want))])
}

// pattern is n bytes that are like no other seed's.
func pattern(seed uint64, n int) []byte {
	p := make([]byte, n)
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	_, _ = rand.NewChaCha8(key).Read(p) // it never fails
	return p
}

// recorder is the stage as a Handler.
type recorder stage

func (r *recorder) event(name string, c engine.Conn, f func(h *history)) {
	s := (*stage)(r)
	if s.out.inside.Load() {
		s.t.Errorf("%s came inside a call of Outside", name)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.of(c)
	if h.closes > 0 {
		s.t.Errorf("%s came after Closed", name)
	}
	f(h)
}

func (r *recorder) Data(_ time.Duration, c engine.Conn, b engine.Buf) {
	r.event("Data", c, func(h *history) {
		if h.asked {
			r.t.Errorf("Data came after Close")
		}
		if len(b.Bytes) > MaxData {
			r.t.Errorf("Data of %d bytes", len(b.Bytes))
		}
		if len(b.Bytes) == 0 && (b.More || !h.more) {
			r.t.Errorf("an empty Data (More %t) that no More had announced", b.More)
		}
		h.data = append(h.data, b.Bytes...)
		h.pieces++
		h.largest = max(h.largest, len(b.Bytes))
		h.more = b.More
		if r.onData != nil {
			r.onData(c, b)
		}
	})
}

func (r *recorder) Sent(_ time.Duration, c engine.Conn, n int) {
	r.event("Sent", c, func(h *history) {
		if h.asked {
			r.t.Errorf("Sent came after Close")
		}
		h.sent += n
		h.reports++
		if n < 0 || h.sent > h.queued {
			r.t.Errorf("Sent(%d): %d sent of %d queued", n, h.sent, h.queued)
		}
		if r.onSent != nil {
			r.onSent(c, n)
		}
	})
}

func (r *recorder) Closed(now time.Duration, c engine.Conn, err error) {
	r.event("Closed", c, func(h *history) {
		h.closes++
		h.err, h.closedAt = err, now
		if r.onClosed != nil {
			r.onClosed(c)
		}
	})
}

func (r *recorder) Tick(now time.Duration) {
	s := (*stage)(r)
	if s.out.inside.Load() {
		s.t.Errorf("Tick came inside a call of Outside")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ticks = append(s.ticks, now)
	if s.onTick != nil {
		s.onTick(now)
	}
}

// guard is the Outside under test; it marks the time inside a call and counts what is queued. With s.mu held.
type guard struct {
	s      *stage
	out    Outside
	inside atomic.Bool
}

func (g *guard) call(f func()) {
	g.inside.Store(true)
	f()
	g.inside.Store(false)
}

// counts says whether bytes queued on c now have to be accounted for.
func (g *guard) counts(c engine.Conn) (*history, bool) {
	h := g.s.of(c)
	return h, !h.asked && h.closes == 0
}

func (g *guard) Forward(to engine.Conn, b engine.Buf, from, n int) {
	if h, ok := g.counts(to); ok {
		h.queued += n
	}
	g.call(func() { g.out.Forward(to, b, from, n) })
}

func (g *guard) Send(to engine.Conn, p []byte) {
	if h, ok := g.counts(to); ok {
		h.queued += len(p)
	}
	g.call(func() { g.out.Send(to, p) })
}

func (g *guard) Pause(c engine.Conn)  { g.call(func() { g.out.Pause(c) }) }
func (g *guard) Resume(c engine.Conn) { g.call(func() { g.out.Resume(c) }) }

func (g *guard) Close(c engine.Conn, how engine.How) {
	g.s.of(c).asked = true
	g.call(func() { g.out.Close(c, how) })
}

func (g *guard) Wake(at time.Duration) { g.call(func() { g.out.Wake(at) }) }

// far is a peer with helpers.
type far struct {
	s   *stage
	p   Peer
	got []byte
	end error // what ended the reading
}

// write writes all of p, stepping as needed.
func (f *far) write(p []byte) {
	f.s.t.Helper()
	f.s.until("room to write", func() bool {
		n, err := f.p.Write(p)
		if err != nil {
			f.s.t.Fatalf("the peer can't write: %v", err)
		}
		p = p[n:]
		return len(p) == 0
	})
}

// read takes what is there.
func (f *far) read() {
	var buf [32 << 10]byte
	for f.end == nil {
		n, err := f.p.Read(buf[:])
		f.got = append(f.got, buf[:n]...)
		f.end = err
		if n == 0 {
			return
		}
	}
}

// expect waits until the peer has read want and nothing else.
func (f *far) expect(what string, want []byte) {
	f.s.t.Helper()
	f.s.until(what, func() bool { f.read(); return len(f.got) >= len(want) || f.end != nil })
	f.s.is(what, f.got, want)
}

// expectEOF waits for the end of what the peer reads: FIN.
func (f *far) expectEOF() {
	f.s.t.Helper()
	f.expectEnd()
	if !errors.Is(f.end, io.EOF) {
		f.s.t.Errorf("the peer's reading ended with %v, want FIN", f.end)
	}
}

// expectEnd waits for the end of what the peer reads, FIN or a reset.
func (f *far) expectEnd() {
	f.s.t.Helper()
	f.s.until("the end of the stream", func() bool { f.read(); return f.end != nil })
}
