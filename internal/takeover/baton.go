package takeover

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// baton decides which of two processes is in service: both hold it, and it can be taken once. Each takes it before it
// relies on being the one, so there is no moment that both could, and none that depends on a message that may be lost. It
// is an eventfd, which outlives either process.
type baton struct{ f *os.File }

// newBaton is one that nobody has taken.
func newBaton() (*baton, error) {
	fd, err := unix.Eventfd(1, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	return &baton{os.NewFile(uintptr(fd), "baton")}, nil
}

// take tells whether it was still there; then it is the caller's.
func (b *baton) take() bool {
	raw, err := b.f.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = raw.Control(func(fd uintptr) {
		var one [8]byte
		for err := error(unix.EINTR); errors.Is(err, syscall.EINTR); {
			n, err = unix.Read(int(fd), one[:])
		}
	})
	return err == nil && n == 8
}

func (b *baton) close() { b.f.Close() }
