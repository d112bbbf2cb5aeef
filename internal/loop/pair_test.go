package loop

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds each single wait of a test: far more than a loaded machine needs.
const patience = 60 * time.Second

// await takes what comes from ch, and fails the test with every goroutine's stack if nothing does: a loop that hangs
// must say where.
func await[T any](t testing.TB, what string, ch <-chan T) (got T) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case got = <-ch:
	case <-limit.C:
		stacks := make([]byte, 1<<20)
		t.Fatalf("not within %v: %s\n%s", patience, what, stacks[:runtime.Stack(stacks, true)])
	}
	return got
}

// tcpPair is a connection over loopback with small buffers, so that it is soon full. It blocks no longer than patience,
// and whoever else connects to its port meanwhile is turned away: other packages' tests look for free ports, too.
func tcpPair(t testing.TB) (near int, far *peer) {
	t.Helper()
	near, fd, err := connectedPair(patience)
	if err != nil {
		t.Fatal(err)
	}
	return near, &peer{fd}
}

func connectedPair(limit time.Duration) (near, far int, err error) {
	listener, addr, err := listenAnywhere()
	if err != nil {
		return -1, -1, err
	}
	defer unix.Close(listener)
	far, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, -1, err
	}
	near = -1
	defer func() {
		if err == nil {
			return
		}
		unix.Close(far)
		if near >= 0 {
			unix.Close(near)
		}
		near, far = -1, -1
	}()
	until := time.Now().Add(limit)
	if err = unix.SetsockoptInt(far, unix.SOL_SOCKET, unix.SO_RCVBUF, 128<<10); err != nil {
		return near, far, err
	}
	if err = unix.Connect(far, addr); err != nil && err != unix.EINPROGRESS {
		return near, far, fmt.Errorf("connect: %w", err)
	}
	if err = waitFor(far, unix.POLLOUT, until); err != nil {
		return near, far, fmt.Errorf("connect: %w", err)
	}
	if err = socketError(far); err != nil {
		return near, far, fmt.Errorf("connect: %w", err)
	}
	if near, err = acceptFrom(listener, far, until); err != nil {
		return near, far, fmt.Errorf("accept: %w", err)
	}
	if err = unix.SetsockoptInt(near, unix.SOL_SOCKET, unix.SO_SNDBUF, 128<<10); err != nil {
		return near, far, err
	}
	for _, s := range []int{near, far} {
		if err = unix.SetsockoptInt(s, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return near, far, err
		}
	}
	return near, far, nil
}

func listenAnywhere() (listener int, addr unix.Sockaddr, err error) {
	listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, nil, err
	}
	if err = unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		if err = unix.Listen(listener, 16); err == nil {
			addr, err = unix.Getsockname(listener)
		}
	}
	if err != nil {
		unix.Close(listener)
		return -1, nil, err
	}
	return listener, addr, nil
}

// acceptFrom accepts the connection of far, and closes everybody else's.
func acceptFrom(listener, far int, until time.Time) (int, error) {
	ours, err := unix.Getsockname(far)
	if err != nil {
		return -1, err
	}
	for {
		near, from, err := unix.Accept4(listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		switch err {
		case nil:
			if *from.(*unix.SockaddrInet4) == *ours.(*unix.SockaddrInet4) {
				return near, nil
			}
			unix.Close(near)
		case unix.EAGAIN:
			if err := waitFor(listener, unix.POLLIN, until); err != nil {
				return -1, err
			}
		case unix.EINTR, unix.ECONNABORTED:
		default:
			return -1, err
		}
	}
}

// waitFor waits until fd is ready for what events tells.
func waitFor(fd int, events int16, until time.Time) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	for {
		left := time.Until(until)
		if left <= 0 {
			return unix.ETIMEDOUT
		}
		n, err := unix.Poll(fds, int(left.Milliseconds())+1)
		if err != nil && err != unix.EINTR {
			return err
		}
		if n > 0 {
			return nil
		}
	}
}

// block makes blockingRead and blockingWrite wait, for patience at most.
func (p *peer) block(t testing.TB) {
	t.Helper()
	if err := unix.SetNonblock(p.fd, false); err != nil {
		t.Fatal(err)
	}
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		tv := unix.NsecToTimeval(patience.Nanoseconds())
		if err := unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, option, &tv); err != nil {
			t.Fatal(err)
		}
	}
}

// A call with a limit of time is not taken up again by the kernel when a signal of Go's scheduler interrupts it.

func (p *peer) blockingRead(b []byte) (int, error) {
	for {
		if n, err := unix.Read(p.fd, b); err != unix.EINTR {
			return n, err
		}
	}
}

func (p *peer) blockingWrite(b []byte) (int, error) {
	for {
		if n, err := unix.Write(p.fd, b); err != unix.EINTR {
			return n, err
		}
	}
}

func TestTCPPairTurnsStrangersAway(t *testing.T) {
	listener, addr, err := listenAnywhere()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(listener)
	var ours int
	for i := range 3 { // the third is ours: two strangers stand before it
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, addr); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			ours = fd
		}
	}
	near, err := acceptFrom(listener, ours, time.Now().Add(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(near)
	if _, err := unix.Write(ours, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := waitReadable(near, patience); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2)
	if n, err := unix.Read(near, b); n != 1 || err != nil {
		t.Errorf("read %d bytes, %v: it is a stranger's connection", n, err)
	}
	if _, err := acceptFrom(listener, ours, time.Now().Add(10*time.Millisecond)); err != unix.ETIMEDOUT {
		t.Errorf("nobody came, and accept says %v", err)
	}
}
