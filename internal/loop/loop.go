package loop

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
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
	// Ending tells whether Told has to follow before anything is written to c; for a c of 0, whether it has to without one.
	Ending(c engine.Conn) bool
	// Told: what was sent to c is written right behind this call; with a c of 0: all that was sent is written. now is a
	// fresh look at the clock, of which events share one, and not before the write, if nobody takes the processor from the
	// loop in between.
	Told(now time.Duration, c engine.Conn)
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

	keeps bool // a processor of the scheduler's is ours while we wait: see doze
	brisk bool // the last wait was short
	slept bool // in the last wait something had to be waited for

	recv    []byte
	reading bool   // readAll is running
	small   bool   // what Data was told of last goes on as a copy, so that its writing can wait
	lent    uint32 // ID of the buffer that may be forwarded now; 0 for none
	lastID  uint32
	ready   []engine.Conn // to be looked at in the next turn
	before  []engine.Conn // the memory of the turn before
	out     outbox
	// For TLS; nil until the first such connection.
	opened  []byte // content of records
	joined  []byte // pieces that become a record
	records []byte // made and about to be written
	ended   []ending

	stream stream
	taken  int // bytes that Data was told of in this turn

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
	l.stream.nap = nap
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
	punctual(true)
	defer punctual(false)
	defer l.shut()
	for {
		n, err := l.wait()
		if err != nil {
			return fmt.Errorf("event loop: %w", err)
		}
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

// wait fills the event buffer, says how many there are, and looks at the clock. It blocks only after a poll that found
// nothing: under load that poll finds something, and the thread never leaves its processor. Where the last one found
// nothing, and a wait costs no more than it (see doze), there is none.
func (l *Loop) wait() (int, error) {
	busy := len(l.ready) > 0 || l.mail.full()
	if !busy && l.keeps { // on a processor that others need there is no sleeping
		l.stream.rest()
	}
	n, err := 0, error(nil)
	if busy || l.stream.napped || !l.slept || !l.brief() {
		n, err = l.epoll.poll(0)
	}
	began := l.clock()
	if n > 0 || err != nil || busy {
		return n, err
	}
	l.stream.missed()
	timeout := l.timeout(began)
	if timeout == 0 || !l.mail.sleep() {
		return 0, nil
	}
	n, err = l.doze(timeout)
	l.mail.awake()
	took := l.clock() - began
	l.slept, l.brisk = took > briefest, took < briskWait
	return n, err
}

const (
	// briskWait is what a wait is shorter than where the next one is taken to be short, too.
	briskWait = time.Millisecond
	// briefest is what a wait takes at most in which the thread did not leave its processor.
	briefest = 3 * time.Microsecond
)

// brief says whether the next wait will be short, and is not told to the scheduler.
func (l *Loop) brief() bool { return l.keeps && l.brisk }

// doze blocks for at most the given milliseconds. A wait that will be short is not told to the scheduler, which then
// neither gives our processor away nor has to find us another. Where it wasn't short after all, the scheduler sends the
// signal by which it takes a processor from a goroutine that has run for 10 ms (at once, and again and again, where it
// stops the world): that ends the wait, and the next one is as everybody's.
func (l *Loop) doze(timeout int) (int, error) {
	if l.brief() {
		return l.epoll.poll(timeout)
	}
	return l.epoll.wait(timeout)
}

// KeepProcessor says, before Run, that the scheduler has a processor more than others need, which the loop may keep for
// itself over short waits. It does nothing where the scheduler sends no signals (GODEBUG=asyncpreemptoff=1).
func (l *Loop) KeepProcessor() {
	l.keeps = !strings.Contains(os.Getenv("GODEBUG"), "asyncpreemptoff=1")
}

// timeout is how long the loop may block, in milliseconds rounded up.
func (l *Loop) timeout(now time.Duration) int {
	left := longestSleep
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
	l.stream.interrupt()
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
