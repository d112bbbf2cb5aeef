package listen

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Socket is a listening socket whose descriptor is for an event loop. It is a net.Listener that does not accept.
type Socket struct {
	addr net.Addr

	mu     sync.Mutex
	fd     int  // -1: closed
	unlink bool // its file goes with it
}

var (
	_ net.Listener = (*Socket)(nil)
	_ syscall.Conn = (*Socket)(nil)
)

// Detach makes a Socket of a TCP or Unix listener, which is closed; owned says that the file of a Unix socket goes with the
// Socket, as SetUnlinkOnClose does. Where that can't be done, it gives ln back, which is as good, but for its cost.
func Detach(ln net.Listener, owned bool) net.Listener {
	c, ok := ln.(syscall.Conn)
	if !ok {
		return ln
	}
	fd, err := Duplicate(c)
	if err != nil {
		return ln
	}
	Unlink(ln, false)
	ln.Close() // its number is free again; the socket is that of fd, too
	bound(fd)
	return &Socket{addr: ln.Addr(), fd: fd, unlink: owned}
}

// Duplicate gives another descriptor of what c has, still non-blocking: File().Fd() could make both of them block.
func Duplicate(c syscall.Conn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd = -1
	if e := raw.Control(func(orig uintptr) { fd, err = unix.FcntlInt(orig, unix.F_DUPFD_CLOEXEC, 0) }); e != nil {
		return -1, e
	}
	return fd, err
}

// Unlink says whether the file of a Unix socket goes with ln when that is closed; others have none.
func Unlink(ln net.Listener, goes bool) {
	if l, ok := ln.(interface{ SetUnlinkOnClose(bool) }); ok {
		l.SetUnlinkOnClose(goes)
	}
}

// Accept fails: connections are for who has the descriptor.
func (s *Socket) Accept() (net.Conn, error) { return nil, errors.ErrUnsupported }

// Addr is where it listens.
func (s *Socket) Addr() net.Addr { return s.addr }

// SetUnlinkOnClose says whether the file of a Unix socket goes with it.
func (s *Socket) SetUnlinkOnClose(unlink bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlink = unlink
}

// Close closes the descriptor. The error is net.ErrClosed if it was closed before.
func (s *Socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 {
		return net.ErrClosed
	}
	if a, ok := s.addr.(*net.UnixAddr); ok && s.unlink && a.Name != "" && a.Name[0] != '@' {
		_ = unix.Unlink(a.Name) // somebody may have done so before
	}
	fd := s.fd
	s.fd = -1
	return os.NewSyscallError("close", unix.Close(fd))
}

// SyscallConn gives the descriptor, for as long as Control runs.
func (s *Socket) SyscallConn() (syscall.RawConn, error) { return control{s}, nil }

// control is the part of a syscall.RawConn that makes sense here.
type control struct{ s *Socket }

// Control runs f, in which the descriptor is open. The error is net.ErrClosed if it is not any more.
func (c control) Control(f func(fd uintptr)) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.fd < 0 {
		return net.ErrClosed
	}
	f(uintptr(c.s.fd))
	return nil
}

// Read fails: nothing is read from a listening socket.
func (c control) Read(func(fd uintptr) bool) error { return errors.ErrUnsupported }

// Write fails likewise.
func (c control) Write(func(fd uintptr) bool) error { return errors.ErrUnsupported }
