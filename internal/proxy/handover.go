package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"cancello/internal/engine"
	"cancello/internal/loop"
	"cancello/internal/sqlstate"

	"golang.org/x/sys/unix"
)

// errRefused: the engine did not let the client in, and the client has been told.
var errRefused = errors.New("login refused")

// handOver is the way of a client's socket from its goroutine to the loop.
type handOver struct {
	conn  engine.Conn
	first []byte // what the client sent ahead
	rest  []byte // of the greeting
	fd    int    // the loop's duplicate of the socket; -1: there is none yet
	tried bool   // the socket was given some of the greeting
	begun bool   // and took some
	done  bool   // the loop has fd
	err   error
}

// newHandOver begins one. What the client sent ahead goes with it: it may pipeline its first query with its startup
// packet, and then the socket is empty and epoll would never say a word.
func (v *visit) newHandOver(c engine.Conn, greeting []byte) *handOver {
	return &handOver{conn: c, first: unread(v.r), rest: greeting, fd: -1}
}

// handOver greets the client and gives its socket to the loop, as far as that has not been done. After an error the
// socket is still the caller's.
func (v *visit) handOver(h *handOver) error {
	for !h.done && h.err == nil {
		if h.tried {
			if h.err = v.pause(); h.err != nil {
				break
			}
		}
		if err := v.p.onLoop(func(time.Duration) { v.greet(h) }); err != nil {
			h.err = err
		}
	}
	if h.err == nil {
		v.raw.Close()
		return nil
	}
	if h.fd >= 0 {
		unix.Close(h.fd)
	}
	if v.sealed || h.begun { // not wrapped: nothing more can be said in the middle of a message
		return fmt.Errorf("the client did not take its greeting: %v", h.err)
	}
	return h.err
}

// greet writes what the socket takes of the greeting, on the loop, in the turn in which that adopts the socket: a client
// that has been greeted may send a query and cancel it at once, and the loop must be able to look into its socket when that
// cancel comes.
func (v *visit) greet(h *handOver) {
	if h.fd < 0 {
		if h.fd, h.err = v.p.detach(v.raw); h.err != nil {
			return
		}
	}
	if v.tls != nil && !v.sealed {
		v.sealed = true // from here on the loop has v.tls
		if h.rest, h.err = v.tls.Sealed(h.rest); h.err != nil {
			return
		}
	}
	n, err := unix.Write(h.fd, h.rest)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		n = 0
	case err != nil:
		h.err = err
		return
	}
	h.tried, h.begun = true, h.begun || n > 0
	if h.rest = h.rest[n:]; len(h.rest) == 0 {
		adopt(v.p.loop, h.conn, h.fd, v.tls, h.first)
		h.done = true
	}
}

// onLoop runs f on the loop and waits until it has, which is soon: nothing there waits for anybody. The error says that it
// never will.
func (p *Proxy) onLoop(f func(now time.Duration)) error {
	if p.Do(context.Background(), f) != nil {
		return sqlstate.AdminShutdown()
	}
	return nil
}

// adopt gives a socket to the loop, with its TLS if it has one.
func adopt(l *loop.Loop, c engine.Conn, fd int, t *loop.TLS, first []byte) {
	if t != nil {
		l.AdoptTLS(c, fd, t, first)
		return
	}
	l.Adopt(c, fd, first)
}

// fullPause is how long a socket that is full, which a greeting hardly ever makes it, is left alone.
const fullPause = 10 * time.Millisecond

func (v *visit) pause() error {
	select {
	case <-time.After(fullPause):
		return nil
	case <-v.context().Done():
		return v.context().Err()
	}
}

// detach is detach, but takes no descriptor of those kept for cancels.
func (p *Proxy) detach(nc net.Conn) (fd int, err error) {
	if fd, err = detach(nc); err == nil && p.fds.reserved(fd) {
		unix.Close(fd)
		return -1, errNoDescriptor{p.fds.limit.Load()}
	}
	return fd, err
}

// detach duplicates the descriptor of nc, still non-blocking: File().Fd() would make both of them block.
func detach(nc net.Conn) (fd int, err error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("%T has no descriptor", nc)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd = -1
	if err := raw.Control(func(orig uintptr) {
		var dup error
		if fd, dup = unix.FcntlInt(orig, unix.F_DUPFD_CLOEXEC, 0); dup != nil {
			err = os.NewSyscallError("fcntl", dup)
		}
	}); err != nil {
		return -1, err
	}
	return fd, err
}

// unread is a copy of what r holds, nil for nothing.
func unread(r *bufio.Reader) []byte {
	n := r.Buffered()
	if n == 0 {
		return nil
	}
	b, _ := r.Peek(n)
	return append([]byte(nil), b...)
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
