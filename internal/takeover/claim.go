package takeover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrNobody: no process listens there.
var ErrNobody = errors.New("no process is in service there")

// Session is what goes on between this process and one that was in service before it. End it with Close.
type Session struct {
	// Offer is what the other process has.
	Offer Offer
	// Path is its own socket.
	Path string

	baton   *baton // nil: it is not for this process to serve in its place
	mine    bool   // it is
	c       *net.UnixConn
	sockets *Sockets
	pass    atomic.Pointer[passing]
	links   chan answer
	yours   chan answer
	ended   chan struct{}
	clients atomic.Int64
}

// passing is what becomes of connections that the other process had accepted.
type passing struct {
	to    func(ln net.Listener, nc net.Conn)
	taken map[int]net.Listener
}

type answer struct {
	packet
	files []*os.File
}

// Claim asks the process in service at name for what it listens on. The sockets are put to those in given.
func Claim(ctx context.Context, name string, who Identity, given *Sockets) (*Session, error) {
	s, files, err := dial(ctx, name, claim, who)
	if err != nil {
		return nil, err
	}
	s.Path, s.sockets = name+"."+s.Offer.Who.Incarnation, given
	if len(files) > 0 {
		s.baton, files = &baton{files[len(files)-1]}, files[:len(files)-1]
	}
	if err := given.add(s.Offer.Sockets, files); err != nil {
		s.c.Close()
		if s.baton != nil {
			s.baton.close()
		}
		return nil, err
	}
	go s.listen()
	return s, nil
}

// followPause is between two tries to follow a process that breaks it off.
const followPause = 10 * time.Millisecond

// Follow begins a session with a process whose successor was taken over from; path is its own socket. One that breaks it off
// ends, and nobody is there soon.
func Follow(ctx context.Context, path string, who Identity) (*Session, error) {
	s, files, err := dial(ctx, path, follow, who)
	for hasEnded(err) && ctx.Err() == nil {
		select {
		case <-time.After(followPause):
		case <-ctx.Done():
		}
		s, files, err = dial(ctx, path, follow, who)
	}
	closeAll(files)
	if err != nil {
		return nil, err
	}
	s.Path = path
	go s.listen()
	return s, nil
}

// dial connects and says what for.
func dial(ctx context.Context, path string, what kind, who Identity) (*Session, []*os.File, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unixpacket", path)
	if err != nil {
		if nobody(err) {
			err = ErrNobody
		}
		return nil, nil, err
	}
	c := nc.(*net.UnixConn)
	s := &Session{c: c, links: make(chan answer, 4), yours: make(chan answer, 1), ended: make(chan struct{})}
	files, err := s.greet(ctx, what, who)
	if err != nil {
		c.Close()
	}
	return s, files, err
}

func (s *Session) greet(ctx context.Context, what kind, who Identity) ([]*os.File, error) {
	if _, err := own(s.c); err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		s.c.SetDeadline(deadline)
		defer s.c.SetDeadline(time.Time{})
	}
	if err := write(s.c, packet{Kind: what, Version: version, Who: &who}); err != nil {
		return nil, err
	}
	said, files, err := read(s.c)
	switch {
	case err != nil:
		return nil, fmt.Errorf("it does not answer: %w", err)
	case said.Kind == offer && said.Offer != nil:
		s.Offer = *said.Offer
		return files, nil
	}
	closeAll(files)
	return nil, fmt.Errorf("process %s", said.Reason)
}

// listen takes what the other process says until one of the two ends.
func (s *Session) listen() {
	defer close(s.ended)
	for {
		said, files, err := read(s.c)
		if err != nil && !errors.Is(err, errCutOff) { // with that one the other process is there as before
			return
		}
		switch said.Kind {
		case clients:
			s.clients.Store(int64(said.Clients))
		case passed:
			s.take(said.Socket, files)
		case link:
			if put(s.links, answer{said, files}) {
				continue
			}
		case yours:
			if put(s.yours, answer{said, files}) {
				continue
			}
		}
		closeAll(files)
	}
}

