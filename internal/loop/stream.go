package loop

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"cancello/internal/engine"
)

const (
	// A read that brought between smallRead and largeRead bytes may be of a stream: a query's answer is smaller, and where more
	// comes at once there is nothing to gain.
	smallRead = 4 << 10
	largeRead = recvSize / 2
	// streamRun is how many such reads in a row make a stream.
	streamRun = 8
	// napTime is how long more of a stream is waited for.
	napTime = 50 * time.Microsecond
)

// stream is a connection that alone brings bytes, in small pieces, each of which is read as soon as it comes: a large
// result, of which PostgreSQL sends 8 KB at a time. The sender then pays for waking the loop, the loop for waking up and for
// waking the receiver, once for each piece. So a loop that has nothing else to do lets some more come first.
type stream struct {
	of     engine.Conn
	run    int           // its small reads in a row, with nothing in between
	due    bool          // the last turn brought one more
	napped bool          // the loop has just waited for more
	nap    func(d int64) // waits for so many nanoseconds; tests count
}

// follow notes that a turn brought n bytes of c, and of others if it is not alone.
func (s *stream) follow(c engine.Conn, n int, alone bool) {
	switch {
	case !alone, n < smallRead:
		*s = stream{nap: s.nap}
		return
	case c != s.of:
		*s = stream{nap: s.nap, of: c}
	}
	if s.due = false; n >= largeRead {
		return
	}
	if s.run++; s.run > streamRun {
		s.due = true
	}
}

// rest lets more come of a stream.
func (s *stream) rest() {
	if s.napped = s.due; s.napped {
		s.due = false
		s.nap(int64(napTime))
	}
}

// missed says that nothing has come: the pieces don't follow one another that fast.
func (s *stream) missed() {
	if s.napped {
		s.napped, s.run = false, 0
	}
}

// nap blocks the thread, without a word to the scheduler: that would take longer. A signal ends it.
func nap(d int64) {
	ts := unix.NsecToTimespec(d)
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// wakeOnTime has the thread's short waits end when they should, instead of up to 50 us later.
func wakeOnTime() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }
