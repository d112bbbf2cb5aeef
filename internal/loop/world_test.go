package loop

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"cancello/internal/engine"
	"cancello/internal/pgtest/contract"
)

func TestMain(m *testing.M) {
	if r, w, err := os.Pipe(); err == nil { // Go's poller takes two descriptors with its first file, which would be some test's
		r.Close()
		w.Close()
	}
	goleak.VerifyTestMain(m)
}

// TestContract runs the suite over loopback TCP.
func TestContract(t *testing.T) {
	contract.Run(t, func(t *testing.T) contract.World { return newWorld(t) })
}

// world is a running loop for tests, with TCP connections over loopback.
type world struct {
	t       testing.TB
	l       *Loop
	h       contract.Handler
	running bool
	events  atomic.Int64  // calls of the handler so far
	nudge   chan struct{} // holds one when there was an event
	done    chan error
	peers   []*peer
}

// newWorld runs a loop until the end of the test, and checks there that no descriptor is left.
func newWorld(t testing.TB, tune ...func(*Loop)) *world {
	t.Helper()
	before := countFDs(t)
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tune {
		f(l)
	}
	w := &world{t: t, l: l, nudge: make(chan struct{}, 1), done: make(chan error, 1)}
	t.Cleanup(func() {
		w.stop()
		for _, p := range w.peers {
			p.close()
		}
		if after := countFDs(t); after != before {
			t.Errorf("%d descriptors are open, %d were before", after, before)
		}
	})
	return w
}

func (w *world) stop() {
	if !w.running {
		return // never started, or stopped already
	}
	w.running = false
	w.l.Stop()
	if err := await(w.t, "the end of Run", w.done); err != nil {
		w.t.Errorf("Run: %v", err)
	}
}

// errEnded: a test called Fatal on the loop, whose goroutine ends by that.
var errEnded = errors.New("the loop's goroutine was ended from inside")

func (w *world) Start(h contract.Handler) {
	w.h, w.running = h, true
	go func() {
		err := errEnded
		defer func() { w.done <- err }()
		err = w.l.Run((*counter)(w))
	}()
}

func (w *world) Outside() contract.Outside { return w.l }

func (w *world) Do(f func(time.Duration)) {
	w.t.Helper()
	over := make(chan struct{})
	if !w.l.Post(func(now time.Duration) { defer close(over); f(now) }) {
		w.t.Fatal("the loop was stopped")
	}
	await(w.t, "what was posted to run", over)
}

// Step goes on for two whole turns: what the kernel had to tell when it was called has then been told. If that was
// nothing it waits a little for something.
func (w *world) Step() bool {
	before := w.events.Load()
	for range 3 {
		w.Do(func(time.Duration) {})
	}
	if w.events.Load() != before {
		return true
	}
	select {
	case <-w.nudge:
	default:
	}
	timeout := time.NewTimer(5 * time.Millisecond)
	defer timeout.Stop()
	for w.events.Load() == before {
		select {
		case <-w.nudge:
		case <-timeout.C:
			return w.events.Load() != before
		}
	}
	return true
}

func (w *world) Reserve() engine.Conn { return w.l.Reserve() }

func (w *world) Adopt(c engine.Conn, first []byte) contract.Peer {
	w.t.Helper()
	near, p := tcpPair(w.t)
	w.peers = append(w.peers, p)
	w.Do(func(time.Duration) { w.l.Adopt(c, near, first) })
	return p
}

func (w *world) Abandon(c engine.Conn, err error) {
	w.Do(func(time.Duration) { w.l.Abandon(c, err) })
}

// counter passes events on and counts them.
type counter world

func (w *counter) count() {
	w.events.Add(1)
	select {
	case w.nudge <- struct{}{}:
	default:
	}
}

func (w *counter) Data(now time.Duration, c engine.Conn, b engine.Buf) {
	w.h.Data(now, c, b)
	w.count()
}

func (w *counter) Sent(now time.Duration, c engine.Conn, n int) {
	w.h.Sent(now, c, n)
	w.count()
}

func (w *counter) Closed(now time.Duration, c engine.Conn, err error) {
	w.h.Closed(now, c, err)
	w.count()
}

func (w *counter) Tick(now time.Duration) {
	w.h.Tick(now)
	w.count()
}

// teller is what those of this package have who ask when something is written.
type teller interface {
	Ending(c engine.Conn) bool
	Told(now time.Duration, c engine.Conn)
}

// Ending is for tellers alone.
func (w *counter) Ending(c engine.Conn) bool {
	h, ok := w.h.(teller)
	return ok && h.Ending(c)
}

func (w *counter) Told(now time.Duration, c engine.Conn) { w.h.(teller).Told(now, c) }

// peer is the far end of a connection: a bare non-blocking descriptor.
type peer struct{ fd int }

func (p *peer) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err := unix.SendmsgN(p.fd, b, nil, nil, unix.MSG_NOSIGNAL)
	if err == unix.EAGAIN {
		return 0, nil
	}
	return max(n, 0), err
}

func (p *peer) Read(b []byte) (int, error) {
	n, err := unix.Read(p.fd, b)
	switch {
	case err == unix.EAGAIN:
		return 0, nil
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// FIN fails only when the connection is already gone.
func (p *peer) FIN() { _ = unix.Shutdown(p.fd, unix.SHUT_WR) }

func (p *peer) RST() {
	_ = unix.SetsockoptLinger(p.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	p.close()
}

func (p *peer) close() {
	if p.fd >= 0 {
		_ = unix.Close(p.fd)
		p.fd = -1
	}
}

// unixPair is a pair of Unix sockets.
func unixPair(t testing.TB) (near int, far *peer) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fds[0], &peer{fds[1]}
}

// countFDs counts the open descriptors of the process.
func countFDs(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
