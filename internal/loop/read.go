package loop

import (
	"io"

	"golang.org/x/sys/unix"

	"cancello/internal/engine"
)

// note takes down what the first n events say. Nothing is read or told yet.
func (l *Loop) note(n int) {
	for i := range n {
		c, ev := l.epoll.event(i)
		if c == 0 {
			l.epoll.silence()
			continue
		}
		if i, ok := waitOf(c); ok {
			l.noteWait(i)
			continue
		}
		k := l.find(c)
		if k == nil || k.fd() < 0 {
			continue
		}
		if ev&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 && k.blocked {
			k.blocked = false
			l.touch(c, k)
		}
		if ev&unix.EPOLLERR != 0 {
			k.failed = true
		}
		if ev&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			k.hangup = true
		}
		if ev&(unix.EPOLLPRI|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			k.cutShort = true
		}
		if ev&(unix.EPOLLIN|unix.EPOLLPRI|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			k.readable = true
			if l.wants(k) {
				l.push(c, k)
			}
		}
	}
}

// wants says whether k should be looked at in the next turn.
func (l *Loop) wants(k *conn) bool {
	switch k.state {
	case open:
		if k.paused {
			return k.hangup || k.broken != nil || k.over()
		}
		return k.readable || k.first != nil || k.over()
	case draining:
		return k.readable
	}
	return false
}

// clockReads is how many connections share a look at the clock.
const clockReads = 16

// together is how many reads and writes may come in a row. Whoever is woken by a write competes for
// the processor: reads first, then writes are what keeps everybody at work for longest.
const together = 64

// readAll gives every connection that is ready its one read. Those that become ready meanwhile, or stay so, have
// the next turn. What small reads lead to is written behind the last of them.
func (l *Loop) readAll() {
	if len(l.ready) == 0 {
		return
	}
	now := l.ready
	l.ready, l.taken, l.reading = l.before[:0], 0, true
	unsettled := 0 // reads
	for i, c := range now {
		if i%clockReads == clockReads-1 {
			l.clock()
		}
		k := l.table.at(c.Index())
		if k.gen != generation(c) {
			continue
		}
		k.inReady = false
		if k.inDirty { // it hears first what follows from what was read before
			l.settle()
		}
		if k.gen != generation(c) || !l.wants(k) {
			continue
		}
		switch {
		case k.state == draining:
			l.drain(c, k)
		case k.paused:
			l.lookPaused(c, k)
		case k.first != nil:
			l.giveFirst(c, k)
		default:
			l.read(c, k)
		}
		if unsettled++; unsettled >= together || len(l.out.dirty) >= together || len(l.ended) > 0 {
			l.settle()
			unsettled = 0
		}
		if k.gen == generation(c) && l.wants(k) && !k.paused {
			l.push(c, k)
		}
	}
	l.settle()
	l.reading = false
	l.stream.follow(now[0], l.taken, len(now) == 1)
	l.before = now
}

// giveFirst delivers bytes that came with Adopt, at most a buffer at a time.
func (l *Loop) giveFirst(c engine.Conn, k *conn) {
	p := k.first.bytes
	if len(p) > recvSize {
		p, k.first.bytes = p[:recvSize:recvSize], p[recvSize:]
	} else {
		k.first = nil
	}
	l.data(c, p, k.first != nil)
}

// read reads once and tells what came.
func (l *Loop) read(c engine.Conn, k *conn) {
	if k.tls != nil {
		if k.over() {
			l.endSealed(c, k)
		} else {
			l.readSealed(c, k)
		}
		return
	}
	n, err := readFD(k.fd(), l.recv)
	switch {
	case err == unix.EAGAIN:
		k.readable = false
		if k.broken != nil {
			l.end(c, k, k.broken)
		} else if k.owed {
			k.owed = false
			l.data(c, nil, false)
		}
	case err != nil || n == 0:
		l.end(c, k, readError(k, err))
	default:
		k.owed = n == len(l.recv)
		if !k.owed && !k.cutShort && k.broken == nil {
			k.readable = false
		}
		l.data(c, l.recv[:n:n], k.owed)
	}
}

// readError is what Closed tells after a read that brought no bytes.
func readError(k *conn, err error) error {
	switch {
	case k.broken != nil:
		return k.broken
	case err != nil:
		return err
	}
	return io.EOF
}

// data tells of bytes that arrived and writes what became of them.
func (l *Loop) data(c engine.Conn, p []byte, more bool) {
	if l.lastID++; l.lastID == 0 {
		l.lastID = 1
	}
	l.lent = l.lastID
	l.taken += len(p)
	l.small = l.reading && len(p) <= joinable
	l.calling = true
	l.h.Data(l.now, c, engine.Buf{Bytes: p, ID: l.lent, More: more})
	l.calling = false
	l.lent = 0
	if !l.small {
		l.settle()
	}
	l.reclaim(p)
}

// lookPaused tells the end of a paused connection if it has come: an error at once, FIN if nothing unread stands
// before it. It is called when the kernel has announced one of them, or a write failed.
func (l *Loop) lookPaused(c engine.Conn, k *conn) {
	if k.broken != nil {
		l.end(c, k, k.broken)
		return
	}
	if k.failed {
		k.failed = false
		if err := socketError(k.fd()); err != nil {
			l.end(c, k, err)
			return
		}
	}
	switch n := unread(k.fd()); {
	case k.first != nil:
	case k.over():
		l.endSealed(c, k)
	case k.tls == nil && n == 0:
		l.end(c, k, io.EOF)
	case k.tls != nil && n <= sealedRest: // perhaps only a close_notify
		l.readSealed(c, k)
		if k = l.find(c); k != nil && k.state == open {
			l.push(c, k)
		}
	}
}

// Drain reads what c's socket holds now, once and at most 64 KB, and delivers it before it returns, with all that
// follows from it; unless c is paused. It is for posted functions, never for a Handler's method.
func (l *Loop) Drain(c engine.Conn) {
	l.onLoop("Drain")
	if l.calling {
		panic("loop: Drain inside a call of the Handler")
	}
	k := l.find(c)
	for k != nil && k.state == open && !k.paused && k.first != nil {
		l.giveFirst(c, k)
		k = l.find(c)
	}
	if k == nil || k.state != open || k.paused {
		return
	}
	l.read(c, k)
	l.settle()
	if k = l.find(c); k != nil && l.wants(k) {
		l.push(c, k)
	}
}
