package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"cancello/internal/config"
)

const (
	// helloTime bounds a connection until its end has proved itself: the dial, TLS and both hellos.
	helloTime = 5 * time.Second
	// The pause before a dial that failed is tried again: the first, and the longest.
	pauseMin = 50 * time.Millisecond
	pauseMax = time.Second
)

// keepDialing keeps a link to the process that is in service as a peer up, until ctx ends. It does nothing while there is one,
// whoever dialed it.
func (h *Hub) keepDialing(ctx context.Context, p config.Peer, needed <-chan struct{}) {
	pause := time.Duration(0)
	for ctx.Err() == nil {
		linked := true
		if !h.do(func(time.Duration) { linked = h.current(p.Number()) }) {
			return
		}
		if linked {
			pause = 0
			select {
			case <-needed:
			case <-ctx.Done():
			}
			continue
		}
		s, err := h.dial(ctx, p)
		if err == nil {
			h.serve(s)
			pause = pauseMin // to one that hangs up at once
		} else if !errors.Is(err, errSpare) && ctx.Err() == nil {
			h.mail.post(func(time.Duration) { h.undialed(p, why(err)) })
		}
		if pause > 0 || err != nil {
			pause = min(max(2*pause, pauseMin), pauseMax)
			select {
			case <-time.After(pause/2 + rand.N(pause)): // nodes that lost one another don't dial in step
			case <-ctx.Done():
			}
		}
	}
}

// serve speaks on a session that was dialed, and returns when there has to be another one.
func (h *Hub) serve(s *session) {
	over := make(chan struct{})
	h.running.Go(func() {
		s.run()
		close(over)
		s.hangUp()
	})
	select {
	case <-over:
	case <-s.passed:
	}
}

// dial opens a session with a peer, both ends proven and admitted.
func (h *Hub) dial(ctx context.Context, p config.Peer) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTime)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", p.Address)
	if err != nil {
		return nil, err
	}
	s, err := h.greet(ctx, raw, p)
	if err != nil {
		h.running.Go(func() { hangUp(h.ctx, raw) })
	}
	return s, err
}

func (h *Hub) greet(ctx context.Context, raw net.Conn, p config.Peer) (*session, error) {
	defer context.AfterFunc(ctx, func() { raw.SetDeadline(longAgo) })()
	nc := tls.Client(raw, h.tls)
	if err := nc.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("no TLS: %w", err)
	}
	binding, err := bindingOf(nc)
	if err != nil {
		return nil, err
	}
	far, err := h.say(nc, binding)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, refusal("it closed the connection instead of proving itself: its log says why; are cluster_secret and the list of peers right on both nodes?")
	case err != nil:
		return nil, err
	case far.node != p.Number():
		return nil, refusal(fmt.Sprintf("at %s there is node %d: correct the peer's address or number", p.Address, far.node))
	}
	s := newSession(h, nc, far.far(false), true)
	s.address = p.Address
	return s, h.admit(s)
}

// say is the dialer's part of the proof: it speaks first.
func (h *Hub) say(nc net.Conn, binding []byte) (*hello, error) {
	secrets := h.live.Load().Secrets
	if _, err := nc.Write(h.hello(dialer, secrets, binding)); err != nil {
		return nil, err
	}
	far, err := readHello(nc)
	if err != nil {
		return nil, err
	}
	return far, far.judge(listener, secrets, binding)
}

// hello is ours.
func (h *Hub) hello(as role, secrets [][]byte, binding []byte) []byte {
	mine := &hello{newest: version, oldest: version, role: as, node: h.set.Node, incarnation: h.set.Incarnation}
	mine.prove(secrets, binding)
	return mine.append(nil)
}
