package loop

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cancello/internal/engine"
)

// hooks is a Handler of functions, each of which may be missing. It keeps what it saw; only the loop writes it, and a
// test reads it inside Do.
type hooks struct {
	data   func(c engine.Conn, b engine.Buf)
	sent   func(c engine.Conn, n int)
	closed func(c engine.Conn, err error)
	told   func(now time.Duration, c engine.Conn)

	order []engine.Conn // of the Data events
	bytes map[engine.Conn][]byte
	ends  map[engine.Conn]error
}

func (h *hooks) Data(_ time.Duration, c engine.Conn, b engine.Buf) {
	if h.bytes == nil {
		h.bytes = map[engine.Conn][]byte{}
	}
	h.order = append(h.order, c)
	h.bytes[c] = append(h.bytes[c], b.Bytes...)
	if h.data != nil {
		h.data(c, b)
	}
}

func (h *hooks) Sent(_ time.Duration, c engine.Conn, n int) {
	if h.sent != nil {
		h.sent(c, n)
	}
}

func (h *hooks) Closed(_ time.Duration, c engine.Conn, err error) {
	if h.ends == nil {
		h.ends = map[engine.Conn]error{}
	}
	h.ends[c] = err
	if h.closed != nil {
		h.closed(c, err)
	}
}

func (h *hooks) Tick(time.Duration) {}

func (h *hooks) Ending(c engine.Conn) bool { return h.told != nil && c != 0 }

func (h *hooks) Told(now time.Duration, c engine.Conn) { h.told(now, c) }

// Events share a look at the clock, which may be old by the time that something is written; that it is written is told with
// a fresh one, before the peer can have read it.
func TestToldBeforeTheWrite(t *testing.T) {
	w := newWorld(t)
	var told []time.Duration // the loop's
	w.Start(&hooks{
		data: func(c engine.Conn, _ engine.Buf) {
			for began := w.l.Now(); w.l.Now() < began+time.Millisecond; { // the shared look is old now
			}
			w.l.Send(c, []byte("y"))
		},
		told: func(now time.Duration, _ engine.Conn) { told = append(told, now) },
	})
	_, p := w.adopt(tcpPair)
	for range 100 {
		w.do(func() { told = nil })
		asked := w.l.Now()
		if _, err := p.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		var b [1]byte
		w.until("the answer", func() bool {
			n, _ := p.Read(b[:])
			return n == 1
		})
		read := w.l.Now()
		w.do(func() {
			if len(told) == 0 || told[0] < asked+time.Millisecond || told[0] > read+writing {
				t.Errorf("asked at %v, read at %v; told at %v", asked, read, told)
			}
		})
	}
}

// Each is told by a look at the clock of its own, between the write before and its own: what one has heard long ago the other
// may not have heard yet.
func TestToldBeforeEachWrite(t *testing.T) {
	w := newWorld(t)
	var conns, told []engine.Conn // the loop's
	var sent []time.Duration      // the loop's
	w.Start(&hooks{
		sent: func(engine.Conn, int) {
			for began := w.l.Now(); w.l.Now() < began+time.Millisecond; { // a write that takes long
			}
			sent = append(sent, w.l.Now())
		},
		told: func(now time.Duration, c engine.Conn) {
			if n := len(sent); n != len(told) || n > 0 && now < sent[n-1] || now > w.l.Now()+writing {
				t.Errorf("told at %v, as number %d, and written: %v; it is %v", now, len(told), sent, w.l.Now())
			}
			told = append(told, c)
		},
	})
	for range 50 {
		c, _ := w.adopt(tcpPair)
		conns = append(conns, c)
	}
	w.do(func() {
		told, sent = nil, nil
		for _, c := range conns {
			w.l.Send(c, []byte("y"))
		}
	})
	w.do(func() {
		if !slices.Equal(told, conns) {
			t.Errorf("told to %v, want %v", told, conns)
		}
	})
}

// adopt gives the loop one end of a connection and the test the other.
func (w *world) adopt(pair func(testing.TB) (int, *peer)) (engine.Conn, *peer) {
	near, p := pair(w.t)
	w.peers = append(w.peers, p)
	c := w.l.Reserve()
	w.Do(func(time.Duration) { w.l.Adopt(c, near, nil) })
	return c, p
}

// do runs f on the loop.
func (w *world) do(f func()) {
	w.t.Helper()
	w.Do(func(time.Duration) { f() })
}

