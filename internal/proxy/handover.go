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
	"cancello/internal/sqlstate"

	"golang.org/x/sys/unix"
)

// errRefused: the engine did not let the client in, and the client has been told.
var errRefused = errors.New("login refused")

// handOver gives the client's socket to the loop, with what the client sent ahead: a client may pipeline its first
// query with its startup packet, and then the socket is empty and epoll would never say a word. After an error the
// socket is still the caller's.
func (v *visit) handOver(c engine.Conn) error {
	fd, err := detach(v.nc)
	if err != nil {
		return err
	}
	first := unread(v.r)
	if !v.p.loop.Post(func(time.Duration) { v.p.loop.Adopt(c, fd, first) }) {
		unix.Close(fd)
		return sqlstate.AdminShutdown()
	}
	v.nc.Close()
	return nil
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
