package loop

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"cancello/internal/engine"
)

// interest is what every connection is registered for, once.
const interest = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLPRI | unix.EPOLLRDHUP | unix.EPOLLET

// epoll is one epoll instance and the eventfd that interrupts its wait.
//
// Calls that never block are made raw: the scheduler need not hear of a call that is over in microseconds, and
// telling it costs more than some of them.
type epoll struct {
	fd     int
	bell   int
	events [256]unix.EpollEvent
}

func (e *epoll) open() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return err
	}
	e.fd, e.bell = fd, bell
	if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, bell, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		e.close()
		return err
	}
	return nil
}

func (e *epoll) close() {
	unix.Close(e.bell)
	unix.Close(e.fd)
}

// add registers fd under the name c and makes sure that it can't block the loop.
func (e *epoll) add(fd int, c engine.Conn) error {
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	ev := unix.EpollEvent{Events: interest, Fd: int32(c.Index()), Pad: int32(generation(c))}
	return unix.EpollCtl(e.fd, unix.EPOLL_CTL_ADD, fd, &ev)
}

// await registers fd, under the name of the i-th wait.
func (e *epoll) await(fd int, i uint32, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(awaited(i).Index())}
	return unix.EpollCtl(e.fd, unix.EPOLL_CTL_ADD, fd, &ev)
}

// remove is said before close, since a duplicate held elsewhere would keep the registration.
func (e *epoll) remove(fd int) {
	// It fails for a descriptor that was never added, which is as good.
	_ = unix.EpollCtl(e.fd, unix.EPOLL_CTL_DEL, fd, nil)
}

// poll waits for at most the given milliseconds, or until one of the runtime's signals comes, without a word to the
// scheduler, which takes the loop for running all the while.
func (e *epoll) poll(timeout int) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.fd), uintptr(unsafe.Pointer(&e.events[0])),
		uintptr(len(e.events)), uintptr(timeout), 0, 0)
	if errno == unix.EINTR {
		return 0, nil
	}
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// wait blocks for at most the given milliseconds, and the scheduler knows.
func (e *epoll) wait(timeout int) (int, error) {
	n, err := unix.EpollWait(e.fd, e.events[:], timeout)
	if err == unix.EINTR {
		return 0, nil
	}
	return max(n, 0), err
}

// event is the i-th event of the last poll or wait. Name 0 is the bell.
func (e *epoll) event(i int) (engine.Conn, uint32) {
	ev := &e.events[i]
	return engine.MakeConn(uint32(ev.Fd), uint32(ev.Pad)), ev.Events
}

// silence takes the ring off the bell.
func (e *epoll) silence() {
	var count [8]byte
	_, _ = unix.Read(e.bell, count[:])
}

// ringBell interrupts a wait. It can fail only when the bell has been rung four billion times unheard.
func ringBell(bell int) {
	one := [8]byte{1}
	_, _ = unix.Write(bell, one[:])
}

func readFD(fd int, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

func writeFD(fd int, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
			unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

func writevFD(fd int, iov []unix.Iovec) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// nap blocks the thread, without a word to the scheduler. A signal ends it.
func nap(d time.Duration) {
	ts := unix.NsecToTimespec(d.Nanoseconds())
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// punctual has the thread's short waits end when they should, instead of up to 50 us later; false: as usual again.
func punctual(yes bool) {
	slack := uintptr(0) // the thread's default
	if yes {
		slack = 1
	}
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, slack, 0, 0, 0)
}

func again(err error) bool { return err == unix.EAGAIN }

func closeFD(fd int) { unix.Close(fd) }

// shutdownFD sends FIN.
func shutdownFD(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) }

// socketError takes the error the kernel holds for fd, nil if there is none.
func socketError(fd int) error {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return err
	case n != 0:
		return unix.Errno(n)
	}
	return nil
}

// unread is how many bytes fd holds for reading. A FIN doesn't count.
func unread(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
	if err != nil {
		return 0
	}
	return n
}
