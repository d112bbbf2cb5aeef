package takeover

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cancello/internal/listen"
)

// Host is the process that others may take over from. Its methods are called from goroutines of a Place.
type Host interface {
	// Offer is what there is to take over, without who offers it, and the listeners of its sockets, which stay the
	// host's.
	Offer() (Offer, []syscall.Conn)
	// Pause stops accepting: when it returns, whatever was accepted is served here, and everything else waits in the
	// sockets' queues. Resume undoes that.
	Pause()
	Resume()
	// Yield gives the sockets up for good, and drains. What was accepted from one that was taken and has not said a
	// word is passed on, if pass can.
	Yield(to Identity, taken []bool, pass func(socket int, nc syscall.Conn) bool)
	// Link takes a stream for cancels to another process of the node, which is the host's to close. ended is closed when
	// that process has ended, or has given up its claim.
	Link(to Identity, nc net.Conn, ended <-chan struct{})
	// Clients is how many clients there still are.
	Clients() int
}

const (
	helloTime   = 10 * time.Second // for the first packet
	readyTime   = time.Minute      // from the claim to the go
	servingTime = 10 * time.Second // from there on until it takes the baton
	countEvery  = time.Second      // how often the successor is told of clients
)

// serve is one session with another process.
func (p *Place) serve(c *net.UnixConn) {
	if _, err := own(c); err != nil {
		p.log.Warn("takeover: refused", "reason", err.Error())
		return
	}
	ended := make(chan struct{})
	defer close(ended)
	p.limit(c, helloTime)
	first, files, err := read(c)
	closeAll(files)
	if err != nil {
		return // it only looked whether somebody is here
	}
	switch {
	case first.Version != version || first.Who == nil:
		_ = write(c, packet{Kind: refuse, Reason: "the running process does not understand this version of Cancello: restart it instead"})
	case first.Kind == claim:
		p.claimed(c, *first.Who, ended)
	case first.Kind == follow:
		if write(c, packet{Kind: offer, Offer: &Offer{Who: p.who}}) == nil {
			p.stay(c, *first.Who, ended)
		}
	}
}

// limit bounds the next waits on c, unless the Place is being closed: then it stays in the past.
func (p *Place) limit(c *net.UnixConn, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
	case d == 0:
		c.SetDeadline(time.Time{})
	default:
		c.SetDeadline(time.Now().Add(d))
	}
}

// say writes within a limit of its own, and leaves that of a read which waits meanwhile as it is.
func (p *Place) say(c *net.UnixConn, what packet, fds ...int) error {
	p.mu.Lock()
	if !p.closed {
		c.SetWriteDeadline(time.Now().Add(servingTime))
	}
	p.mu.Unlock()
	return write(c, what, fds...)
}

// move goes from one state to another, and tells why that can't be.
func (p *Place) move(from, to state) (why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.service == from {
		p.service = to
		return ""
	}
	return [...]string{
		coming: "the process that listens there is not in service itself yet: try again", present: "nobody has asked",
		asked: "another process is about to take over: try again", gone: "another process has taken over already: try again",
	}[p.service]
}

// claimed is a takeover.
func (p *Place) claimed(c *net.UnixConn, who Identity, ended <-chan struct{}) {
	if why := p.move(present, asked); why != "" {
		_ = write(c, packet{Kind: refuse, Reason: why})
		return
	}
	p.log.Info("takeover: another process asks for what this one listens on", "process", who.PID)
	b, err := newBaton()
	if err != nil {
		_ = write(c, packet{Kind: refuse, Reason: "it cannot be passed on who serves: " + err.Error()})
		p.move(asked, present)
		return
	}
	defer b.close()
	taken, err := p.untilReady(c, who, b, ended)
	ready := err == nil
	if ready {
		p.host.Pause()
		err = p.give(c, who, b, ended)
	}
	switch {
	case err == nil:
	case p.closing(): // what is left of the service is the other one's
		p.log.Warn("takeover: this process stops while another one takes over", "process", who.PID)
		return
	default:
		if ready {
			p.host.Resume()
			_ = p.point() // it may have led to the other one already
		}
		p.move(asked, present)
		p.log.Warn("takeover: the other process did not get ready; this one goes on", "process", who.PID, "reason", err.Error())
		return
	}
	p.move(asked, gone)
	p.log.Info("takeover: another process is in service now; draining", "process", who.PID)
	p.host.Yield(who, taken, func(socket int, nc syscall.Conn) bool {
		fd, err := listen.Duplicate(nc)
		if err != nil {
			return false
		}
		defer unix.Close(fd)
		return p.say(c, packet{Kind: passed, Socket: socket}, fd) == nil
	})
	p.stay(c, who, ended)
}

