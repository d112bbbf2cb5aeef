package fake

import (
	"bytes"
	"encoding/binary"
	"net"
	"sync"
	"time"
)

// work is something that a session runs or waits for.
type work struct {
	kind string // "query", "extended", "copy-out", "copy-in", "waiting"
	once sync.Once
	stop chan struct{} // closed to end it
}

func newWork(kind string) *work { return &work{kind: kind, stop: make(chan struct{})} }

func (w *work) end() { w.once.Do(func() { close(w.stop) }) }

func (w *work) ended() bool {
	select {
	case <-w.stop:
		return true
	default:
		return false
	}
}

// begin makes something the session's work.
func (c *Session) begin(kind string) *work {
	w := newWork(kind)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.work = w
	// A statement that was sent together with the one cancelled before begins at once, and meets the second signal.
	second := c.server.knobs.Cancel.Twice && kind == "query" && time.Since(c.last) < 5*time.Millisecond
	if kind != "waiting" && c.due || second {
		c.due = false
		w.end()
	}
	return w
}

func (c *Session) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.work = nil
}

// cancel is a CancelRequest. It returns when the connection is to be closed.
func (s *Server) cancel(nc net.Conn, packet []byte, secure bool) {
	k := s.knobs.Cancel
	s.mu.Lock()
	s.requests++
	dropped := k.Ignore || k.DropNth > 0 && s.requests%k.DropNth == 0 || k.FromTLS && secure || k.FromText && !secure ||
		k.Busy > 0 && s.busy() >= k.Busy
	s.mu.Unlock()
	if !dropped && len(packet) >= 12 {
		for _, c := range s.named(binary.BigEndian.Uint32(packet[8:]), packet[12:]) {
			if k.Lag > 0 {
				time.AfterFunc(k.Lag, func() { s.interrupt(c) })
			} else {
				s.interrupt(c)
			}
		}
	}
	switch {
	case k.Answer:
		_, _ = nc.Write(message('C', []byte("CANCEL\x00")))
	case k.KeepOpen:
		hang(nc)
	case k.Reset:
		if tcp, ok := nc.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	}
}

// busy counts sessions at work. The server's mutex is held.
func (s *Server) busy() int {
	n := 0
	for _, c := range s.sessions {
		c.mu.Lock()
		if c.work != nil {
			n++
		}
		c.mu.Unlock()
	}
	return n
}

// named are the sessions that a request means.
func (s *Server) named(pid uint32, key []byte) []*Session {
	k := s.knobs.Cancel
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Session
	for p, c := range s.sessions {
		secret := bytes.Equal(key, c.key) || k.AnySecret || k.NoKey && len(key) == 0 ||
			k.Prefix && len(key) > 0 && bytes.HasPrefix(c.key, key) || k.Suffix && bytes.HasPrefix(key, c.key)
		everybody := k.Zeros && pid == 0 && len(bytes.Trim(key, "\x00")) == 0
		if everybody || secret && (p == pid || k.AnyPID) {
			all = append(all, c)
		}
	}
	if !k.Stranger && !k.KeysLive {
		return all
	}
	for i, c := range all {
		c.mu.Lock()
		gone := c.gone
		c.mu.Unlock()
		for _, other := range s.sessions {
			other.mu.Lock()
			if other != c && other.work != nil && (k.Stranger || gone) {
				all[i] = other
			}
			other.mu.Unlock()
		}
	}
	return all
}

// interrupt ends what a session does.
func (s *Server) interrupt(c *Session) {
	k := s.knobs
	c.mu.Lock()
	defer c.mu.Unlock()
	switch w := c.work; {
	case w == nil:
		c.due = c.due || k.Cancel.Sticky || k.Cancel.Second && c.recent()
	case w.kind == k.Cancel.Deaf || (c.front.secure && k.Cancel.ForTLS) || (!c.front.secure && k.Cancel.ForText):
	case w.ended():
		c.due = c.due || k.Cancel.Second
	default:
		w.end()
		c.last = time.Now()
		s.pool.mu.Lock()
		s.pool.wake.Broadcast()
		s.pool.mu.Unlock()
	}
}

// recent says whether the session was just cancelled. Its mutex is held.
func (c *Session) recent() bool { return time.Since(c.last) < 30*time.Millisecond }
