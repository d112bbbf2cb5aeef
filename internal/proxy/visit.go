package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"cancello/internal/loop"
	"cancello/internal/sqlstate"
	"cancello/internal/wire"

	"golang.org/x/sys/unix"
)

// visit is an accepted connection that a goroutine owns until it is closed or handed to the loop: whoever needs TLS, the
// console, or anything else that takes its time.
type visit struct {
	applicant
	raw       net.Conn  // the socket
	nc        net.Conn  // what is spoken through: the socket, or tls
	tls       *loop.TLS // nil in clear
	mute      bool      // nothing can be said: a handshake is not over, or failed
	sealed    bool      // the greeting was made into records
	r         *bufio.Reader
	place     *place          // in the lobby, until it has said what it wants
	ctx       context.Context // see context
	cancelled context.CancelFunc
	asked     []byte // the last packet, whole
	long      bool   // its protocol has long keys
	guest     *Guest // it asked for the console, and may speak to it
}

// visitOf is that of a connection that an applicant has, who sent ahead what is in first.
func (p *Proxy) visitOf(a applicant, nc net.Conn, first []byte) *visit {
	return &visit{applicant: a, raw: nc, nc: nc, r: p.readers.get(nc, first)}
}

// receive is the life of a visit that has not said yet what it wants. What only a login needs, a cancel does not pay for:
// there may be many.
func (v *visit) receive() {
	p, nc := v.p, v.raw
	defer v.over()
	v.setDeadline()

	pl := p.lobby.enter(nc)
	v.place = pl
	passed, interrupted := p.arrivals.hear(nc, func() error { _, err := v.r.Peek(1); return err })
	if passed {
		p.lobby.leave(pl)
		nc.Close()
		return
	}
	if interrupted && !p.lobby.evictedFrom(pl) {
		v.setDeadline()
	}
	s, err := v.startup()
	if p.lobby.leave(pl) {
		if isTimeout(err) {
			err = crowdedOut()
		}
		v.setDeadline() // a packet that was read whole in spite of it counts
	}
	switch {
	case errors.Is(err, wire.ErrMalformedCancel):
		v.malformed(err)
		v.part()
	case err != nil:
		v.refuse(err)
		v.hangUp()
	case s.Kind == wire.CancelRequest:
		p.carrying.Add(1) // before a drain that waits for this visit can go on
		v.arrived()
		guess := v.cancel(s)
		p.carrying.Add(-1)
		if guess {
			v.hold(v.guessed())
		}
		v.part()
	case !v.stay(s):
		v.hangUp()
	}
}

// stay takes one that wants a session to its end, or to the loop: then true.
func (v *visit) stay(s wire.Startup) bool {
	v.keepClient(number(v.raw))
	v.short = v.p.fds.mayStay(number(v.raw))
	return v.settle(func() error { return v.login(s) })
}

// settle takes one to the end of its login by one of the ways there are; true: it is the loop's.
func (v *visit) settle(login func() error) bool {
	defer v.p.bind(v.raw)()
	switch err := login(); {
	case err != nil:
		v.refuse(err)
	case v.guest != nil:
		v.arrived()
		v.welcome()
	default:
		return true
	}
	return false
}

// goOn takes one on from where it was as a caller.
func (v *visit) goOn(login func() error) {
	defer v.over()
	v.setDeadline()
	if !v.settle(login) {
		v.hangUp()
	}
}

// turnAway ends one that was a caller: last says why. That is never cut short, not even where the Proxy stops.
func (v *visit) turnAway(last func()) {
	defer v.over()
	v.setDeadline()
	last()
	v.hangUp()
}

// context ends at the deadline, or with the Proxy. It is made when it is asked for.
func (v *visit) context() context.Context {
	if v.ctx == nil {
		v.ctx, v.cancelled = context.WithDeadline(v.p.ctx, v.deadline)
	}
	return v.ctx
}

