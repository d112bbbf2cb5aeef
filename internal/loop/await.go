package loop

import (
	"math"
	"time"

	"golang.org/x/sys/unix"

	"cancello/internal/engine"
)

// Readiness is what a descriptor is awaited for.
type Readiness uint32

// The kinds of readiness. Each includes the descriptor's end.
const (
	Readable Readiness = unix.EPOLLIN | unix.EPOLLRDHUP
	Writable Readiness = unix.EPOLLOUT
)

// wait is one descriptor that is awaited.
type wait struct {
	fd    int
	until time.Duration
	f     func(now time.Duration, ready bool) (more bool)
	armed bool // f is due
	ready bool // the kernel said so
	stays bool // f is due again and again
}

// waits are the descriptors that are awaited. There may be a thousand and more: whoever connects and says nothing waits
// here. Hardly any stays until its deadline, so these are in no order, and to come and go costs nothing for it. All are
// looked at when the next deadline is due, at most once for each.
type waits struct {
	all  []wait
	free []uint32      // places in all that are not armed
	of   []uint32      // by descriptor: its place, and one more; 0: it is not awaited
	due  []uint32      // ready, in the order the kernel told it
	n    int           // armed
	next time.Duration // no deadline is before this, perhaps that of one that has gone; meaningful while n > 0
}

// Await calls f once, on the loop and never inside this call: when fd is ready, or at the given time, if it is not ready
// until then. fd is a non-blocking descriptor that is not adopted; it stays the caller's, who must not close it, nor
// await it again, before f is called. After an error f is not called. Once the loop has stopped, f is not called either.
func (l *Loop) Await(fd int, what Readiness, until time.Duration, f func(now time.Duration, ready bool)) error {
	l.onLoop("Await")
	return l.await(wait{fd: fd, until: until, armed: true, f: func(now time.Duration, ready bool) bool {
		f(now, ready)
		return false
	}}, uint32(what)|unix.EPOLLONESHOT)
}

// watchAtOnce is how often a turn calls at most who watches: what else is ready gets its turn, however much comes there.
const watchAtOnce = 16

// Watch calls f in each turn that finds fd readable, until Forget: again as long as it says that there may be more, but at
// most watchAtOnce times. What follows from one call is written before the next. fd stays the caller's, as with Await.
func (l *Loop) Watch(fd int, f func(now time.Duration) (more bool)) error {
	l.onLoop("Watch")
	return l.await(wait{fd: fd, until: math.MaxInt64, armed: true, stays: true, f: func(now time.Duration, _ bool) bool { return f(now) }}, uint32(Readable))
}

// Forget ends what Await or Watch began: f is not called any more. Of an fd that is not awaited it says false.
func (l *Loop) Forget(fd int) bool {
	l.onLoop("Forget")
	w := &l.waits
	if fd < 0 || fd >= len(w.of) || w.of[fd] == 0 {
		return false
	}
	l.vacate(w.of[fd] - 1)
	return true
}

func (l *Loop) await(new wait, events uint32) error {
	w := &l.waits
	i, n := uint32(len(w.all)), len(w.free)
	if n > 0 {
		i = w.free[n-1]
	}
	if err := l.epoll.await(new.fd, i, events); err != nil {
		return err
	}
	if n > 0 {
		w.free = w.free[:n-1]
	} else {
		w.all = append(w.all, wait{})
	}
	w.all[i] = new
	for len(w.of) <= new.fd {
		w.of = append(w.of, 0)
	}
	w.of[new.fd] = i + 1
	if w.n == 0 || new.until < w.next {
		w.next = new.until
	}
	w.n++
	return nil
}

// noteWait takes down that an awaited descriptor is ready.
func (l *Loop) noteWait(i uint32) {
	if w := &l.waits.all[i]; w.armed && !w.ready {
		w.ready = true
		l.waits.due = append(l.waits.due, i)
	}
}

// answerWaits calls those who wait for what has become ready.
func (l *Loop) answerWaits() {
	w := &l.waits
	if len(w.due) > 0 {
		l.stream.interrupt()
	}
	for n := 0; n < len(w.due); n++ {
		if w.all[w.due[n]].ready { // not forgotten meanwhile
			l.answer(w.due[n], true)
		}
	}
	w.due = w.due[:0]
}

// expireWaits calls those whose time is over.
func (l *Loop) expireWaits(now time.Duration) {
	w := &l.waits
	if w.n == 0 || now < w.next {
		return
	}
	for i := range len(w.all) {
		if w.all[i].armed && !w.all[i].ready && w.all[i].until <= now {
			l.answer(uint32(i), false)
		}
	}
	first := true
	for i := range w.all {
		if at := &w.all[i]; at.armed && (first || at.until < w.next) {
			w.next, first = at.until, false
		}
	}
}

// answer tells of one wait, which ends unless it stays.
func (l *Loop) answer(i uint32, ready bool) {
	at := l.waits.all[i]
	l.waits.all[i].ready = false
	times := watchAtOnce
	if !at.stays {
		l.vacate(i)
		times = 1
	}
	for more := true; more && times > 0; times-- {
		more = at.f(l.clock(), ready)
		l.clock() // f may have looked at it itself, and what follows must not be before that
		l.settle()
		more = more && l.waits.of[at.fd] == i+1 // else it was forgotten meanwhile
	}
}

// vacate ends one wait.
func (l *Loop) vacate(i uint32) {
	at := &l.waits.all[i]
	l.epoll.remove(at.fd)
	l.waits.of[at.fd] = 0
	*at = wait{}
	l.waits.free = append(l.waits.free, i)
	l.waits.n--
}

// awaited is the name under which the kernel knows the i-th wait: none that a connection has, nor the bell's.
func awaited(i uint32) engine.Conn { return engine.MakeConn(i+1, 0) }

// waitOf undoes awaited.
func waitOf(c engine.Conn) (i uint32, ok bool) { return c.Index() - 1, c != 0 && generation(c) == 0 }