// until steps until cond, asked on the loop, holds.
func (w *world) until(what string, cond func() bool) {
	w.t.Helper()
	for idle := 0; idle < 2000; idle++ {
		met := false
		w.do(func() { met = cond() })
		if met {
			return
		}
		if w.Step() {
			idle = 0
		}
	}
	w.t.Fatalf("still waiting for %s", what)
}

// ended waits for the Closed of c.
func (w *world) ended(h *hooks, c engine.Conn) (err error) {
	w.t.Helper()
	w.until("Closed", func() bool { e, ok := h.ends[c]; err = e; return ok })
	return err
}

func TestPostKeepsOrderAndEndsWithStop(t *testing.T) {
	w := newWorld(t)
	var got []int // the loop's
	for i := range 100 {
		if !w.l.Post(func(time.Duration) { got = append(got, i) }) {
			t.Fatal("Post before Run was refused")
		}
	}
	w.Start(&hooks{})
	for i := 100; i < 200; i++ {
		w.l.Post(func(time.Duration) { got = append(got, i) })
	}
	w.l.Post(func(time.Duration) {
		w.l.Post(func(time.Duration) { got = append(got, 200) })
		w.l.Stop()
		if w.l.Post(func(time.Duration) { got = append(got, -1) }) {
			t.Error("Post after Stop was accepted")
		}
	})
	if err := await(t, "the end of Run", w.done); err != nil {
		t.Errorf("Run: %v", err)
	}
	w.running = false
	if !slices.IsSorted(got) || len(got) != 201 {
		t.Errorf("posted functions ran as %v", got)
	}
}

func TestPostFromManyGoroutines(t *testing.T) {
	w := newWorld(t)
	w.Start(&hooks{})
	const each = 2000
	last := [4]int{}
	total := 0 // the loop's
	var group sync.WaitGroup
	for g := range last {
		group.Go(func() {
			for i := 1; i <= each; i++ {
				c := w.l.Reserve()
				w.l.Post(func(time.Duration) {
					if last[g] != i-1 {
						t.Errorf("goroutine %d: %d ran after %d", g, i, last[g])
					}
					last[g] = i
					total++
					w.l.Abandon(c, nil)
				})
			}
		})
	}
	group.Wait()
	w.do(func() {
		if total != len(last)*each {
			t.Errorf("%d functions ran", total)
		}
	})
	if n := w.l.Conns(); n != 0 {
		t.Errorf("%d connections left", n)
	}
}

func TestStopBeforeRun(t *testing.T) {
	w := newWorld(t)
	ran := false // the loop's
	w.l.Post(func(time.Duration) { ran = true })
	w.l.Stop()
	w.l.Stop()
	w.Start(&hooks{})
	w.stop()
	if !ran {
		t.Error("what was posted before Stop did not run")
	}
}

func TestRunTwice(t *testing.T) {
	w := newWorld(t)
	w.Start(&hooks{})
	w.do(func() {})
	if err := w.l.Run(&hooks{}); !errors.Is(err, errRunTwice) {
		t.Errorf("second Run: %v", err)
	}
	w.do(func() {})
}

