package proxy

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How long accepting pauses after a failure: doubled with each failure in a row.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// acceptLogEvery bounds how often failures to accept are logged.
const acceptLogEvery = 10 * time.Second

// attend has connections be accepted as they come. On the loop.
func (p *Proxy) attend(e *entrance) {
	if err := p.loop.Watch(e.fd, func(now time.Duration) bool { return p.accept(now, e) }); err != nil {
		p.acceptFailed(e, err)
	}
}

// accept takes one of the connections that have come, and says whether to look for another. No error ends it: out of
// descriptors is a state that passes, and it makes room itself. On the loop.
func (p *Proxy) accept(now time.Duration, e *entrance) (more bool) {
	fd, from, err := e.next()
	switch {
	case err == nil:
		e.pause = 0
		scarce := p.makeRoomFor(fd)
		p.call(now, e, fd, from)
		if scarce {
			p.rest(e, acceptPauseMin)
		}
		return !scarce
	case errors.Is(err, unix.EAGAIN):
		return false
	case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
		return true
	}
	p.acceptFailed(e, err)
	return false
}

// acceptFailed makes room, if that is what is missing, and has the next try be made later.
func (p *Proxy) acceptFailed(e *entrance, err error) {
	made := false
	if exhausted(err) {
		p.fds.refresh()
		made = p.lobby.makeRoom(2)
	}
	if time.Since(e.logged) >= acceptLogEvery {
		e.logged = time.Now()
		p.soon(func() { // who reads the log may be stuck
			p.set.Log.Error("cannot accept a connection; trying again", "listen", e.Addr().String(), "error", err.Error())
		})
	}
	if e.pause = min(max(2*e.pause, acceptPauseMin), acceptPauseMax); made {
		e.pause = acceptPauseMin
	}
	p.rest(e, e.pause)
}

// makeRoomFor has the oldest connections without a startup packet go when a new one got a descriptor of the reserve:
// nobody knows yet whether it is a cancel. Two of them, for the first of which some time is needed to be told why. It
// says whether to accept more slowly, so that those who have been accepted get on.
func (p *Proxy) makeRoomFor(fd int) (scarce bool) {
	if !p.fds.reserved(fd) {
		return false
	}
	p.lobby.makeRoom(2)
	return p.fds.scarce(fd)
}

// rest accepts nothing for a while. On the loop.
func (p *Proxy) rest(e *entrance, d time.Duration) {
	p.loop.Forget(e.fd)
	time.AfterFunc(d, func() {
		p.loop.Post(func(time.Duration) {
			if e.open {
				p.loop.Forget(e.fd) // a pause that ended meanwhile has begun to watch
				p.attend(e)
			}
		})
	})
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
