package loop

import (
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"cancello/internal/engine"
)

// heap is the live heap after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestIdleConnectionsOwnNoBuffer(t *testing.T) {
	const conns = 5000
	w := newWorld(t)
	h := &quiet{}
	h.data = func(c engine.Conn, b engine.Buf) { w.l.Forward(c, b, 0, len(b.Bytes)) }
	w.Start(h)
	fds := make([]int, conns)
	w.peers = make([]*peer, conns)
	for i := range fds {
		fds[i], w.peers[i] = unixPair(t)
	}
	before := heap()
	w.do(func() {
		for _, fd := range fds {
			w.l.Adopt(w.l.Reserve(), fd, nil)
		}
	})
	// Each has been busy once: an echo, and an answer that had to wait for room.
	buf := make([]byte, 64<<10)
	for _, p := range w.peers {
		if _, err := p.Write(buf[:1000]); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range w.peers {
		if err := waitReadable(p.fd, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		if n, err := p.Read(buf); n != 1000 || err != nil {
			t.Fatal(n, err)
		}
	}
	w.do(func() {})
	each := (heap() - before) / conns
	t.Logf("%d bytes of heap for each idle connection", each)
	if most := int64(160); each > most {
		t.Errorf("an idle connection takes %d bytes of heap, want at most %d", each, most)
	}
	runtime.KeepAlive(fds)
}

// quiet is a Handler that keeps nothing.
type quiet struct {
	data func(c engine.Conn, b engine.Buf)
	sent func(c engine.Conn, n int)
}

func (q *quiet) Data(_ time.Duration, c engine.Conn, b engine.Buf) { q.data(c, b) }

func (q *quiet) Sent(_ time.Duration, c engine.Conn, n int) {
	if q.sent != nil {
		q.sent(c, n)
	}
}

func (q *quiet) Closed(time.Duration, engine.Conn, error) {}

func (q *quiet) Tick(time.Duration) {}

// relayWorld forwards what comes on one connection to another.
func relayWorld(t testing.TB) (in, out *peer) {
	w := newWorld(t)
	h := &quiet{}
	var from, to engine.Conn
	const high, low = 256 << 10, 64 << 10
	queued := 0 // towards to, the loop's
	h.data = func(_ engine.Conn, b engine.Buf) {
		w.l.Forward(to, b, 0, len(b.Bytes))
		queued += len(b.Bytes)
	}
	h.sent = func(_ engine.Conn, n int) {
		if queued -= n; queued > high {
			w.l.Pause(from)
		} else if queued < low {
			w.l.Resume(from)
		}
	}
	w.Start(h)
	a, in := w.adopt(tcpPair)
	b, out := w.adopt(tcpPair)
	w.do(func() { from, to = a, b })
	for _, p := range []*peer{in, out} {
		p.block(t)
	}
	return in, out
}

func TestForwardAllocatesNothing(t *testing.T) {
	in, out := relayWorld(t)
	message, buf := make([]byte, 200), make([]byte, 400)
	run := func() {
		if _, err := in.blockingWrite(message); err != nil {
			t.Error(err)
		}
		for got := 0; got < len(message); {
			n, err := out.blockingRead(buf)
			if err != nil || n == 0 {
				t.Errorf("read %d: %v", n, err)
				return
			}
			got += n
		}
	}
	for range 100 {
		run()
	}
	if n := testing.AllocsPerRun(2000, run); n != 0 {
		t.Errorf("%v allocations for each message", n)
	}
}

// A slow reader at the end of a gigabyte: the loop holds what the engine lets it hold, and no more.
func TestGigabyteThroughASlowReader(t *testing.T) {
	const total = 1 << 30
	in, out := relayWorld(t)
	before := heap()
	var peak atomic.Int64
	failed := make(chan error, 1)
	go func() {
		p := make([]byte, 256<<10)
		for i := range p {
			p[i] = byte(i * 7)
		}
		for range total / len(p) {
			for rest := p; len(rest) > 0; {
				n, err := in.blockingWrite(rest)
				if err != nil {
					failed <- err
					return
				}
				rest = rest[n:]
			}
		}
		in.FIN()
		failed <- nil
	}()
	buf := make([]byte, 48<<10)
	got := 0
	for turns := 0; got < total; turns++ {
		n, err := out.blockingRead(buf)
		if err != nil || n == 0 {
			t.Fatalf("after %d bytes: %d, %v", got, n, err)
		}
		for i := 0; i < n; i += 4093 {
			if at := (got + i) % (256 << 10); buf[i] != byte(at*7) {
				t.Fatalf("byte %d is %#x, want %#x", got+i, buf[i], byte(at*7))
			}
		}
		got += n
		if turns%2000 == 0 { // the reader stops for a while: everything behind it fills up
			peak.Store(max(peak.Load(), heap()-before))
		}
	}
	if err := await(t, "the writer's end", failed); err != nil {
		t.Fatal(err)
	}
	t.Logf("heap grew by at most %d KB", peak.Load()>>10)
	if p := peak.Load(); p > 4<<20 {
		t.Errorf("heap grew by %d bytes", p)
	}
}

func TestQueueMemoryIsGivenBack(t *testing.T) {
	w := newWorld(t)
	h := &quiet{}
	left := 0 // the loop's
	h.sent = func(_ engine.Conn, n int) { left -= n }
	w.Start(h)
	c, p := w.adopt(tcpPair)
	before := heap()
	w.do(func() {
		left = 32 << 20
		w.l.Send(c, make([]byte, left))
	})
	buf := make([]byte, 1<<20)
	w.until("all sent", func() bool {
		for {
			if n, err := p.Read(buf); n == 0 {
				if err != nil && err != io.EOF {
					t.Error(err)
				}
				return left == 0
			}
		}
	})
	if grown := heap() - before; grown > 2<<20 {
		t.Errorf("%d bytes of heap are left of a queue of 32 MB", grown)
	}
}

// BenchmarkForward is one message of 200 bytes at a time from one connection to another, with the peers' own share.
func BenchmarkForward(b *testing.B) {
	in, out := relayWorld(b)
	message, buf := make([]byte, 200), make([]byte, 400)
	for b.Loop() {
		if _, err := in.blockingWrite(message); err != nil {
			b.Fatal(err)
		}
		if n, err := out.blockingRead(buf); n != len(message) || err != nil {
			b.Fatal(n, err)
		}
	}
}