func TestStopClosesWhatIsOpen(t *testing.T) {
	w := newWorld(t) // which counts descriptors
	w.Start(&hooks{})
	_, p := w.adopt(tcpPair)
	closing, _ := w.adopt(tcpPair)
	w.l.Reserve()
	w.do(func() { w.l.Close(closing, engine.Flush) })
	if n := w.l.Conns(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
	w.stop()
	if n, err := p.Read(make([]byte, 1)); err == nil {
		t.Errorf("the peer reads %d bytes and no end", n)
	}
}

func TestStopFlushesWhatWasPostedBefore(t *testing.T) {
	w := newWorld(t)
	w.Start(&hooks{})
	c, p := w.adopt(tcpPair)
	w.l.Post(func(time.Duration) { w.l.Send(c, []byte("last words")) })
	w.stop()
	buf := make([]byte, 20)
	if n, _ := p.Read(buf); string(buf[:n]) != "last words" {
		t.Errorf("the peer got %q", buf[:n])
	}
}

func TestAdoptTakesTheDescriptorEvenIfItFails(t *testing.T) {
	w := newWorld(t) // which counts descriptors
	h := &hooks{}
	w.Start(h)
	c, _ := w.adopt(tcpPair)
	extra := func() int {
		near, p := tcpPair(t)
		w.peers = append(w.peers, p)
		return near
	}
	w.do(func() { w.l.Adopt(c, extra(), nil) }) // adopted already
	w.do(func() { w.l.Adopt(0, extra(), nil) }) // no name
	w.do(func() { w.l.Close(c, engine.Now) })
	w.ended(h, c)
	w.do(func() { w.l.Adopt(c, extra(), nil) }) // stale

	d := w.l.Reserve()
	w.do(func() { w.l.Adopt(d, 1<<20, nil) }) // not a descriptor
	if err := w.ended(h, d); !errors.Is(err, unix.EBADF) {
		t.Errorf("Closed tells %v, want EBADF", err)
	}
}

func TestAdoptMakesNonBlocking(t *testing.T) {
	w := newWorld(t)
	h := &hooks{}
	w.Start(h)
	near, p := tcpPair(t)
	w.peers = append(w.peers, p)
	if err := unix.SetNonblock(near, false); err != nil {
		t.Fatal(err)
	}
	c := w.l.Reserve()
	w.do(func() { w.l.Adopt(c, near, nil) })
	w.do(func() { w.l.Drain(c) }) // would block for ever
	w.do(func() {})
}

func TestDrainDeliversBeforeItReturns(t *testing.T) {
	w := newWorld(t)
	h := &hooks{}
	w.Start(h)
	near, p := tcpPair(t)
	w.peers = append(w.peers, p)
	c := w.l.Reserve()
	if _, err := p.Write([]byte("second")); err != nil {
		t.Fatal(err)
	}
	w.do(func() {
		w.l.Adopt(c, near, []byte("first "))
		w.l.Pause(c)
		w.l.Drain(c)
		if len(h.order) != 0 {
			t.Error("Drain read a paused connection")
		}
		w.l.Resume(c)
		w.l.Drain(c)
		if got := string(h.bytes[c]); got != "first second" {
			t.Errorf("Drain delivered %q", got)
		}
		w.l.Drain(c) // nothing is there
		if len(h.order) != 2 {
			t.Errorf("%d Data events, want 2", len(h.order))
		}
	})
	p.FIN()
	w.do(func() {
		if _, over := h.ends[c]; !over {
			w.l.Drain(c)
		}
		if _, over := h.ends[c]; !over {
			t.Error("Drain did not deliver the end")
		}
		w.l.Drain(c)
		w.l.Drain(0)
		w.l.Drain(w.l.Reserve())
	})
}

func TestDrainTakesAtMostOneBuffer(t *testing.T) {
	w := newWorld(t)
	h := &hooks{}
	w.Start(h)
	near, p := unixPair(t)
	w.peers = append(w.peers, p)
	if n, err := p.Write(make([]byte, 100_000)); err != nil || n != 100_000 {
		t.Fatal(n, err)
	}
	c := w.l.Reserve()
	w.do(func() {
		w.l.Adopt(c, near, nil)
		w.l.Drain(c)
		if n := len(h.bytes[c]); n != recvSize {
			t.Errorf("Drain delivered %d bytes, want %d", n, recvSize)
		}
	})
	w.until("the rest, unasked", func() bool { return len(h.bytes[c]) == 100_000 })
}

func TestAnEmptyDataEndsMore(t *testing.T) {
	w := newWorld(t)
	h := &hooks{}
	var more []bool // the loop's
	h.data = func(_ engine.Conn, b engine.Buf) { more = append(more, b.More) }
	w.Start(h)
	near, p := unixPair(t)
	w.peers = append(w.peers, p)
	if n, err := p.Write(make([]byte, recvSize)); err != nil || n != recvSize {
		t.Fatal(n, err)
	}
	c := w.l.Reserve()
	w.do(func() { w.l.Adopt(c, near, nil) })
	w.until("a full buffer, then an empty Data", func() bool { return slices.Equal(more, []bool{true, false}) })
	if n := len(h.bytes[c]); n != recvSize {
		t.Errorf("%d bytes came", n)
	}
}

// The wake-up that could be lost: a Post between the loop's last look and its sleep.
func TestMailboxDoesNotSleepOverAPost(t *testing.T) {
	var m mailbox
	if m.put(func(time.Duration) {}); m.sleep() {
		t.Error("the loop would sleep with something posted")
	}
	if fs, stopped := m.take(); len(fs) != 1 || stopped {
		t.Errorf("took %d, stopped %t", len(fs), stopped)
	}
	if m.stop(); m.sleep() {
		t.Error("the loop would sleep through Stop")
	}
}

// Whatever becomes of the bell, what was posted runs.
func TestALostBellIsNotTheEnd(t *testing.T) {
	w := newWorld(t)
	w.Start(&hooks{})
	w.do(func() {
		if err := unix.EpollCtl(w.l.epoll.fd, unix.EPOLL_CTL_DEL, w.l.epoll.bell, nil); err != nil {
			t.Error(err)
		}
	})
	ran := make(chan struct{})
	w.l.Post(func(time.Duration) { close(ran) })
	select {
	case <-ran:
	case <-time.After(30 * time.Second):
		t.Fatal("a loop that did not hear the bell never looked again")
	}
}

// panics says whether f does.
func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

func TestMisuseIsCaught(t *testing.T) {
	w := newWorld(t)
	var kept engine.Buf
	h := &hooks{}
	h.data = func(c engine.Conn, b engine.Buf) {
		kept = b
		if !panics(func() { w.l.Drain(c) }) {
			t.Error("Drain inside Data went through")
		}
	}
	w.Start(h)
	c, p := w.adopt(tcpPair)
	if _, err := p.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	w.until("data", func() bool { return kept.ID != 0 })
	w.do(func() {
		if !panics(func() { w.l.Forward(c, kept, 0, 1) }) {
			t.Error("a buffer was forwarded after its Data")
		}
	})
	w.do(func() {
		h.data = func(engine.Conn, engine.Buf) {
			if !panics(func() { w.l.Forward(c, kept, 0, 1) }) {
				t.Error("an older Data's buffer was forwarded")
			}
		}
	})
	if _, err := p.Write([]byte("y")); err != nil {
		t.Fatal(err)
	}
	w.until("data", func() bool { return len(h.bytes[c]) == 2 })
}

func TestEachReadableHasItsTurn(t *testing.T) {
	w := newWorld(t)
	h := &hooks{}
	w.Start(h)
	var conns []engine.Conn
	var fds []int
	for i := range 4 {
		near, p := unixPair(t)
		w.peers = append(w.peers, p)
		size := 3 * recvSize // more than a read takes
		if i == 3 {
			size = 10
		}
		if n, err := p.Write(make([]byte, size)); err != nil || n != size {
			t.Fatal(n, err)
		}
		conns, fds = append(conns, w.l.Reserve()), append(fds, near)
	}
	w.do(func() {
		for i, c := range conns {
			w.l.Adopt(c, fds[i], nil)
		}
	})
	w.until("all data", func() bool { return len(h.bytes[conns[2]]) == 3*recvSize })
	w.do(func() {
		if !slices.Equal(h.order[:4], conns) {
			t.Errorf("the first reads went to %x, want each of %x once", h.order[:4], conns)
		}
	})
}

func TestManyPiecesKeepOrder(t *testing.T) {
	for _, c := range []struct{ pieces, size, kept int }{
		{2, joinable + 1, 4}, {maxPieces / 2, joinable + 1, maxPieces}, {maxPieces/2 + 1, joinable + 1, maxPieces + 2}, {500, joinable + 1, 1000},
		{500, joinable, 2}, {500, 1, 2}, // behind the first copy all is one
	} {
		w := newWorld(t)
		h := &hooks{}
		var to engine.Conn
		var want []byte
		h.data = func(_ engine.Conn, b engine.Buf) {
			for i := range c.pieces {
				own := []byte{byte(i), byte(i >> 8)}
				w.l.Forward(to, b, i, c.size)
				w.l.Send(to, own)
				want = append(append(want, b.Bytes[i:i+c.size]...), own...)
			}
			if n := w.l.find(to).segs.n; int(n) != c.kept {
				t.Errorf("%d times %d bytes and a copy: kept as %d pieces, want %d", c.pieces, c.size, n, c.kept)
			}
		}
		w.Start(h)
		_, from := w.adopt(tcpPair)
		conn, peer := w.adopt(tcpPair)
		w.do(func() { to = conn })
		if _, err := from.Write(bytes.Repeat([]byte("abcdefghijk"), 200)); err != nil {
			t.Fatal(err)
		}
		w.until("data", func() bool { return len(want) > 0 })
		got := make([]byte, 0, len(want))
		w.until("the pieces", func() bool {
			buf := make([]byte, len(want)+1)
			n, err := peer.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, buf[:n]...)
			return len(got) >= len(want)
		})
		if !bytes.Equal(got, want) {
			t.Errorf("%d times %d bytes and a copy: got %d bytes, want %d, or another order", c.pieces, c.size, len(got), len(want))
		}
	}
}
