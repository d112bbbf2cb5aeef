package loop

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cancello/internal/engine"
)

// told is what one Await came to.
type told struct {
	name  string
	ready bool
}

// socketPair is two descriptors that do not block; the test closes them.
func socketPair(t *testing.T) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fds[0], fds[1]
}

func TestAwait(t *testing.T) {
	w := newWorld(t)
	w.Start(&hooks{})
	var got []told // the loop's
	await := func(name string, fd int, what Readiness, in time.Duration) {
		t.Helper()
		w.do(func() {
			inside := true
			if err := w.l.Await(fd, what, w.l.Now()+in, func(_ time.Duration, ready bool) {
				if inside {
					t.Errorf("%s was told inside Await", name)
				}
				got = append(got, told{name, ready})
			}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			inside = false
		})
	}
	came := func(want ...told) {
		t.Helper()
		w.until("what is awaited", func() bool { return len(got) >= len(want) })
		w.do(func() {
			if !slices.Equal(got, want) {
				t.Errorf("told %v, want %v", got, want)
			}
			got = nil
		})
	}
	a, b := socketPair(t)
	defer unix.Close(a)

	await("room", a, Writable, time.Hour)
	came(told{"room", true})
	await("a byte that never comes", a, Readable, time.Millisecond)
	came(told{"a byte that never comes", false})
	await("a byte", a, Readable, time.Hour)
	if _, err := unix.Write(b, []byte("x")); err != nil {
		t.Fatal(err)
	}
	came(told{"a byte", true})
	await("the byte that is still there", a, Readable, time.Hour)
	came(told{"the byte that is still there", true})
	if _, err := unix.Read(a, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}

	// Several at a time; those that are told make room for others, in whatever order.
	c, d := socketPair(t)
	defer unix.Close(c)
	defer unix.Close(d)
	await("never", c, Readable, time.Hour)
	await("late", d, Readable, 20*time.Millisecond)
	await("the end", a, Readable, time.Hour)
	unix.Close(b)
	came(told{"the end", true}, told{"late", false})
	await("room again", d, Writable, time.Hour)
	came(told{"room again", true})
	w.do(func() {
		if w.l.waits.n != 1 || len(w.l.waits.all) != 3 {
			t.Errorf("%d are awaited in %d places, want 1 in 3", w.l.waits.n, len(w.l.waits.all))
		}
	})
}

// A connection is told of beside what is awaited, and neither is taken for the other.
func TestAwaitBesideConnections(t *testing.T) {
	w := newWorld(t)
	h := &hooks{}
	w.Start(h)
	_, p := w.adopt(tcpPair) // the first index of a connection, as the first place of what is awaited
	a, b := socketPair(t)
	defer unix.Close(a)
	defer unix.Close(b)
	ready := 0 // the loop's
	w.do(func() {
		if err := w.l.Await(a, Readable, w.l.Now()+time.Hour, func(time.Duration, bool) { ready++ }); err != nil {
			t.Error(err)
		}
	})
	if _, err := p.Write([]byte("for the connection")); err != nil {
		t.Fatal(err)
	}
	w.until("the connection's bytes", func() bool { return len(h.order) > 0 })
	w.do(func() {
		if ready != 0 {
			t.Error("what came on a connection was told to who awaits another descriptor")
		}
	})
	if _, err := unix.Write(b, []byte("x")); err != nil {
		t.Fatal(err)
	}
	w.until("the byte that is awaited", func() bool { return ready == 1 })
}

func TestAwaitWhatCannotBe(t *testing.T) {
	w := newWorld(t)
	w.Start(&hooks{})
	w.do(func() {
		if err := w.l.Await(-1, Readable, w.l.Now()+time.Millisecond, func(time.Duration, bool) { t.Error("told of no descriptor") }); err == nil {
			t.Error("no error for a descriptor that is none")
		}
		if w.l.waits.n != 0 || len(w.l.waits.all) != 0 {
			t.Errorf("%d are awaited in %d places", w.l.waits.n, len(w.l.waits.all))
		}
	})
}

// What cannot be awaited takes no place away from those that are free.
func TestAwaitAfterWhatCannotBe(t *testing.T) {
	w := newWorld(t)
	w.Start(&hooks{})
	a, b := socketPair(t)
	defer unix.Close(a)
	defer unix.Close(b)
	told := 0 // the loop's
	await := func(fd int) (err error) {
		w.do(func() { err = w.l.Await(fd, Writable, w.l.Now()+time.Hour, func(time.Duration, bool) { told++ }) })
		return err
	}
	for n := 1; n <= 2; n++ {
		if err := await(a); err != nil {
			t.Fatal(err)
		}
		w.until("room to write", func() bool { return told == n })
		if await(-1) == nil {
			t.Error("no error for a descriptor that is none")
		}
	}
	w.do(func() {
		if w.l.waits.n != 0 || len(w.l.waits.all) != 1 || len(w.l.waits.free) != 1 {
			t.Errorf("%d are awaited in %d places, of which %d are free", w.l.waits.n, len(w.l.waits.all), len(w.l.waits.free))
		}
	})
}

// Nothing is told once the loop has stopped: whoever awaits something closes it.
func TestStopEndsAwait(t *testing.T) {
	w := newWorld(t)
	w.Start(&hooks{})
	a, b := socketPair(t)
	defer unix.Close(a)
	defer unix.Close(b)
	w.do(func() {
		if err := w.l.Await(a, Readable, w.l.Now()+time.Millisecond, func(time.Duration, bool) {}); err != nil {
			t.Error(err)
		}
		w.l.Stop()
	})
	w.stop()
}

func TestWatch(t *testing.T) {
	w := newWorld(t)
	w.Start(&hooks{})
	a, b := socketPair(t)
	defer unix.Close(a)
	defer unix.Close(b)
	c, d := socketPair(t)
	defer unix.Close(c)
	defer unix.Close(d)
	var seen, forgotten int // the loop's
	w.do(func() {
		if err := w.l.Watch(a, func(time.Duration) bool { seen++; return false }); err != nil {
			t.Error(err)
		}
		if err := w.l.Await(c, Readable, w.l.Now()+time.Hour, func(time.Duration, bool) { forgotten++ }); err != nil {
			t.Error(err)
		}
	})
	if _, err := unix.Write(b, []byte("x")); err != nil {
		t.Fatal(err)
	}
	w.until("it is told of as long as nobody reads", func() bool { return seen >= 3 })
	w.do(func() {
		if !w.l.Forget(c) || !w.l.Forget(a) || w.l.Forget(a) {
			t.Error("Forget doesn't tell who was awaited")
		}
		seen = 0
	})
	if _, err := unix.Write(d, []byte("x")); err != nil {
		t.Fatal(err)
	}
	// What is forgotten by who is told first is not told in the same turn either.
	w.do(func() {
		for _, fd := range []int{a, c} {
			if err := w.l.Await(fd, Readable, w.l.Now()+time.Hour, func(time.Duration, bool) {
				forgotten++
				w.l.Forget(a + c - fd)
			}); err != nil {
				t.Error(err)
			}
		}
	})
	w.until("the one of two", func() bool { return forgotten > 0 })
	w.do(func() {
		if seen != 0 || forgotten != 1 || w.l.waits.n != 0 {
			t.Errorf("told %d and %d times of what was forgotten, %d are awaited", seen, forgotten-1, w.l.waits.n)
		}
	})
}

// Who watches is called again in the same turn as long as there is more, a bounded number of times, and what each call makes
// the Handler send is written, and told, before the next.
func TestWatchSettlesBetweenCalls(t *testing.T) {
	w := newWorld(t)
	var order []string // the loop's
	told := make(chan struct{})
	h := &hooks{sent: func(engine.Conn, int) { order = append(order, "sent") }}
	w.Start(h)
	c, _ := w.adopt(tcpPair)
	a, b := socketPair(t)
	defer unix.Close(a)
	defer unix.Close(b)
	calls := 0
	var last time.Duration
	w.do(func() {
		if err := w.l.Watch(a, func(now time.Duration) bool {
			if now < last || w.l.now < now {
				t.Errorf("the clock goes from %v to %v", last, now)
			}
			if calls++; calls > 3 { // as of here there is always more
				if calls == 3+watchAtOnce+1 {
					w.l.Forget(a)
					close(told)
				}
				return true
			}
			order = append(order, "call")
			w.l.Send(c, []byte("x"))
			last = w.l.Now()
			return calls < 3
		}); err != nil {
			t.Error(err)
		}
	})
	if _, err := unix.Write(b, []byte("x")); err != nil {
		t.Fatal(err)
	}
	await(t, "that many calls", told)
	w.do(func() {
		if want := []string{"call", "sent", "call", "sent", "call", "sent"}; !slices.Equal(order, want) {
			t.Errorf("%v, want %v", order, want)
		}
		if calls != 3+watchAtOnce+1 {
			t.Errorf("called %d times, of which the last had been forgotten", calls)
		}
	})
}

// What is read behind a wait is not told with a time before the end of that.
func TestClockAfterWaits(t *testing.T) {
	w := newWorld(t)
	var within, read time.Duration // the loop's
	w.Start(&hooks{data: func(engine.Conn, engine.Buf) { read = w.l.now }})
	a, b := socketPair(t)
	defer unix.Close(a)
	defer unix.Close(b)
	_, p := w.adopt(tcpPair)
	over := make(chan struct{})
	w.do(func() {
		if err := w.l.Await(a, Readable, w.l.Now()+time.Hour, func(time.Duration, bool) {
			within = w.l.Now()
			close(over)
		}); err != nil {
			t.Error(err)
		}
		// Both are ready when the loop looks again.
		if _, err := unix.Write(b, []byte("x")); err != nil {
			t.Error(err)
		}
		if _, err := p.Write([]byte("x")); err != nil {
			t.Error(err)
		}
	})
	await(t, "the wait", over)
	w.until("the byte", func() bool { return read > 0 })
	w.do(func() {
		if read < within {
			t.Errorf("a read at %v behind a wait that ended at %v", read, within)
		}
	})
}

// Who watches and always has more keeps nobody from his turn.
func TestWatchLeavesOthersTheirTurn(t *testing.T) {
	w := newWorld(t)
	read := make(chan struct{})
	calls, before := 0, 0 // the loop's
	a, b := socketPair(t)
	defer unix.Close(a)
	defer unix.Close(b)
	w.Start(&hooks{data: func(engine.Conn, engine.Buf) {
		before = calls
		w.l.Forget(a)
		close(read)
	}})
	_, p := w.adopt(tcpPair)
	const many = 100_000
	w.do(func() {
		if err := w.l.Watch(a, func(time.Duration) bool {
			if calls++; calls == 1 {
				if _, err := p.Write([]byte("x")); err != nil {
					t.Error(err)
				}
			}
			return calls < many
		}); err != nil {
			t.Error(err)
		}
	})
	if _, err := unix.Write(b, []byte("x")); err != nil {
		t.Fatal(err)
	}
	await(t, "the byte", read)
	w.do(func() {
		if before >= many {
			t.Errorf("the byte was read after %d calls", before)
		}
	})
}
