package listen

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const patience = 30 * time.Second

// opened is what Go knows, detached.
func opened(t *testing.T, network, address string, owned bool) *Socket {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s, ok := Detach(ln, owned).(*Socket)
	if !ok {
		t.Fatalf("%T was not detached", ln)
	}
	t.Cleanup(func() { s.Close() })
	if s.Addr().String() != ln.Addr().String() {
		t.Errorf("it is at %v, and was at %v", s.Addr(), ln.Addr())
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Go still has it: %v", err)
	}
	return s
}

// descriptor is what an event loop would take.
func descriptor(t *testing.T, s *Socket) int {
	t.Helper()
	raw, err := s.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd := -1
	if err := raw.Control(func(n uintptr) { fd = int(n) }); err != nil {
		t.Fatal(err)
	}
	return fd
}

// Whoever has the descriptor accepts, without blocking.
func TestDetachedListens(t *testing.T) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		s := opened(t, network, address, true)
		fd := descriptor(t, s)
		if _, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC); err != unix.EAGAIN {
			t.Errorf("%s: with nobody there: %v", network, err)
		}
		c, err := net.DialTimeout(network, s.Addr().String(), patience)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience/time.Millisecond)); n != 1 {
			t.Fatalf("%s: %v", network, err)
		}
		n, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if err != nil {
			t.Fatalf("%s: %v", network, err)
		}
		unix.Close(n)
		if _, err := s.Accept(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", network, err)
		}
	}
}

// No epoll of this process looks after it: that of Go's poller would wake for each connection.
func TestDetachedIsNobodysToWatch(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	watched := func(of any) bool {
		t.Helper()
		raw, err := of.(syscall.Conn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var at unix.Stat_t
		if err := raw.Control(func(fd uintptr) { err = unix.Fstat(int(fd), &at) }); err != nil {
			t.Fatal(err)
		}
		return inSomeEpoll(t, at.Ino)
	}
	if !watched(ln) {
		t.Fatal("Go's own listener is in no epoll: this test can tell nothing")
	}
	s := Detach(ln, true).(*Socket)
	defer s.Close()
	if watched(s) {
		t.Error("it is still in an epoll")
	}
}

// The file of a Unix socket goes with whoever owns it.
func TestFileOfASocket(t *testing.T) {
	for _, c := range []struct {
		owned, later, stays bool
	}{{owned: true, later: true}, {owned: false, later: false, stays: true}, {owned: false, later: true}, {owned: true, later: false, stays: true}} {
		path := filepath.Join(t.TempDir(), "s")
		s := opened(t, "unix", path, c.owned)
		if _, err := os.Lstat(path); err != nil {
			t.Fatalf("it went with Go's listener: %v", err)
		}
		s.SetUnlinkOnClose(c.later)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(path); (err == nil) != c.stays {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Somebody else who has the socket may have it block: whoever accepts there waits for a moment at most.
func TestMadeToBlock(t *testing.T) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		c := net.ListenConfig{}
		c.SetMultipathTCP(false)
		ln, err := c.Listen(t.Context(), network, address)
		if err != nil {
			t.Fatal(err)
		}
		s := Detach(ln, true).(*Socket)
		defer s.Close()
		fd := descriptor(t, s)
		if err := unix.SetNonblock(fd, false); err != nil {
			t.Fatal(err)
		}
		accepted := make(chan error, 1)
		go func() {
			_, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
			accepted <- err
		}()
		select {
		case err := <-accepted:
			if err != unix.EAGAIN {
				t.Errorf("%s: %v", network, err)
			}
		case <-time.After(patience):
			t.Fatalf("%s: it waits for somebody", network)
		}
	}
}

func TestClosedTwice(t *testing.T) {
	s := opened(t, "tcp", "127.0.0.1:0", true)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
	raw, _ := s.SyscallConn()
	if err := raw.Control(func(uintptr) { t.Error("a closed descriptor was given") }); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}

// What is no socket of the system's stays as it is.
func TestNotDetached(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	wrapped := struct{ net.Listener }{ln}
	if got := Detach(wrapped, true); got != net.Listener(wrapped) {
		t.Errorf("%T", got)
	}
}
