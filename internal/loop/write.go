package loop

import (
	"time"

	"golang.org/x/sys/unix"

	"cancello/internal/engine"
)

const (
	maxPieces  = 64       // more pieces than this are joined by copying
	joinable   = 1 << 10  // what is lent and no longer than this is copied behind a copy, or to wait: a write costs more
	keepBlocks = 32       // queue blocks kept for reuse
	blockSize  = 16 << 10 // the size a queue starts with
	keepBlock  = 256 << 10
	keepCopies = 256 << 10
)

// seg is one piece to be written: a reference into the lent buffer, or a place in outbox.copies.
type seg struct {
	lent   []byte // nil for a copy
	off, n int    // place of a copy
	next   int32  // of the same connection; index+1, 0 for none
}

// list is a connection's pieces: indexes+1 into outbox.segs, 0 for none.
type list struct{ head, tail, n int32 }

// outbox holds what was queued in this turn for all connections. It is empty whenever the kernel is asked what is ready, and
// holds copies alone whenever it is asked for bytes.
type outbox struct {
	segs   []seg
	copies []byte        // what Send copied
	live   int           // pieces not written, copied or dropped yet
	dirty  []engine.Conn // connections to be written, in the order they were first sent to
	blocks []*queue      // spare memory for heap queues
	iov    [maxPieces + 1]unix.Iovec
}

// Forward queues b.Bytes[from:from+n] on to, as a copy if little was read, else by reference until it is written or copied:
// that is before the next read. It panics if b is not the buffer of the Data call that is running: its bytes would be somebody else's.
func (l *Loop) Forward(to engine.Conn, b engine.Buf, from, n int) {
	l.onLoop("Forward")
	k := l.find(to)
	if n == 0 || k == nil || !k.takes() {
		return
	}
	if l.lent == 0 || b.ID != l.lent {
		panic("loop: Forward of a buffer that is no longer lent")
	}
	p := b.Bytes[from : from+n]
	if l.small {
		l.Send(to, p)
		return
	}
	o := &l.out
	if k.segs.tail != 0 {
		last := &o.segs[k.segs.tail-1]
		if m := len(last.lent); last.lent != nil && cap(last.lent) >= m+n && &last.lent[:m+1][m] == &p[0] {
			last.lent = last.lent[:m+n]
			return
		}
		if n <= joinable && o.extend(last, p) {
			return
		}
	}
	o.add(k, seg{lent: p})
	l.touch(to, k)
}

// Send queues a copy of p on to.
func (l *Loop) Send(to engine.Conn, p []byte) {
	l.onLoop("Send")
	k := l.find(to)
	if len(p) == 0 || k == nil || !k.takes() {
		return
	}
	o := &l.out
	if k.segs.tail != 0 && o.extend(&o.segs[k.segs.tail-1], p) {
		return
	}
	o.copies = append(o.copies, p...)
	o.add(k, seg{off: len(o.copies) - len(p), n: len(p)})
	l.touch(to, k)
}

// touch has c written once the running call is over.
func (l *Loop) touch(c engine.Conn, k *conn) {
	if !k.inDirty {
		k.inDirty = true
		l.out.dirty = append(l.out.dirty, c)
	}
}

// extend copies p behind s, and tells whether that could be done: s is the last that was copied.
func (o *outbox) extend(s *seg, p []byte) bool {
	if s.lent != nil || s.off+s.n != len(o.copies) {
		return false
	}
	o.copies = append(o.copies, p...)
	s.n += len(p)
	return true
}

func (o *outbox) add(k *conn, s seg) {
	o.segs = append(o.segs, s)
	i := int32(len(o.segs))
	if k.segs.tail == 0 {
		k.segs.head = i
	} else {
		o.segs[k.segs.tail-1].next = i
	}
	k.segs.tail = i
	k.segs.n++
	o.live++
}

// bytes of a piece, wherever they are.
func (o *outbox) bytes(s *seg) []byte {
	if s.lent != nil {
		return s.lent
	}
	return o.copies[s.off : s.off+s.n]
}

// clear forgets k's pieces, and all memory of the turn when they were the last.
func (o *outbox) clear(k *conn) {
	o.live -= int(k.segs.n)
	k.segs = list{}
	if o.live > 0 {
		return
	}
	clear(o.segs)
	o.segs = o.segs[:0]
	mangle(o.copies)
	if cap(o.copies) > keepCopies {
		o.copies = nil
	}
	o.copies = o.copies[:0]
}

// writing is about what one write takes. A peer's answer by way of a new connection takes several times as long.
const writing = 10 * time.Microsecond

// settle writes every connection that was sent something, tells who is gone, and goes on until nothing is left
// of what the Handler asked meanwhile.
func (l *Loop) settle() {
	for len(l.out.dirty) > 0 || len(l.ended) > 0 {
		for i := 0; i < len(l.out.dirty); i++ {
			c := l.out.dirty[i]
			if l.h.Ending(c) {
				l.h.Told(l.Now()+writing, c)
			}
			l.write(c)
		}
		l.out.dirty = l.out.dirty[:0]
		if len(l.ended) > 0 {
			l.tellOthers()
		}
		for i := 0; i < len(l.ended); i++ {
			l.tellClosed(l.ended[i])
			l.ended[i] = ending{}
		}
		l.ended = l.ended[:0]
	}
	l.tellOthers() // what a call ended that sent nothing
}

