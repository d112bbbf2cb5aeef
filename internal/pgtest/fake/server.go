package fake

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Method is how the backend asks who a client is.
type Method uint8

// The methods.
const (
	Trust Method = iota
	Cleartext
	MD5
	SCRAM
)

// CancelStyle is what happens to the connection of a CancelRequest after the signal.
type CancelStyle uint8

// The styles.
const (
	CloseIt  CancelStyle = iota // closed with FIN, as PostgreSQL
	HoldIt                      // never closed and not acted upon, as PGlite
	ResetIt                     // acted upon, then RST
	AnswerIt                    // acted upon, then a byte before the close
)

// Config is how a Server behaves. The zero value is a PostgreSQL 18 that trusts everybody.
type Config struct {
	Auth     Method
	User     string // who may log in, unless Auth is Trust
	Password string

	// Key makes the cancel key of a new session; see NoKey, EmptyKey, ZeroKey, RandomKey. Nil: four random bytes.
	Key func() (key []byte, send bool)
	// SamePID is the pid of every session, if not zero.
	SamePID uint32
	// KeyFirst sends BackendKeyData before the first ParameterStatus instead of after the last.
	KeyFirst bool
	// Params are the ParameterStatus messages, names and values in turn. Nil: those of DefaultParams.
	Params []string
	// Refuse names startup parameters that are refused, with the SQLSTATE of the FATAL.
	Refuse map[string]string
	// Greet replaces everything after the startup packet has been read, up to the ReadyForQuery.
	Greet func(s *Session)
	// TLS lets clients encrypt, by SSLRequest or directly. Nil: declined.
	TLS *tls.Config
	// AnswerSSL replaces the 'S' or 'N', and whatever is behind it comes in clear with it.
	AnswerSSL []byte
	// RefuseTLS and RefuseClear are the SQLSTATE of the FATAL for startup packets over TLS and in clear.
	RefuseTLS, RefuseClear string
	// Cancel is how CancelRequests end.
	Cancel CancelStyle
	// CancelDelay is how long the signal of a CancelRequest is delayed after it was read.
	CancelDelay time.Duration
	// Forgetful sessions keep nothing for Seen: memory is being counted.
	Forgetful bool
	// Query replaces Answer.
	Query func(s *Session, sql string)
}

// DefaultParams are the ParameterStatus of a PostgreSQL 18 that a proxy cares for.
func DefaultParams() []string {
	return []string{
		"in_hot_standby", "off", "integer_datetimes", "on", "TimeZone", "Etc/UTC", "IntervalStyle", "postgres",
		"search_path", `"$user", public`, "is_superuser", "on", "application_name", "", "default_transaction_read_only", "off",
		"scram_iterations", "4096", "DateStyle", "ISO, MDY", "standard_conforming_strings", "on",
		"session_authorization", "postgres", "client_encoding", "UTF8", "server_version", "18.4", "server_encoding", "UTF8",
	}
}

// Server is a scripted backend on a port of its own.
type Server struct {
	Config
	ln net.Listener
	wg sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	pid      uint32
	open     map[net.Conn]bool
	sessions []*Session
	cancels  []CancelSeen
	accepted int
	changed  chan struct{} // closed and replaced whenever something above changes
	quit     chan struct{} // closed by Close
}

// CancelSeen is a CancelRequest that came in.
type CancelSeen struct {
	PID     uint32
	Key     []byte
	Matched bool
	TLS     bool
}

// NewServer starts a backend; it ends with the test.
func NewServer(t testing.TB, c Config) *Server {
	t.Helper()
	s, err := Start(c)
	if err != nil {
		t.Fatalf("fake server: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Start starts a backend that the caller closes.
func Start(c Config) (*Server, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{Config: c, ln: ln, pid: 1000, open: map[net.Conn]bool{}, changed: make(chan struct{}), quit: make(chan struct{})}
	s.wg.Go(func() { s.accept(ln) })
	return s, nil
}

// Serve takes connections from one more listener, which is closed with the Server.
func (s *Server) Serve(ln net.Listener) {
	s.wg.Go(func() { s.accept(ln) })
	s.wg.Go(func() {
		<-s.quit
		ln.Close()
	})
}

// Addr is where it listens.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// Port is the port of Addr.
func (s *Server) Port() int { return s.ln.Addr().(*net.TCPAddr).Port }

// Close closes the listener and every connection and waits for the goroutines.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.closed {
		close(s.quit)
	}
	s.closed = true
	for nc := range s.open {
		nc.Close()
	}
	s.mu.Unlock()
	s.ln.Close()
	s.wg.Wait()
}

// Accepted is how many connections have come in, those of cancels included.
func (s *Server) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Sessions are all sessions that sent a startup packet, the ended ones too, in order.
func (s *Server) Sessions() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Session(nil), s.sessions...)
}

