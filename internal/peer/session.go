package peer

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"cancello/internal/relay"
)

const (
	// maxQueue is what may wait for a link that reads slowly, in bytes: some thousands of messages.
	maxQueue = 1 << 20
	// writeTime bounds one write: pings find a dead link earlier, but not one that takes a byte now and then.
	writeTime = 5 * time.Second
	// lastTime bounds what is written at the end: TLS has a last word, which only reaches who has read what was before.
	lastTime = time.Second
)

// session is one connection of a link, from its proof to its end.
type session struct {
	h      *Hub
	id     relay.Link // from admit on
	nc     net.Conn
	far    relay.Far
	dialed bool // by us
	// address is where a peer was dialed.
	address string
	// sure says that the other end has let this session in, too: who dialed knows by the answer, the other one by the first
	// message. On the hub's goroutine.
	sure bool
	// passed is closed when the other end has said that another process has its place. On the hub's goroutine.
	passed chan struct{}

	mu     sync.Mutex
	queue  []byte
	reason string // why it ended; empty: it has not
	more   chan struct{}
	over   chan struct{}
}

func newSession(h *Hub, nc net.Conn, far relay.Far, dialed bool) *session {
	return &session{h: h, nc: nc, far: far, dialed: dialed, more: make(chan struct{}, 1), over: make(chan struct{}), passed: make(chan struct{})}
}

// lower tells whether the lower of the two nodes dialed it.
func (s *session) lower() bool { return s.dialed == (s.h.set.Node < s.far.Node) }

// say queues a message. Who does not read loses the link.
func (s *session) say(m relay.Message) {
	s.mu.Lock()
	full := len(s.queue) >= maxQueue
	if !full {
		s.queue = relay.Append(s.queue, m)
	}
	s.mu.Unlock()
	if full {
		s.end("it reads too slowly")
		return
	}
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// end closes the session; the first reason counts, which is never empty.
func (s *session) end(reason string) {
	s.mu.Lock()
	first := s.reason == ""
	if first {
		s.reason = reason
		close(s.over)
	}
	s.mu.Unlock()
	if first {
		s.nc.SetReadDeadline(longAgo) // what has been read is the last
		s.nc.SetWriteDeadline(time.Now().Add(lastTime))
	}
}

// longAgo as a deadline ends waits at once.
var longAgo = time.Unix(1, 0)

// run speaks on an admitted session until it ends. hangUp is due then.
func (s *session) run() {
	s.nc.SetDeadline(time.Time{})
	select {
	case <-s.over: // before that
		s.nc.SetReadDeadline(longAgo)
		s.nc.SetWriteDeadline(time.Now().Add(lastTime))
	default:
	}
	defer context.AfterFunc(s.h.ctx, func() { s.end("this node stops") })()
	var writing sync.WaitGroup
	writing.Go(s.write)
	s.end(s.read())
	writing.Wait()
	s.h.mail.post(func(now time.Duration) { s.h.left(now, s) })
}

// hangUp closes the connection such that the other end hears it: what is still unread would break it off.
func (s *session) hangUp() { hangUp(s.h.ctx, s.nc) }

func hangUp(ctx context.Context, nc net.Conn) {
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(lastTime))
	defer context.AfterFunc(ctx, func() { nc.SetDeadline(longAgo) })()
	if c, ok := nc.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		io.CopyN(io.Discard, nc, maxQueue)
	}
}

func (s *session) write() {
	var spare []byte
	for {
		over := false
		select {
		case <-s.more:
		case <-s.over:
			over = true
		}
		s.mu.Lock()
		p := s.queue
		s.queue = spare[:0]
		if s.reason == "" { // else the deadline of the end must stand
			s.nc.SetWriteDeadline(time.Now().Add(writeTime))
		}
		s.mu.Unlock()
		if over && len(p) == 0 {
			return
		}
		if _, err := s.nc.Write(p); err != nil {
			s.end(why(err))
			return
		}
		spare = p
	}
}

// read passes messages on, each when the one before has been dealt with: who sends too many waits.
func (s *session) read() (reason string) {
	r := bufio.NewReader(s.nc)
	var header [relay.HeaderLen]byte
	var body []byte
	for first := !s.dialed; ; {
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return why(err)
		}
		n, err := relay.BodyLen(header[:])
		if err != nil {
			return err.Error()
		}
		if cap(body) < n {
			body = make([]byte, n)
		}
		if _, err := io.ReadFull(r, body[:n]); err != nil {
			return why(err)
		}
		m, err := relay.Parse(body[:n])
		switch {
		case err != nil:
			return err.Error()
		case m == nil: // a later version's
			continue
		}
		if !s.h.do(func(now time.Duration) {
			if first {
				s.h.confirm(s)
			}
			if _, ok := m.(relay.Yielded); ok {
				s.h.yielded(s)
			}
			s.h.relay.Heard(now, s.id, m)
		}) {
			return "this node stops"
		}
		first = false
	}
}

// why is a network error for people, without the addresses.
func why(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "it closed the connection"
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return "its name cannot be looked up: " + dns.Err
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "it does not answer"
	}
	return err.Error()
}
