package listen

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Unblock has a listening socket not block. Whether it does is for every process that has it, and systemd has it block for each
// that it starts (NonBlocking= in systemd.service(5)): an event loop would stand still until somebody comes, and a net.Listener
// could not be closed. So this is said before each accept. The descriptor is the caller's.
func Unblock(fd int) { _ = unix.SetNonblock(fd, true) } // what is closed is seen by accept

// Bounded has an accept that blocks all the same, because somebody else said so in between, give up after some milliseconds, with
// EAGAIN. A socket of MPTCP has no such bound.
func Bounded(c syscall.Conn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { bound(int(fd)) })
}

func bound(fd int) {
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 1000})
}