// Cancels are all CancelRequests that came in, in order.
func (s *Server) Cancels() []CancelSeen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]CancelSeen(nil), s.cancels...)
}

// Await waits until ok, called with nothing locked, says so; it fails the test after Patience. ok is asked
// whenever a connection, a session, a message or a cancel has come or gone.
func (s *Server) Await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := time.After(Patience)
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if ok() {
			return
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("fake server: %s: not within %v", what, Patience)
		}
	}
}

// note runs f locked and wakes Await.
func (s *Server) note(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) accept(ln net.Listener) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		refused := false
		s.note(func() {
			refused = s.closed
			s.open[nc] = true
			s.accepted++
		})
		if refused {
			nc.Close()
			return
		}
		s.wg.Go(func() {
			s.serve(nc)
			nc.Close()
			s.note(func() { delete(s.open, nc) })
		})
	}
}

// serve reads the first packet and does what it asks for.
func (s *Server) serve(nc net.Conn) {
	r := bufio.NewReader(nc)
	raw := nc
	encrypted := false
	begin := func() bool {
		t := tls.Server(behind{nc, r}, s.TLS)
		if t.Handshake() != nil {
			return false
		}
		nc, r, encrypted = t, bufio.NewReader(t), true
		return true
	}
	if b, err := r.Peek(1); s.TLS != nil && err == nil && b[0] == 0x16 && !begin() {
		return
	}
	for {
		pkt, err := readPacket(r)
		if err != nil {
			return
		}
		switch code := binary.BigEndian.Uint32(pkt); code {
		case SSLCode:
			switch {
			case s.AnswerSSL != nil:
				nc.Write(s.AnswerSSL)
			case s.TLS == nil || encrypted:
				nc.Write([]byte("N"))
			default:
				nc.Write([]byte("S"))
			}
			if s.TLS != nil && !encrypted && !begin() {
				return
			}
		case GSSCode:
			nc.Write([]byte("N"))
		case CancelCode:
			if len(pkt) >= 8 {
				s.cancel(nc, raw, encrypted, binary.BigEndian.Uint32(pkt[4:]), pkt[8:])
			}
			return
		default:
			if refuse := s.refusal(encrypted); refuse != "" {
				nc.Write(Error("FATAL", refuse, "no pg_hba.conf entry"))
				return
			}
			s.session(nc, r, code, pkt[4:])
			return
		}
	}
}

func (s *Server) refusal(encrypted bool) string {
	if encrypted {
		return s.RefuseTLS
	}
	return s.RefuseClear
}

// behind is a connection of which a reader may hold some.
type behind struct {
	net.Conn
	r io.Reader
}

func (b behind) Read(p []byte) (int, error) { return b.r.Read(p) }

// CloseWrite sends FIN, without a close_notify.
func (b behind) CloseWrite() error { return b.Conn.(*net.TCPConn).CloseWrite() }

// readPacket reads a startup packet and returns what follows its length.
func readPacket(r io.Reader) ([]byte, error) {
	var h [4]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(h[:])
	if n < 8 || n > 10000 {
		return nil, io.ErrUnexpectedEOF
	}
	pkt := make([]byte, n-4)
	_, err := io.ReadFull(r, pkt)
	return pkt, err
}

func (s *Server) cancel(nc, raw net.Conn, encrypted bool, pid uint32, key []byte) {
	var hit *Session
	s.note(func() {
		for _, x := range s.sessions {
			if x.PID == pid && x.live && len(key) > 0 && string(x.Key) == string(key) {
				hit = x
			}
		}
		s.cancels = append(s.cancels, CancelSeen{PID: pid, Key: key, Matched: hit != nil, TLS: encrypted})
	})
	if s.CancelDelay > 0 {
		select {
		case <-time.After(s.CancelDelay):
		case <-s.quit:
		}
	}
	if s.Config.Cancel == HoldIt {
		io.Copy(io.Discard, nc) // until the other side gives up, or Close
		return
	}
	if hit != nil {
		hit.signal()
	}
	switch s.Config.Cancel {
	case ResetIt:
		raw.(*net.TCPConn).SetLinger(0)
	case AnswerIt:
		nc.Write(Error("FATAL", "08P01", "a cancel is not answered"))
	}
}
