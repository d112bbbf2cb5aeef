package takeover

import (
	"net"
	"path/filepath"
	"testing"
)

// Who waits for a link does not take the answer of who waits for the sockets, in whichever order they come.
func TestTwoWait(t *testing.T) {
	name := filepath.Join(t.TempDir(), "takeover")
	ln, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: name, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	answered := make(chan error, 1)
	go func() { answered <- answerLate(ln) }()
	s, _ := claimed(t, name, 2)
	links := make(chan error, 1)
	go func() {
		nc, err := s.Link(limited(t))
		if err == nil {
			nc.Close()
		}
		links <- err
	}()
	if err := s.Go(limited(t)); err != nil {
		t.Error(err)
	}
	if err := <-links; err != nil {
		t.Error(err)
	}
	s.Close()
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// answerLate is a process in service that says yours and then gives a link when it has been asked for both.
func answerLate(ln *net.UnixListener) error {
	c, err := ln.AcceptUnix()
	if err != nil {
		return err
	}
	defer c.Close()
	who := identity(1)
	for range 3 { // claim, and the two
		said, files, err := read(c)
		closeAll(files)
		if err != nil {
			return err
		}
		if said.Kind == claim {
			if err := write(c, packet{Kind: offer, Offer: &Offer{Who: who}}); err != nil {
				return err
			}
		}
	}
	if err := write(c, packet{Kind: yours}); err != nil {
		return err
	}
	f, err := ln.File() // any socket will do
	if err != nil {
		return err
	}
	defer f.Close()
	if err := write(c, packet{Kind: link}, int(f.Fd())); err != nil {
		return err
	}
	_, _, _ = read(c) // its end
	return nil
}