// tellOthers tells of whoever is written nothing.
func (l *Loop) tellOthers() {
	if l.h.Ending(0) {
		l.h.Told(l.Now(), 0)
	}
}

// write writes c once, as far as the kernel takes it, and tells Sent.
func (l *Loop) write(c engine.Conn) {
	k := l.table.at(c.Index())
	if k.gen != generation(c) {
		return
	}
	k.inDirty = false
	sent := 0
	switch {
	case k.state == vacant || k.state == ended:
		return
	case k.state == reserved || k.blocked || k.broken != nil:
		l.out.spill(k, 0)
	case k.waits() || k.segs.n > 0:
		n, err := l.writeOut(k)
		if err != nil {
			l.writeFailed(c, k, err)
			return
		}
		k.moved = k.moved || n > 0
		sent = n
	}
	switch {
	case k.state == flushing:
		l.flushed(c, k)
	case k.state == open || k.state == reserved && !k.asked:
		l.calling = true
		l.h.Sent(l.now, c, sent)
		l.calling = false
	}
}

// writeOut hands the kernel what is queued on k, sealed if need be.
func (l *Loop) writeOut(k *conn) (int, error) {
	if k.tls != nil {
		return l.writeSealed(k)
	}
	return l.out.write(k)
}

// write hands the kernel all that is queued on k and keeps on the heap what it doesn't take.
func (o *outbox) write(k *conn) (int, error) {
	if k.segs.n > maxPieces {
		o.spill(k, 0)
	}
	total, pieces := 0, 0
	var one []byte
	put := func(p []byte) {
		one = p
		o.iov[pieces].Base = &p[0]
		o.iov[pieces].SetLen(len(p))
		pieces++
		total += len(p)
	}
	queued := k.unsent()
	if queued > 0 {
		put(k.queue.rest())
	}
	for i := k.segs.head; i != 0; i = o.segs[i-1].next {
		put(o.bytes(&o.segs[i-1]))
	}
	var n int
	var err error
	if pieces == 1 {
		n, err = writeFD(k.fd(), one)
	} else {
		n, err = writevFD(k.fd(), o.iov[:pieces])
	}
	clear(o.iov[:pieces])
	if err == unix.EAGAIN {
		n, err = 0, nil
	}
	if err != nil {
		return 0, err
	}
	k.blocked = n < total
	o.wrote(k, min(n, queued))
	o.spill(k, n-min(n, queued))
	return n, nil
}

// spill moves k's pieces to its heap queue, but for the first skip bytes, which are written.
func (o *outbox) spill(k *conn, skip int) {
	for i := k.segs.head; i != 0; i = o.segs[i-1].next {
		p := o.bytes(&o.segs[i-1])
		if skip >= len(p) {
			skip -= len(p)
			continue
		}
		o.keep(k, p[skip:])
		skip = 0
	}
	o.clear(k)
}

// wrote gives up the first n bytes of k's heap queue.
func (o *outbox) wrote(k *conn, n int) {
	if k.queue == nil {
		return
	}
	if k.queue.head += n; k.queue.head == len(k.queue.buf) {
		o.drop(k)
	}
}

// keep appends p to k's heap queue.
func (o *outbox) keep(k *conn, p []byte) {
	if k.queue == nil {
		if n := len(o.blocks); n > 0 {
			k.queue = o.blocks[n-1]
			o.blocks[n-1] = nil
			o.blocks = o.blocks[:n-1]
		} else {
			k.queue = &queue{buf: make([]byte, 0, max(blockSize, len(p)))}
		}
	}
	q := k.queue
	// Written bytes are given up only when they are the larger half: each byte is then moved at most once on average.
	if len(q.buf)+len(p) > cap(q.buf) && q.head > len(q.buf)/2 {
		n := copy(q.buf, q.rest())
		q.buf, q.head = q.buf[:n], 0
	}
	q.buf = append(q.buf, p...)
}

// drop gives k's heap queue back.
func (o *outbox) drop(k *conn) {
	q := k.queue
	if q == nil {
		return
	}
	mangle(q.buf)
	if cap(q.buf) <= keepBlock && len(o.blocks) < keepBlocks {
		q.buf, q.head = q.buf[:0], 0
		o.blocks = append(o.blocks, q)
	}
	k.queue = nil
}

// writeFailed ends k, but not before what has arrived was read: the reason may stand there.
func (l *Loop) writeFailed(c engine.Conn, k *conn, err error) {
	l.out.clear(k)
	l.out.drop(k)
	if k.state != open || k.paused {
		l.end(c, k, err)
		return
	}
	k.broken, k.readable, k.blocked = err, true, false
	l.push(c, k)
}
