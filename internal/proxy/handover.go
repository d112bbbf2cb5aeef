package proxy

import (
	"bufio"
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

// handOver greets the client and gives its socket to the loop, with what the client sent ahead: it may pipeline its
// first query with its startup packet, and then the socket is empty and epoll would never say a word. After an
// error the socket is still the caller's.
//
// The loop itself writes the greeting, in the turn in which it adopts the socket: a client that has been greeted may
// send a query and cancel it at once, and the loop must be able to look into its socket when that cancel comes.
func (v *visit) handOver(c engine.Conn, greeting []byte) error {
	fd, err := v.p.detach(v.raw)
	if err != nil {
		return err
	}
	first, whole := unread(v.r), len(greeting)
	for len(greeting) > 0 {
		if greeting, err = v.greet(c, fd, first, greeting); err == nil && len(greeting) > 0 {
			err = v.pause()
		}
		if err != nil {
			unix.Close(fd)
			if v.sealed || len(greeting) < whole { // not wrapped: nothing more can be said in the middle of a message
				err = fmt.Errorf("the client did not take its greeting: %v", err)
			}
			return err
		}
	}
	v.raw.Close()
	return nil
}

// greet has the loop write what the socket takes of the greeting, and returns the rest. When there is none the loop
// has fd.
func (v *visit) greet(c engine.Conn, fd int, first, greeting []byte) (rest []byte, err error) {
	type outcome struct {
		rest []byte
		err  error
	}
	result := make(chan outcome, 1)
	if !v.p.loop.Post(func(time.Duration) {
		if v.tls != nil && !v.sealed {
			v.sealed = true // from here on the loop has v.tls
			var err error
			if greeting, err = v.tls.Sealed(greeting); err != nil {
				result <- outcome{greeting, err}
				return
			}
		}
		n, err := unix.Write(fd, greeting)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			n, err = 0, nil
		}
		if n == len(greeting) {
			adopt(v.p.loop, c, fd, v.tls, first)
		}
		result <- outcome{greeting[max(n, 0):], err}
	}) {
		return greeting, sqlstate.AdminShutdown()
	}
	select {
	case o := <-result:
		return o.rest, o.err
	case <-v.p.ended: // it has run by now, or never will
	}
	select {
	case o := <-result:
		return o.rest, o.err
	default:
		return greeting, sqlstate.AdminShutdown()
	}
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
	case <-v.ctx.Done():
		return v.ctx.Err()
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
