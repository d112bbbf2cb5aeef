package peer

import (
	"bufio"
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"cancello/internal/event"
	"cancello/internal/relay"
	"cancello/internal/wire"
)

// maxUnproven is how many connections there may be at a time that have not proved to be a node's: one more closes the oldest
// of them, so whoever hoards connections keeps no node out.
const maxUnproven = 100

// Listen opens the peers' listener, or takes ln if that is not nil; nobody is accepted before Serve. It may be called once.
// The error is for people.
func (h *Hub) Listen(address string, ln net.Listener) error {
	if ln == nil {
		var err error
		if ln, err = net.Listen("tcp", address); err != nil {
			return fmt.Errorf("cannot listen on peer_listen = %s: %s", address, why(err))
		}
	}
	h.listener = ln
	return nil
}

// Serve accepts peers, where there is a listener. It is called once.
func (h *Hub) Serve() {
	if ln := h.listener; ln != nil {
		h.running.Go(func() { h.accept(ln) })
	}
}

// Listener is what peers are accepted by; nil: nothing.
func (h *Hub) Listener() net.Listener { return h.listener }

// Yield accepts no more: another process does, of which the other nodes are told. Links stay.
func (h *Hub) Yield() {
	if h.listener != nil {
		h.listener.Close()
	}
	h.mail.post(func(time.Duration) {
		h.own.yielded = true
		for _, s := range h.own.sessions {
			if !s.far.Kin {
				s.say(relay.Yielded{})
			}
		}
	})
}

// Addr is where peers reach this node, with the real port where it was 0; nil: nowhere.
func (h *Hub) Addr() net.Addr {
	if h.listener == nil {
		return nil
	}
	return h.listener.Addr()
}

func (h *Hub) accept(ln net.Listener) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			if h.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			h.unproven.evict() // the most likely reason is that descriptors have run out
			select {
			case <-time.After(pauseMin):
			case <-h.ctx.Done():
			}
			continue
		}
		h.running.Go(func() { h.receive(nc) })
	}
}

// receive is the life of one accepted connection.
func (h *Hub) receive(nc net.Conn) {
	nc.SetDeadline(time.Now().Add(helloTime))
	place := h.unproven.enter(h.ctx, nc)
	unbind := context.AfterFunc(h.ctx, func() { nc.SetDeadline(longAgo) })
	r := bufio.NewReader(nc)
	first, err := r.Peek(1)
	switch {
	case err != nil:
	case first[0] != recordHandshake:
		h.receivePlain(place.ctx, nc, r)
	default:
		var s *session
		s, err = h.answer(buffered{nc, r})
		if err == nil {
			h.unproven.leave(place)
			unbind()
			s.run()
			s.hangUp()
			return
		}
		if !errors.Is(err, errSpare) && h.ctx.Err() == nil {
			h.set.Emit(event.PeerRefused{Remote: nc.RemoteAddr().String(), Reason: why(err)})
		}
	}
	unbind()
	hangUp(place.ctx, nc)
	h.unproven.leave(place)
}

// recordHandshake is the first byte of a TLS connection, and none of a CancelRequest.
const recordHandshake = 0x16

// answer is the listener's part of the proof: it says nothing before the other end has proved itself, and answers when it
// has been let in, so that who hears the answer knows that there is a link.
func (h *Hub) answer(raw net.Conn) (*session, error) {
	nc := tls.Server(raw, h.tls)
	if err := nc.Handshake(); err != nil {
		return nil, fmt.Errorf("no TLS: %w", err)
	}
	binding, err := bindingOf(nc)
	if err != nil {
		return nil, err
	}
	return h.hear(nc, binding, false)
}

// hear is that over any connection. Without a binding it is one that only another process of this node can have.
func (h *Hub) hear(nc net.Conn, binding []byte, kin bool) (*session, error) {
	secrets := h.live.Load().Secrets
	far, err := readHello(nc)
	if err != nil {
		return nil, err
	}
	if err := far.judge(dialer, secrets, binding); err != nil {
		return nil, err
	}
	s := newSession(h, nc, far.far(kin), false)
	if err := h.admit(s); err != nil {
		return nil, err
	}
	if _, err := nc.Write(h.hello(listener, secrets, binding)); err != nil {
		s.end(why(err))
	}
	return s, nil
}

// receivePlain takes a CancelRequest in clear, which is all that may come without TLS. It returns when nothing holds the
// connection any more, or ctx ends.
func (h *Hub) receivePlain(ctx context.Context, nc net.Conn, r *bufio.Reader) {
	began := h.set.Now()
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return
	}
	n, err := wire.StartupLen(head[:])
	if err != nil {
		return
	}
	packet := make([]byte, n)
	copy(packet, head[:])
	if _, err := io.ReadFull(r, packet[len(head):]); err != nil {
		return
	}
	switch s, err := wire.ParseStartup(packet); {
	case errors.Is(err, wire.ErrMalformedCancel):
		h.set.Emit(event.CancelSettled{Outcome: event.Malformed, Remote: nc.RemoteAddr().String(), Took: h.set.Now() - began})
	case err == nil && s.Kind == wire.CancelRequest:
		h.set.Cancel(ctx, nc.RemoteAddr().String(), s.PID, s.Key)
	}
}

// buffered is a connection of which something was read ahead.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

// Read gives what was read ahead first.
func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// unproven are the connections that have not proved to be a node's, the oldest in front. Each has its place until it is
// closed, or has proved itself.
type unproven struct {
	mu    sync.Mutex
	queue list.List // of *place
}

// place is one connection's.
type place struct {
	nc   net.Conn
	at   *list.Element
	ctx  context.Context // ends when the place is another one's
	lose context.CancelFunc
}

// enter takes a place, if need be the oldest one's. What waits at that one's connection ends, and what waits by its ctx.
func (u *unproven) enter(ctx context.Context, nc net.Conn) *place {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.queue.Len() >= maxUnproven {
		u.evictOldest()
	}
	p := &place{nc: nc}
	p.ctx, p.lose = context.WithCancel(ctx)
	p.at = u.queue.PushBack(p)
	return p
}

// leave gives the place up, if it is still there.
func (u *unproven) leave(p *place) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.queue.Remove(p.at)
	p.lose()
}

// evict closes the oldest connection, if there is one.
func (u *unproven) evict() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.evictOldest()
}

func (u *unproven) evictOldest() {
	if front := u.queue.Front(); front != nil {
		p := u.queue.Remove(front).(*place)
		p.lose()
		p.nc.SetDeadline(longAgo)
	}
}
