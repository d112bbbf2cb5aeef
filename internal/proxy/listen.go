package proxy

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// How long accepting pauses after a failure: doubled with each failure in a row.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// acceptLogEvery bounds how often failures to accept are logged.
const acceptLogEvery = 10 * time.Second

// accept takes connections until the listener is closed. No error ends it: out of descriptors is a state that
// passes, and it makes room itself.
func (p *Proxy) accept(e *entrance) {
	defer close(e.ended)
	var pause time.Duration
	var logged time.Time
	for {
		nc, err := e.Accept()
		if err == nil {
			pause = 0
			scarce := p.makeRoomFor(nc)
			p.admit(e, nc)
			if scarce && !p.rest(acceptPauseMin) {
				return
			}
			continue
		}
		if errors.Is(err, net.ErrClosed) || p.ctx.Err() != nil {
			return
		}
		if isTimeout(err) {
			e.park(p.ctx)
			continue
		}
		made := false
		if exhausted(err) {
			p.fds.refresh()
			made = p.lobby.makeRoom(2)
		}
		if time.Since(logged) >= acceptLogEvery {
			logged = time.Now()
			p.set.Log.Error("cannot accept a connection; trying again", "listen", e.Addr().String(), "error", err.Error())
		}
		if pause = min(max(2*pause, acceptPauseMin), acceptPauseMax); made {
			pause = acceptPauseMin
		}
		if !p.rest(pause) {
			return
		}
	}
}

// makeRoomFor has the oldest connections without a startup packet go when a new one got a descriptor of the reserve:
// nobody knows yet whether it is a cancel. Two of them, for the first of which some time is needed to be told why. It
// says whether to accept more slowly, so that those who have been accepted get on.
func (p *Proxy) makeRoomFor(nc net.Conn) (scarce bool) {
	fd := number(nc)
	if fd < 0 || !p.fds.reserved(fd) {
		return false
	}
	p.lobby.makeRoom(2)
	return p.fds.scarce(fd)
}

// rest waits; false says that the Proxy has stopped.
func (p *Proxy) rest(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-p.ctx.Done():
		return false
	}
}

// listenError says in a person's words why an address can't be listened on.
func listenError(addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("cannot listen on %s: the port is in use by another process; choose another with --listen", addr)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("cannot listen on %s: not permitted; ports below 1024 need privileges", addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("cannot listen on %s: the address is not one of this machine", addr)
	}
	return fmt.Errorf("cannot listen on %s: %s", addr, netReason(err))
}

// netReason is the innermost reason of a network error, without the addresses that the caller names better.
func netReason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		if dns.IsNotFound {
			return fmt.Sprintf("host name %q is not known", dns.Name)
		}
		return fmt.Sprintf("host name %q cannot be looked up: %s", dns.Name, dns.Err)
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}
