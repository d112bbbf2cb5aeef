package loop

import (
	"time"

	"cancello/internal/engine"
)

const (
	// drainTime and drainBytes bound what is read after our FIN, so that the peer gets what we sent: a descriptor
	// closed with unread input resets the connection instead.
	drainTime  = time.Second
	drainBytes = 64 << 10
	// flushStall bounds a flush towards a peer that does not read: it is closed when nothing moved between two looks
	// this far apart.
	flushStall = time.Minute
)

// Close closes c. Closed follows, after this call; nothing else is said of c in between.
func (l *Loop) Close(c engine.Conn, how engine.How) {
	l.onLoop("Close")
	k := l.find(c)
	switch {
	case k == nil:
	case k.state == reserved:
		if !k.asked || how == engine.Now {
			k.asked, k.askedHow = true, how
		}
	case how == engine.Now || k.broken != nil:
		l.end(c, k, nil)
	case k.state == open:
		k.state = flushing
		k.first = nil
		l.touch(c, k)
	}
}

// flushed goes on with a Close(Flush) after a write.
func (l *Loop) flushed(c engine.Conn, k *conn) {
	if k.waits() {
		if !k.lingers {
			k.lingers, k.moved = true, false
			l.stalls.add(c, l.Now())
		}
		return
	}
	if k.tls != nil && k.tls.farewell() {
		l.touch(c, k)
		return
	}
	if err := shutdownFD(k.fd()); err != nil {
		l.end(c, k, err)
		return
	}
	k.state = draining
	l.drains.add(c, l.Now())
	if l.wants(k) {
		l.push(c, k)
	}
}

// drain reads once what the peer still sends after our FIN, to throw it away.
func (l *Loop) drain(c engine.Conn, k *conn) {
	n, err := readFD(k.fd(), l.recv[:drainBytes-k.drained])
	if again(err) {
		k.readable = false
		return
	}
	k.drained += int32(max(n, 0))
	if err != nil || n == 0 || k.drained == drainBytes {
		l.end(c, k, nil)
	}
}

// end closes k's descriptor and has Closed told.
func (l *Loop) end(c engine.Conn, k *conn, err error) {
	l.out.clear(k)
	l.out.drop(k)
	k.first = nil
	if k.fd() >= 0 {
		l.epoll.remove(k.fd())
		closeFD(k.fd())
		k.num = -1
	}
	k.state = ended
	l.ended = append(l.ended, ending{c, err})
}

// tellClosed says the last word about a connection and frees its name.
func (l *Loop) tellClosed(e ending) {
	k := l.table.at(e.c.Index())
	*k = conn{gen: k.gen, num: -1}
	l.live.Add(-1)
	l.calling = true
	l.h.Closed(l.now, e.c, e.err)
	l.calling = false
	l.names.release(e.c)
}

// expire ends the connections whose time to close is over.
func (l *Loop) expire(now time.Duration) {
	for {
		c, ok := l.drains.due(now)
		if !ok {
			break
		}
		if k := l.find(c); k != nil && k.state == draining {
			l.end(c, k, nil)
		}
	}
	for {
		c, ok := l.stalls.due(now)
		if !ok {
			break
		}
		k := l.find(c)
		if k == nil || k.state != flushing {
			continue
		}
		if !k.moved {
			l.end(c, k, errStalled)
			continue
		}
		k.moved = false
		l.stalls.add(c, now)
	}
}
