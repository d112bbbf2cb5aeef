package takeover

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// withoutDescriptors has every descriptor more be refused to this process until the function returned runs.
func withoutDescriptors(t *testing.T) (restore func()) {
	t.Helper()
	var was unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &was))
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: was.Max}))
	restore = func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(restore)
	return restore
}

// That the old process has no descriptor free for a link is told to who asked, and ends nothing.
func TestNoDescriptorForLink(t *testing.T) {
	name := filepath.Join(t.TempDir(), "takeover")
	old := newService(t, nil)
	open(t, name, 1, old)
	s, _ := claimed(t, name, 2)
	defer s.Close()
	must(t, s.Go(limited(t)))
	old.wants("pause")
	must(t, s.Take())
	must(t, s.Serving(func(net.Listener, net.Conn) {}))
	old.wants("yield")
	restore := withoutDescriptors(t)
	nc, err := s.Link(limited(t))
	restore()
	if err == nil {
		nc.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "too many open files") {
		t.Errorf("a link without a descriptor: %v", err)
	}
	linked(t, s, old)
}

// That the new process has no descriptor free for what comes with a packet loses that, and ends nothing.
func TestNoDescriptorForWhatComes(t *testing.T) {
	name := filepath.Join(t.TempDir(), "takeover")
	ln := listenOn(t, "unixpacket", name).(*net.UnixListener)
	type accepted struct {
		c   *net.UnixConn
		err error
	}
	old := make(chan accepted, 1)
	go func() {
		c, err := ln.AcceptUnix()
		if err == nil {
			if _, _, err = read(c); err == nil {
				err = write(c, packet{Kind: offer, Offer: &Offer{Who: identity(1)}})
			}
		}
		old <- accepted{c, err}
	}()
	s, _ := claimed(t, name, 2)
	defer s.Close()
	far := <-old
	must(t, far.err)
	defer far.c.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])

	restore := withoutDescriptors(t)
	must(t, write(far.c, packet{Kind: passed}, pair[0]))
	must(t, write(far.c, packet{Kind: link}, pair[0]))
	nc, err := s.Link(limited(t))
	restore()
	if err == nil {
		nc.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "no descriptor is free") {
		t.Errorf("a link without a descriptor: %v", err)
	}
	must(t, write(far.c, packet{Kind: clients, Clients: 5}))
	must(t, write(far.c, packet{Kind: link}, pair[0]))
	nc, err = s.Link(limited(t))
	must(t, err)
	nc.Close()
	if n := s.Clients(); n != 5 {
		t.Errorf("%d clients", n)
	}
}