// put tells whether there was room: there is none where nobody asked.
func put(to chan<- answer, a answer) bool {
	select {
	case to <- a:
		return true
	default:
		return false
	}
}

// take takes a connection that was accepted there.
func (s *Session) take(socket int, files []*os.File) {
	pass := s.pass.Load()
	if pass == nil || len(files) != 1 {
		return
	}
	ln := pass.taken[socket]
	nc, err := net.FileConn(files[0])
	if err != nil {
		return
	}
	if ln == nil {
		nc.Close()
		return
	}
	if l, ok := ln.(syscall.Conn); ok {
		if tcp, ok := nc.(*net.TCPConn); ok {
			likeListener(l, tcp)
		}
	}
	pass.to(ln, nc)
}

// await waits for the answer to a question: each kind comes by a channel of its own, so that two may wait at a time.
func (s *Session) await(ctx context.Context, answers <-chan answer) (answer, error) {
	select {
	case a := <-answers:
		return a, nil
	case <-s.ended:
		return answer{}, errors.New("the running process broke it off")
	case <-ctx.Done():
		return answer{}, fmt.Errorf("the running process does not answer: %w", ctx.Err())
	}
}

// Link asks for a stream to the other process, which is the caller's. One may ask at a time.
func (s *Session) Link(ctx context.Context) (net.Conn, error) {
	if err := write(s.c, packet{Kind: link}); err != nil {
		return nil, err
	}
	a, err := s.await(ctx, s.links)
	if err != nil {
		return nil, err
	}
	defer closeAll(a.files)
	if len(a.files) != 1 {
		return nil, fmt.Errorf("no stream came: %s", cmp.Or(a.packet.Reason, errCutOff.Error()))
	}
	return net.FileConn(a.files[0])
}

// Go says that this process is ready. When it returns without an error the other one accepts nothing, and will accept
// again unless Take follows, or has ended. What was not taken from the sockets it closes.
func (s *Session) Go(ctx context.Context) error {
	err := write(s.c, packet{Kind: ready, Taken: s.sockets.claimed(len(s.Offer.Sockets))})
	if err == nil {
		_, err = s.await(ctx, s.yours)
	}
	if err == nil {
		return nil
	}
	select {
	case <-s.ended:
	case <-ctx.Done():
		return err
	}
	if s.Take() == nil { // it has not taken it, so it has not gone on: it was killed
		return nil
	}
	return err
}

// Take has this process be the one in service, for good: nothing that can fail may follow. The error says that the other
// one is, and will be.
func (s *Session) Take() error {
	if s.mine = s.mine || s.baton.take(); s.mine {
		return nil
	}
	return errors.New("the running process goes on, since this one did not begin to serve in time: try again when the machine is less busy")
}

// Serving says that this process accepts. Connections that the other one had accepted and that have said nothing come to
// pass from then on. An error says that the other one has ended.
func (s *Session) Serving(pass func(ln net.Listener, nc net.Conn)) error {
	s.pass.Store(&passing{pass, s.sockets.taken})
	return write(s.c, packet{Kind: serving})
}

// Forget lets go of the secrets that came with the offer, and wipes those that are none of kept.
func (s *Session) Forget(kept ...[]byte) {
	for _, secret := range s.Offer.Secrets {
		if !slices.ContainsFunc(kept, func(k []byte) bool { return len(k) > 0 && len(secret) > 0 && &k[0] == &secret[0] }) {
			clear(secret)
		}
	}
	s.Offer.Secrets, s.Offer.Own, s.Offer.Mock = nil, nil, nil
}

// Clients is how many clients the other process had when it last said so.
func (s *Session) Clients() int { return int(s.clients.Load()) }

// Ended is closed when the other process has ended, or the session.
func (s *Session) Ended() <-chan struct{} { return s.ended }

// Close ends the session; before Serving, the other process goes on as if nothing had been.
func (s *Session) Close() {
	s.c.SetDeadline(longAgo)
	<-s.ended
	s.c.Close()
	if s.baton != nil {
		s.baton.close()
	}
	for {
		select {
		case a := <-s.links:
			closeAll(a.files)
		default:
			return
		}
	}
}
