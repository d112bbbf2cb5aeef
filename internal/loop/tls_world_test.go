package loop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cancello/internal/engine"
	"cancello/internal/pgtest/contract"
)

// testTLS is a server's configuration with a certificate of its own, and a client's that doesn't look at it.
func testTLS(t testing.TB, version uint16) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	server = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, SessionTicketsDisabled: true,
		MinVersion: version, MaxVersion: version,
	}
	return server, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}
}

// tlsPeer is the far end of a connection with TLS.
type tlsPeer struct {
	*peer
	*tls.Conn
	pipe *pipe
	fin  bool // FIN as soon as all is out
	bare bool // without close_notify
}

// shake makes TLS of a connection. Both descriptors stay good; the peer's is non-blocking again.
func shake(t testing.TB, near int, far *peer, server, client *tls.Config) (*TLS, *tlsPeer) {
	t.Helper()
	nc, peerNC := fileConn(t, near), fileConn(t, far.fd)
	defer nc.Close()
	defer peerNC.Close()
	s, c := ServerTLS(nc, nil, server), ClientTLS(peerNC, client)
	done := make(chan error, 1)
	go func() { done <- s.Handshake() }()
	if err := errors.Join(c.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	c.pipe.detach()
	if err := unix.SetNonblock(far.fd, true); err != nil {
		t.Fatal(err)
	}
	return s, &tlsPeer{peer: far, Conn: c.Conn, pipe: c.pipe}
}

// fileConn is a net.Conn over a duplicate of fd.
func fileConn(t testing.TB, fd int) net.Conn {
	t.Helper()
	dup, err := unix.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(dup), "socket")
	defer f.Close()
	nc, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// flush writes what was sealed, as far as there is room, and says whether all of it is out.
func (p *tlsPeer) flush() (bool, error) {
	n, err := p.peer.Write(p.pipe.out)
	p.pipe.out = p.pipe.out[n:]
	if err != nil || len(p.pipe.out) > 0 {
		return false, err
	}
	p.pipe.out = nil
	if p.fin {
		p.peer.FIN()
		p.fin = false
	}
	return true, nil
}

func (p *tlsPeer) Write(b []byte) (int, error) {
	if out, err := p.flush(); err != nil || !out {
		return 0, err
	}
	b = b[:min(len(b), 16<<10)]
	if _, err := p.Conn.Write(b); err != nil {
		return 0, err
	}
	_, err := p.flush()
	return len(b), err
}

func (p *tlsPeer) Read(b []byte) (int, error) {
	var records [32 << 10]byte
	for {
		n, err := p.Conn.Read(b)
		if n > 0 || !isDry(err) {
			return n, err
		}
		n, err = p.peer.Read(records[:])
		switch {
		case n > 0:
			p.pipe.in = records[:n]
		case errors.Is(err, io.EOF):
			p.pipe.eof = true
		default:
			return 0, err
		}
	}
}

func (p *tlsPeer) FIN() {
	if !p.bare {
		_ = p.CloseWrite() // into memory
	}
	p.fin = true
	_, _ = p.flush() // what is left goes out with the next Step
}

// tlsWorld is a world whose connections have TLS.
type tlsWorld struct {
	*world
	server, client *tls.Config
	bare           bool
	tlsPeers       []*tlsPeer
}

func newTLSWorld(t testing.TB, version uint16) *tlsWorld {
	w := &tlsWorld{world: newWorld(t)}
	w.server, w.client = testTLS(t, version)
	return w
}

func (w *tlsWorld) Adopt(c engine.Conn, first []byte) contract.Peer {
	w.t.Helper()
	return w.adoptOn(c, first, tcpPair)
}

func (w *tlsWorld) adoptOn(c engine.Conn, first []byte, pair func(testing.TB) (int, *peer)) *tlsPeer {
	w.t.Helper()
	near, far := pair(w.t)
	w.peers = append(w.peers, far)
	s, p := shake(w.t, near, far, w.server, w.client)
	p.bare = w.bare
	w.tlsPeers = append(w.tlsPeers, p)
	w.Do(func(time.Duration) { w.l.AdoptTLS(c, near, s, first) })
	return p
}

// connect gives the loop one end of a connection with TLS and the test the other.
func (w *tlsWorld) connect() (engine.Conn, *tlsPeer) {
	w.t.Helper()
	c := w.l.Reserve()
	return c, w.adoptOn(c, nil, tcpPair)
}

func (w *tlsWorld) Step() bool {
	for _, p := range w.tlsPeers {
		if p.fd >= 0 && (len(p.pipe.out) > 0 || p.fin) {
			_, _ = p.flush()
		}
	}
	return w.world.Step()
}

// TestContractTLS runs the suite over TLS.
func TestContractTLS(t *testing.T) {
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			contract.Run(t, func(t *testing.T) contract.World { return newTLSWorld(t, version) })
		})
	}
	t.Run("bare FIN", func(t *testing.T) {
		contract.Run(t, func(t *testing.T) contract.World {
			w := newTLSWorld(t, tls.VersionTLS13)
			w.bare = true
			return w
		})
	})
}
