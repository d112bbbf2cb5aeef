package fake

import (
	"bufio"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net"
	"sync"

	"github.com/xdg-go/scram"
)

// Session is one login to a Server. What the handlers of Config get may be used by that handler only, but for
// the fields marked as fixed.
type Session struct {
	Server  *Server // fixed
	Version uint32  // fixed
	PID     uint32  // fixed
	Key     []byte  // fixed
	Conn    net.Conn
	Status  byte // transaction status: I, T or E

	params map[string]string // fixed
	r      *bufio.Reader
	live   bool // guarded by Server.mu

	mu      sync.Mutex
	running chan struct{} // closed by a cancel; nil while idle: then a cancel is swallowed
	seen    []Message     // what came after login
}

// TLS says whether the session is encrypted.
func (s *Session) TLS() bool { _, ok := s.Conn.(*tls.Conn); return ok }

// Param is a startup parameter, empty when it was not sent.
func (s *Session) Param(name string) string { return s.params[name] }

// Has says whether a startup parameter was sent.
func (s *Session) Has(name string) bool { _, ok := s.params[name]; return ok }

// Seen is every message received after login, in order.
func (s *Session) Seen() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.seen...)
}

// Send writes messages.
func (s *Session) Send(msgs ...[]byte) error {
	_, err := s.Conn.Write(Join(msgs...))
	return err
}

// Read reads the next message and records it.
func (s *Session) Read() (Message, error) {
	m, err := readMessage(s.r)
	if err == nil {
		if !s.Server.Forgetful {
			s.mu.Lock()
			s.seen = append(s.seen, m)
			s.mu.Unlock()
		}
		s.Server.note(func() {})
	}
	return m, err
}

// Run blocks as a running query does: it returns true when a cancel comes, false when stop (which may be nil) or
// the Server is closed. Nothing is read meanwhile, so the going of the client is not noticed.
func (s *Session) Run(stop <-chan struct{}) bool {
	c := make(chan struct{})
	s.mu.Lock()
	s.running = c
	s.mu.Unlock()
	s.Server.note(func() {})
	defer func() {
		s.mu.Lock()
		s.running = nil
		s.mu.Unlock()
	}()
	select {
	case <-c:
		return true
	case <-stop:
		return false
	case <-s.Server.quit:
		return false
	}
}

// Running says whether a Run is under way, so whether a cancel would hit.
func (s *Session) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running != nil
}

// signal is what a CancelRequest does to the session.
func (s *Session) signal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		close(s.running)
		s.running = nil
	}
}

// NoKey sends no BackendKeyData, as AWS RDS Proxy.
func NoKey() ([]byte, bool) { return nil, false }

// EmptyKey sends a BackendKeyData with a pid and no key.
func EmptyKey() ([]byte, bool) { return []byte{}, true }

// ZeroKey sends four zero bytes, as Doltgres.
func ZeroKey() ([]byte, bool) { return make([]byte, 4), true }

// RandomKey returns a maker of keys of n bytes.
func RandomKey(n int) func() ([]byte, bool) {
	return func() ([]byte, bool) {
		b := make([]byte, n)
		rand.Read(b)
		return b, true
	}
}

// session logs a client in and answers it until it goes.
func (s *Server) session(nc net.Conn, r *bufio.Reader, version uint32, kv []byte) {
	x := &Session{Server: s, Version: version, Conn: nc, Status: 'I', params: map[string]string{}, r: r}
	list := Message{Body: kv}.Strings()
	for i := 0; i+1 < len(list); i += 2 {
		x.params[list[i]] = list[i+1]
	}
	makeKey := s.Config.Key
	if makeKey == nil {
		makeKey = RandomKey(4)
	}
	var sendKey bool
	x.Key, sendKey = makeKey()
	s.note(func() {
		s.pid++
		x.PID = s.pid
		if s.SamePID != 0 {
			x.PID = s.SamePID
		}
		x.live = true
		s.sessions = append(s.sessions, x)
	})
	defer s.note(func() { x.live = false })
	if s.Greet != nil {
		s.Greet(x)
	} else if !x.Greet(sendKey) {
		return
	}
	x.answerAll()
}

// Greet does the whole login: refused parameters, authentication, parameters, key, ReadyForQuery.
func (s *Session) Greet(sendKey bool) bool {
	for name, code := range s.Server.Refuse {
		if s.Has(name) {
			s.Send(Error("FATAL", code, `unrecognized configuration parameter "`+name+`"`))
			return false
		}
	}
	if err := s.authenticate(); err != nil {
		s.Send(Error("FATAL", "28P01", `password authentication failed for user "`+s.Param("user")+`"`))
		return false
	}
	s.SendGreeting(sendKey)
	return true
}

// SendGreeting writes what follows a successful authentication.
func (s *Session) SendGreeting(sendKey bool) {
	params := s.Server.Params
	if params == nil {
		params = DefaultParams()
	}
	msgs := [][]byte{Msg('R', 0)}
	key := Msg('K', s.PID, s.Key)
	if sendKey && s.Server.KeyFirst {
		msgs = append(msgs, key)
	}
	for i := 0; i+1 < len(params); i += 2 {
		msgs = append(msgs, Msg('S', params[i], params[i+1]))
	}
	if sendKey && !s.Server.KeyFirst {
		msgs = append(msgs, key)
	}
	s.Send(append(msgs, Msg('Z', byte('I')))...)
}

var errDenied = errors.New("denied")

// authenticate asks as Config.Auth says.
func (s *Session) authenticate() error {
	c := s.Server.Config
	if c.Auth == Trust {
		return nil
	}
	if s.Param("user") != c.User {
		return errDenied
	}
	switch c.Auth {
	case Cleartext:
		return s.askPassword(Msg('R', 3), c.Password)
	case MD5:
		salt := []byte{1, 2, 3, 4}
		inner := md5.Sum([]byte(c.Password + c.User))
		outer := md5.Sum(append([]byte(hex.EncodeToString(inner[:])), salt...))
		return s.askPassword(Msg('R', 5, salt), "md5"+hex.EncodeToString(outer[:]))
	}
	return s.askSCRAM()
}

func (s *Session) askPassword(ask []byte, want string) error {
	s.Send(ask)
	m, err := readMessage(s.r)
	if err != nil || m.Type != 'p' || len(m.Strings()) != 1 || m.Strings()[0] != want {
		return errDenied
	}
	return nil
}

func (s *Session) askSCRAM() error {
	s.Send(Msg('R', 10, "SCRAM-SHA-256", byte(0)))
	m, err := readMessage(s.r)
	if err != nil || m.Type != 'p' {
		return errDenied
	}
	mech, rest := cstring(m.Body)
	if mech != "SCRAM-SHA-256" || len(rest) < 4 {
		return errDenied
	}
	client, err := scram.SHA256.NewClient("", s.Server.Password, "")
	if err != nil {
		return err
	}
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "0123456789abcdef", Iters: 4096})
	if err != nil {
		return err
	}
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
	if err != nil {
		return err
	}
	conv := server.NewConversation()
	first, err := conv.Step(string(rest[4:]))
	if err != nil {
		return err
	}
	s.Send(Msg('R', 11, []byte(first)))
	if m, err = readMessage(s.r); err != nil || m.Type != 'p' {
		return errDenied
	}
	final, err := conv.Step(string(m.Body))
	if err != nil || !conv.Valid() {
		return errDenied
	}
	return s.Send(Msg('R', 12, []byte(final)))
}
