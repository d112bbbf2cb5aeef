package loop

import (
	"errors"
	"io"

	"cancello/internal/engine"
)

const (
	// sealedRead is the most that is read at once from a TLS connection. crypto/tls holds at most one incomplete record
	// (18 KB) from before, so what one read brings is never more than recvSize when it is opened.
	sealedRead = recvSize - maxSealedRecord
	// maxSealedRecord is the longest record there is: header, 16 KB, 2 KB of overhead (RFC 5246 6.2.3).
	maxSealedRecord = 5 + 16<<10 + 2<<10
	// sealBatch is how much is sealed before the kernel is asked to take it.
	sealBatch = 64 << 10
	// sealJoin is how much small pieces are joined to: a record's content.
	sealJoin = 16 << 10
	// sealedRest is how little may stand unread before a FIN to be taken for a close_notify: no record of one is longer.
	sealedRest = 128
	// maxUnasked bounds what crypto/tls answers by itself (KeyUpdate) to a peer that doesn't read.
	maxUnasked = 128 << 10
)

// errUnasked is what Closed tells of a peer that has its keys changed over and over and doesn't read the answers.
var errUnasked = errors.New("the peer asked for new TLS keys again and again without reading the answers")

// sealed is the TLS of a connection on a loop. Records that the kernel didn't take are in its pipe's out.
type sealed struct {
	*TLS
	end   error // that crypto/tls told: io.EOF for close_notify or FIN
	owed  int   // bytes of content in the records of out: told by Sent when all of them are written
	notes bool  // our close_notify was made
}

// AdoptTLS is Adopt for a connection with TLS whose handshake is over. first is content that was read already. t belongs
// to the loop from then on. It is for posted functions, never for a Handler's method.
func (l *Loop) AdoptTLS(c engine.Conn, fd int, t *TLS, first []byte) {
	l.onLoop("AdoptTLS")
	k := l.find(c)
	if k == nil || k.state != reserved {
		closeFD(fd)
		return
	}
	if l.opened == nil {
		l.opened, l.joined = make([]byte, recvSize), make([]byte, 0, sealJoin)
	}
	t.pipe.detach()
	k.tls = &sealed{TLS: t}
	// crypto/tls may have read more than the login: content it holds is content that no event will tell of.
	for k.tls.end == nil {
		n, dry := l.open(k)
		first = append(first, l.opened[:n]...)
		if dry {
			break
		}
	}
	l.Adopt(c, fd, first)
}

// open has crypto/tls open records into l.opened, until there are no more (dry), the buffer is full or it fails.
func (l *Loop) open(k *conn) (n int, dry bool) {
	for n < len(l.opened) {
		m, err := k.tls.Read(l.opened[n:])
		n += m
		if err != nil {
			if isDry(err) {
				return n, true
			}
			k.tls.end = err
			return n, false
		}
	}
	return n, false
}

// readSealed reads once and tells what came, if anything did.
func (l *Loop) readSealed(c engine.Conn, k *conn) {
	p := l.recv[:sealedRead]
	n, err := readFD(k.fd(), p)
	if err != nil && !again(err) {
		l.end(c, k, readError(k, err))
		return
	}
	if again(err) {
		n = 0
	}
	eof := err == nil && n == 0
	owed := k.owed
	k.owed = n == len(p)
	if again(err) || !k.owed && !k.cutShort && k.broken == nil && !eof {
		k.readable = false
	}
	k.tls.pipe.in, k.tls.pipe.eof = p[:n], eof
	m, _ := l.open(k)
	k.tls.pipe.in = nil // all of it was taken, or nothing more will be
	mangle(p[:n])
	if len(k.tls.pipe.out) > maxUnasked+k.tls.owed+k.tls.owed/8 && k.blocked {
		k.tls.end = errUnasked
	}
	if k.tls.end != nil {
		k.owed = false
	} else if k.broken != nil && again(err) {
		l.end(c, k, k.broken)
		return
	}
	if len(k.tls.pipe.out) > 0 { // crypto/tls answered
		l.touch(c, k)
	}
	if m > 0 || owed && !k.owed && k.tls.end == nil {
		l.data(c, l.opened[:m:m], k.owed)
	}
	if k = l.find(c); k != nil && k.state == open && k.tls.end != nil && m == 0 {
		l.endSealed(c, k)
	}
}

