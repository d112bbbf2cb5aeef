package loop

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"cancello/internal/engine"
)

// recvSize is the size of the receive buffer: the most one read takes.
const recvSize = 64 << 10

// longestSleep bounds every wait for the kernel. Nothing is known to need it; but all that a loop serves hangs on one
// eventfd, and a wake-up that was lost must cost a second, not everything.
const longestSleep = time.Second

// Handler is told what happened, on the loop's thread.
type Handler interface {
	// Data: bytes of c arrived. b is lent for this call and for what the call forwards of it.
	Data(now time.Duration, c engine.Conn, b engine.Buf)
	// Sent: a write towards c was tried and took n bytes, perhaps none, of what was queued in one event or in several. It
	// follows every event in which something was queued on c, some time later.
	Sent(now time.Duration, c engine.Conn, n int)
	// Closed: c is gone, nothing more is said of it. err is nil if it was closed as asked, io.EOF after the
	// peer's FIN.
	Closed(now time.Duration, c engine.Conn, err error)
	// Tick: the time asked for by Wake has come.
	Tick(now time.Duration)
	// Ending tells whether Told has to follow before anything is written.
	Ending() bool
	// Told: what was sent is written right behind this call. now is a fresh look at the clock, of which events share one, and
	// not before the last of these writes, if nobody takes the processor from the loop in between.
	Told(now time.Duration)
}

// Loop is one event loop. Make it with New and run it once.
type Loop struct {
	began time.Time
	epoll epoll
	mail  mailbox
	names names
	live  atomic.Int64

	// All below belongs to the loop's thread.

	h       Handler
	table   table
	calling bool // a Handler's method is running
	thread  int  // the thread Run locked

	recv   []byte
	lent   uint32 // ID of the buffer that may be forwarded now; 0 for none
	lastID uint32
	ready  []engine.Conn // to be looked at in the next turn
	before []engine.Conn // the memory of the turn before
	out    outbox
	// For TLS; nil until the first such connection.
	opened  []byte // content of records
	joined  []byte // pieces that become a record
	records []byte // made and about to be written
	ended   []ending

	now     time.Duration // of the turn; see clock
	wakeAt  time.Duration
	wakeSet bool
	waits   waits
	drains  deadlines
	stalls  deadlines
}

// New makes a loop. It holds two descriptors until Run has returned.
func New() (*Loop, error) {
	l := &Loop{began: time.Now()}
	if err := l.epoll.open(); err != nil {
		return nil, fmt.Errorf("event loop: %w", err)
	}
	l.mail.bell = l.epoll.bell
	l.recv = make([]byte, recvSize)
	l.drains.after, l.stalls.after = drainTime, flushStall
	return l, nil
}

// errRunTwice is a mistake of the caller.
var errRunTwice = errors.New("event loop: Run was called twice")

// Run turns the loop on this goroutine's thread until Stop. What was posted before Stop has run when it returns,
// and every descriptor it held is closed; connections still open get no Closed then. It may be called once; after a
// Stop that came first it runs what was posted and returns.
func (l *Loop) Run(h Handler) error {
	if !l.mail.start() {
		return errRunTwice
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l.h, l.thread = h, unix.Gettid()
	defer l.shut()
	for {
		n, err := l.wait()
		if err != nil {
			return fmt.Errorf("event loop: %w", err)
		}
		l.clock()
		l.note(n)
		l.settle()
		if l.runPosted() {
			return nil
		}
		l.answerWaits()
		l.readAll()
		l.timers()
	}
}

// Stop ends Run soon. It may be called from any goroutine, and more than once.
func (l *Loop) Stop() { l.mail.stop() }

// Post runs f on the loop, in the order of the calls. False says that the loop was stopped and f will not run.
func (l *Loop) Post(f func(now time.Duration)) bool { return l.mail.put(f) }

// Now is the time since New, on the monotonic clock.
func (l *Loop) Now() time.Duration { return time.Since(l.began) }

// clock takes the time that events bear from here on. They share it: asking costs as much as a small step of a query
// does, and nothing that is judged by it needs it finer than a few reads take.
func (l *Loop) clock() time.Duration {
	l.now = l.Now()
	return l.now
}

// Conns counts the connections reserved or adopted that have not had their Closed.
func (l *Loop) Conns() int { return int(l.live.Load()) }

// Wake asks for one Tick at the given time, or up to a millisecond later; a later Wake replaces it.
func (l *Loop) Wake(at time.Duration) {
	l.onLoop("Wake")
	l.wakeAt, l.wakeSet = at, true
}

// wait fills the event buffer and says how many there are. It blocks only after a poll that found nothing:
// under load that poll finds something, and the thread never leaves its processor.
func (l *Loop) wait() (int, error) {
	n, err := l.epoll.poll()
	if n > 0 || err != nil || len(l.ready) > 0 || l.mail.full() {
		return n, err
	}
	timeout := l.timeout()
	if timeout == 0 || !l.mail.sleep() {
		return 0, nil
	}
	n, err = l.epoll.wait(timeout)
	l.mail.awake()
	return n, err
}

// timeout is how long the loop may block, in milliseconds rounded up.
func (l *Loop) timeout() int {
	left := longestSleep
	now := l.Now()
	if l.wakeSet {
		left = min(left, l.wakeAt-now)
	}
	if l.waits.n > 0 {
		left = min(left, l.waits.next-now)
	}
	for _, d := range []*deadlines{&l.drains, &l.stalls} {
		if next, ok := d.next(); ok {
			left = min(left, next-now)
		}
	}
	return int((max(left, 0) + time.Millisecond - 1) / time.Millisecond)
}

// runPosted runs what was posted so far and says whether the loop was stopped.
func (l *Loop) runPosted() (stopped bool) {
	if !l.mail.full() {
		return false
	}
	fs, stopped := l.mail.take()
	for i, f := range fs {
		fs[i] = nil
		f(l.clock())
		l.settle()
	}
	l.mail.reuse(fs)
	return stopped
}

// timers carries out what is due.
func (l *Loop) timers() {
	if !l.wakeSet && l.waits.n == 0 && l.drains.empty() && l.stalls.empty() {
		return
	}
	now := l.now // what became due in this turn comes in the next, which doesn't wait for anything
	l.expire(now)
	l.expireWaits(now)
	if l.wakeSet && l.wakeAt <= now {
		l.wakeSet = false
		l.calling = true
		l.h.Tick(now)
		l.calling = false
	}
	l.settle()
}

// shut closes every descriptor, after the mailbox has been closed.
func (l *Loop) shut() {
	l.table.each(func(k *conn) {
		if k.fd() >= 0 {
			closeFD(k.fd())
			k.num = -1
		}
		k.state = vacant
	})
	l.live.Store(0)
	l.mail.close()
	l.epoll.close()
}