// untilReady offers what there is, until the other process says go. After an error the baton is this process's, unless it
// stops.
func (p *Place) untilReady(c *net.UnixConn, who Identity, b *baton, ended <-chan struct{}) (taken []bool, err error) {
	p.limit(c, readyTime)
	defer func() {
		if err != nil {
			p.reclaim(b)
		}
	}()
	what, sockets := p.host.Offer()
	what.Who = p.who
	fds := make([]int, 0, len(sockets)+1)
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	for _, s := range append(slices.Clip(sockets), b.f) {
		fd, err := listen.Duplicate(s)
		if err != nil {
			_ = write(c, packet{Kind: refuse, Reason: "its sockets cannot be passed on: " + err.Error()})
			return nil, err
		}
		fds = append(fds, fd)
	}
	if err := write(c, packet{Kind: offer, Offer: &what}, fds...); err != nil {
		return nil, err
	}
	for {
		said, files, err := read(c)
		closeAll(files)
		switch {
		case err != nil:
			return nil, err
		case said.Kind == link:
			if err := p.link(c, who, ended); err != nil {
				return nil, err
			}
		case said.Kind == ready:
			taken = make([]bool, len(sockets))
			copy(taken, said.Taken)
			return taken, nil
		}
	}
}

// give says that nothing is accepted here any more, and waits until the other process accepts. After an error it does not,
// and this one may, unless it stops: the baton was not taken by the other one, which can't take it any more, or that has
// ended.
func (p *Place) give(c *net.UnixConn, who Identity, b *baton, ended <-chan struct{}) error {
	p.limit(c, p.patience)
	if err := write(c, packet{Kind: yours}); err != nil {
		p.reclaim(b)
		return err
	}
	for {
		said, files, err := read(c)
		closeAll(files)
		switch {
		case err == nil && said.Kind == serving:
			return nil
		case err == nil && said.Kind == link: // one broke since it was ready
			_ = p.link(c, who, ended)
		case err == nil:
		case p.closing() || hasEnded(err):
			p.reclaim(b)
			return err
		case p.reclaim(b):
			return fmt.Errorf("it did not begin to serve within %v: %w", p.patience, err)
		default:
			p.log.Warn("takeover: the other process is in service, and does not say so yet", "process", who.PID)
			p.limit(c, 0) // it says so, or ends: whatever becomes of it is told
		}
	}
}

// hasEnded tells whether an error is the end of the other process, or of its part in the takeover.
func hasEnded(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// reclaim takes the baton back, unless this process stops: then it is left to the other one.
func (p *Place) reclaim(b *baton) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.stopping && b.take()
}

// link makes a stream between the two, and passes one end. If it can't be had, the other process is told so, and asks again:
// that no descriptor is free passes, and is no end of either.
func (p *Place) link(c *net.UnixConn, who Identity, ended <-chan struct{}) error {
	err := p.newLink(c, who, ended)
	if err != nil {
		_ = p.say(c, packet{Kind: link, Reason: err.Error()})
	}
	return err
}

func (p *Place) newLink(c *net.UnixConn, who Identity, ended <-chan struct{}) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	mine, theirs := os.NewFile(uintptr(pair[0]), "link"), os.NewFile(uintptr(pair[1]), "link")
	defer mine.Close()
	defer theirs.Close()
	nc, err := net.FileConn(mine)
	if err != nil {
		return err
	}
	if err := p.say(c, packet{Kind: link}, pair[1]); err != nil {
		nc.Close()
		return err
	}
	p.host.Link(who, nc, ended)
	return nil
}

// stay tells a process that came later how many clients are left, and gives it streams, until one of the two ends.
func (p *Place) stay(c *net.UnixConn, who Identity, ended <-chan struct{}) {
	p.limit(c, 0)
	counted := make(chan struct{})
	defer func() { <-counted }()
	defer c.SetDeadline(longAgo)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		defer close(counted)
		p.count(c, stop)
	}()
	for {
		said, files, err := read(c)
		closeAll(files)
		if err != nil {
			return
		}
		if said.Kind == link {
			_ = p.link(c, who, ended)
		}
	}
}

// count says how many clients there are, as often as that changes and a second has passed.
func (p *Place) count(c *net.UnixConn, stop <-chan struct{}) {
	every := time.NewTicker(countEvery)
	defer every.Stop()
	for last := -1; ; {
		if n := p.host.Clients(); n != last {
			last = n
			if p.say(c, packet{Kind: clients, Clients: n}) != nil {
				return
			}
		}
		select {
		case <-every.C:
		case <-stop:
			return
		}
	}
}