// over ends the visit.
func (v *visit) over() {
	v.leaveLine()
	v.enough()
	v.arrived()
	if v.cancelled != nil {
		v.cancelled()
	}
}

// setDeadline puts the login's deadline in force, unless the Proxy has stopped: then it stays in the past.
func (v *visit) setDeadline() {
	v.raw.SetDeadline(v.deadline)
	if v.p.ctx.Err() != nil {
		v.raw.SetDeadline(longAgo)
	}
}

// refuse tells the client why it is not let in.
func (v *visit) refuse(err error) {
	if said := v.refusal(err); said != nil {
		v.say(said)
	}
}

// farewell bounds how long the last word to a client may take.
const farewell = time.Second

// say writes a last word: the deadline of the login may have passed.
func (v *visit) say(b []byte) {
	if v.mute {
		return
	}
	v.raw.SetWriteDeadline(time.Now().Add(farewell))
	v.nc.Write(b)
}

func appendError(dst []byte, e sqlstate.Error) []byte {
	return wire.AppendError(dst, e.Severity, e.Code, e.Message, e.Detail, e.Hint)
}

// oldError is an error for a client of protocol 1 or 2, which knows no length and no fields
// (send_message_to_frontend in elog.c).
func oldError(e sqlstate.Error) []byte {
	return append([]byte("E"+e.Severity+":  "+e.Message+"\n"), 0)
}

func crowdedOut() sqlstate.Error {
	return sqlstate.New(sqlstate.SeverityFatal, sqlstate.CodeTooManyConnections, "closed to make room: too many connections have not sent a startup packet")
}

// What a connection that was told to go may still send: more would be answered with a reset, which can destroy what
// was said to it.
const (
	lingerBytes = 64 << 10
	lingerTime  = time.Second
)

// hangUp closes with FIN, and close_notify before it: shut our side, drain what the client still sends, close. Meanwhile the connection counts
// as one that may be closed to make room.
func (v *visit) hangUp() {
	defer v.raw.Close()
	if v.tls != nil && !v.mute && v.p.ctx.Err() == nil {
		v.tls.CloseWrite() // it sets a deadline of its own
	}
	if half, ok := v.raw.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return
	}
	v.raw.SetReadDeadline(time.Now().Add(lingerTime))
	pl := v.p.lobby.linger(v.raw)
	defer v.p.lobby.leave(pl)
	if v.p.ctx.Err() == nil {
		io.CopyN(io.Discard, v.raw, lingerBytes)
	}
}

// part closes the connection of a cancel: at once, where nothing is left in it that would make a reset of the close, and
// nothing has to be said. Whoever sends something still then is where PostgreSQL would have put it.
func (v *visit) part() {
	if v.tls == nil && v.r.Buffered() == 0 && queued(v.raw) == 0 {
		v.p.readers.put(v.r)
		v.raw.Close()
		return
	}
	v.hangUp()
}

// queued is how many bytes the kernel has of a connection that nobody has read.
func queued(nc net.Conn) (n int) {
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) }) // it fails when nc is closed
		}
	}
	return n
}

// usualReader is the size of a bufio.Reader of which none is said.
const usualReader = 4096

// readers are the buffers of visits that are over, for those to come.
type readers struct{ pool sync.Pool }

// get is a reader of nc, behind what was read of it already.
func (r *readers) get(nc net.Conn, first []byte) *bufio.Reader {
	if len(first) > 0 {
		b := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(first), nc), len(first))
		_, _ = b.Peek(len(first)) // so that it counts as buffered
		return b
	}
	if b, ok := r.pool.Get().(*bufio.Reader); ok {
		b.Reset(nc)
		return b
	}
	return bufio.NewReaderSize(nc, usualReader)
}

func (r *readers) put(b *bufio.Reader) {
	if b.Size() < usualReader {
		return // it was made for what somebody had sent ahead
	}
	b.Reset(nil) // what it held is no longer kept alive by it
	r.pool.Put(b)
}
