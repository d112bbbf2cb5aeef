package fake

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// Server is the fake.
type Server struct {
	knobs Knobs
	ln    net.Listener
	cert  tls.Certificate

	mu       sync.Mutex
	conns    map[net.Conn]bool
	closed   bool
	over     chan struct{}       // closed with the server
	sessions map[uint32]*Session // by the pid in BackendKeyData
	count    int
	requests int // CancelRequests
	pool     pool
	running  sync.WaitGroup
}

// Start runs a server on a free port of 127.0.0.1 until the test ends.
func Start(t testing.TB, k Knobs) *Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{knobs: k, ln: ln, over: make(chan struct{}), conns: map[net.Conn]bool{}, sessions: map[uint32]*Session{}}
	s.pool.begin(k.Pooler)
	if k.Encryption.TLS {
		if s.cert, err = certificate(); err != nil {
			t.Fatal(err)
		}
	}
	s.running.Go(s.accept)
	t.Cleanup(s.Close)
	return s
}

// DSN is the connection string for it.
func (s *Server) DSN() string {
	return fmt.Sprintf("postgres://ann@%s/db?sslmode=disable", s.ln.Addr())
}

// Close ends all connections and waits for them.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.closed {
		close(s.over)
	}
	s.closed = true
	s.pool.end()
	s.ln.Close()
	for nc := range s.conns {
		nc.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

func (s *Server) accept() {
	for {
		nc, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			nc.Close()
		} else {
			s.conns[nc] = true
			s.running.Go(func() {
				s.serve(nc)
				s.mu.Lock()
				delete(s.conns, nc)
				s.mu.Unlock()
				nc.Close()
			})
		}
		s.mu.Unlock()
	}
}

// serve is the life of one connection.
func (s *Server) serve(nc net.Conn) {
	switch {
	case s.knobs.CloseAtOnce:
		return
	case s.knobs.Silent:
		hang(nc)
		return
	}
	f := &front{server: s, nc: nc}
	f.run()
}

// hang reads and answers nothing until the other side goes.
func hang(nc net.Conn) {
	buf := make([]byte, 4096)
	for {
		if _, err := nc.Read(buf); err != nil {
			return
		}
	}
}

// certificate signs itself.
func certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