// endSealed ends a connection whose TLS has ended, with crypto/tls's last word (an alert, close_notify) if the kernel
// takes it.
func (l *Loop) endSealed(c engine.Conn, k *conn) {
	err := k.tls.end
	if errors.Is(err, io.EOF) {
		err = io.EOF
		if !k.tls.notes {
			k.tls.notes = true
			_ = k.tls.CloseWrite() // into memory
		}
	}
	if !k.blocked && len(k.tls.pipe.out) > 0 {
		_, _ = writeFD(k.fd(), k.tls.pipe.out)
	}
	l.end(c, k, readError(k, err))
}

// writeSealed seals what is queued on k, a batch at a time, as long as the kernel takes it, and says how much of it
// has been taken whole. What is left waits on the heap: at most a batch as records, the rest as it came.
func (l *Loop) writeSealed(k *conn) (sent int, err error) {
	o, t := &l.out, k.tls
	for {
		if len(t.pipe.out) > 0 {
			n, err := writeFD(k.fd(), t.pipe.out)
			if err != nil && !again(err) {
				t.pipe.out = nil
				return sent, err
			}
			k.moved = k.moved || n > 0
			if n < len(t.pipe.out) {
				t.keep(n, l.records)
				k.blocked = true
				o.spill(k, 0)
				return sent, nil
			}
			t.pipe.out = nil
		}
		sent += t.owed
		t.owed = 0
		if k.unsent() == 0 && k.segs.n == 0 {
			return sent, nil
		}
		if cap(l.records) == 0 {
			l.records = make([]byte, 0, 2*sealBatch+sealBatch/4)
		}
		t.pipe.out = l.records[:0]
		if err := l.seal(k); err != nil {
			t.pipe.out = nil
			return sent, err
		}
	}
}

// keep keeps what the kernel didn't take of out behind its first n bytes. Records in the loop's own memory move to
// memory of their own.
func (t *sealed) keep(n int, lent []byte) {
	rest := t.pipe.out[n:]
	if cap(lent) > 0 && cap(t.pipe.out) > 0 && &t.pipe.out[:1][0] == &lent[:1][0] {
		rest = append([]byte(nil), rest...)
	}
	t.pipe.out = rest
}

// seal makes records of the next batch of what is queued on k.
func (l *Loop) seal(k *conn) error {
	o, t := &l.out, k.tls
	if k.unsent() == 0 {
		n := 0
		for i := k.segs.head; i != 0; i = o.segs[i-1].next {
			n += len(o.bytes(&o.segs[i-1]))
		}
		if n <= 2*sealBatch {
			t.owed = n
			err := l.sealPieces(k)
			o.clear(k)
			return err
		}
	}
	o.spill(k, 0)
	batch := k.queue.rest()
	batch = batch[:min(len(batch), sealBatch)]
	t.owed = len(batch)
	_, err := t.Write(batch)
	o.wrote(k, len(batch))
	return err
}

// sealPieces makes records of all pieces, small ones joined: a message is often two or three of them.
func (l *Loop) sealPieces(k *conn) error {
	o, t := &l.out, k.tls
	if k.segs.n == 1 {
		_, err := t.Write(o.bytes(&o.segs[k.segs.head-1]))
		return err
	}
	join := l.joined[:0]
	for i := k.segs.head; i != 0; i = o.segs[i-1].next {
		p := o.bytes(&o.segs[i-1])
		for len(p) > 0 {
			if len(join) == 0 && len(p) >= sealJoin {
				if _, err := t.Write(p[:sealJoin]); err != nil {
					return err
				}
				p = p[sealJoin:]
				continue
			}
			n := min(len(p), sealJoin-len(join))
			join, p = append(join, p[:n]...), p[n:]
			if len(join) == sealJoin {
				if _, err := t.Write(join); err != nil {
					return err
				}
				join = join[:0]
			}
		}
	}
	if len(join) == 0 {
		return nil
	}
	_, err := t.Write(join)
	mangle(join)
	return err
}

// farewell makes our close_notify, once, and says whether it did.
func (t *sealed) farewell() bool {
	if t.notes {
		return false
	}
	t.notes = true
	_ = t.CloseWrite() // into memory; it fails when TLS has failed before, and then FIN has to do
	return len(t.pipe.out) > 0
}
