package loop

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

// TLS is a TLS connection that begins in a goroutine, where its handshake blocks as on any net.Conn, and may end on a
// loop (AdoptTLS): crypto/tls can't resume a handshake, but it can resume a read.
//
// It must not be closed: that would close nothing the loop has, and spoil its state. Close the net.Conn under it.
type TLS struct {
	*tls.Conn
	pipe *pipe
}

// ServerTLS begins the server's side on nc. read is what was read from nc already.
func ServerTLS(nc net.Conn, read []byte, c *tls.Config) *TLS {
	p := &pipe{nc: nc, in: read}
	return &TLS{Conn: tls.Server(p, c), pipe: p}
}

// ClientTLS begins the client's side on nc.
func ClientTLS(nc net.Conn, c *tls.Config) *TLS {
	p := &pipe{nc: nc}
	return &TLS{Conn: tls.Client(p, c), pipe: p}
}

// Shake does the handshake. around is called for each wait for the socket, which it carries out: what costs processor
// time is then told from what only takes time. Nil: nobody wants to know.
func (t *TLS) Shake(around func(wait func())) error {
	t.pipe.around = around
	defer func() { t.pipe.around = nil }()
	return t.Handshake()
}

// Sealed turns what is to be sent into records, without a socket: from then on t belongs to the loop. The memory is
// the caller's.
func (t *TLS) Sealed(plain []byte) ([]byte, error) {
	t.pipe.detach()
	_, err := t.Write(plain)
	records := t.pipe.out
	t.pipe.out = nil
	return records, err
}

// pipe is what a tls.Conn takes for its network. In a goroutine it is the socket, waits and all. On a loop a Read that
// finds nothing fails with an error that crypto/tls takes for a passing one, and keeps what it has; a Write collects
// and never fails.
type pipe struct {
	nc     net.Conn          // nil on a loop
	around func(wait func()) // during the handshake
	in     []byte            // read from the socket, not yet by crypto/tls
	out    []byte            // collected on a loop
	eof    bool              // the peer's FIN stands behind in
}

// detach ends the time in the goroutine.
func (p *pipe) detach() { p.nc, p.around = nil, nil }

// errDry says that a read would wait. crypto/tls asks a net.Error whether it is Temporary, and makes any other one
// stick.
type errDry struct{}

func (errDry) Error() string   { return "nothing to read yet" }
func (errDry) Timeout() bool   { return true }
func (errDry) Temporary() bool { return true }

func isDry(err error) bool {
	var dry errDry
	return errors.As(err, &dry)
}

func (p *pipe) Read(b []byte) (n int, err error) {
	if len(p.in) > 0 {
		n = copy(b, p.in)
		if p.in = p.in[n:]; len(p.in) == 0 {
			p.in = nil
		}
		return n, nil
	}
	switch {
	case p.nc == nil && p.eof:
		return 0, io.EOF
	case p.nc == nil:
		return 0, errDry{}
	case p.around == nil:
		return p.nc.Read(b)
	}
	p.around(func() { n, err = p.nc.Read(b) })
	return n, err
}

func (p *pipe) Write(b []byte) (n int, err error) {
	switch {
	case p.nc == nil:
		p.out = append(p.out, b...)
		return len(b), nil
	case p.around == nil:
		return p.nc.Write(b)
	}
	p.around(func() { n, err = p.nc.Write(b) })
	return n, err
}

// Close closes nothing: whoever has the socket does.
func (p *pipe) Close() error { return nil }

func (p *pipe) LocalAddr() net.Addr {
	if p.nc == nil {
		return nil
	}
	return p.nc.LocalAddr()
}

func (p *pipe) RemoteAddr() net.Addr {
	if p.nc == nil {
		return nil
	}
	return p.nc.RemoteAddr()
}

// SetDeadline and its sisters are for the time in the goroutine.
func (p *pipe) SetDeadline(t time.Time) error {
	if p.nc == nil {
		return nil
	}
	return p.nc.SetDeadline(t)
}

func (p *pipe) SetReadDeadline(t time.Time) error {
	if p.nc == nil {
		return nil
	}
	return p.nc.SetReadDeadline(t)
}

func (p *pipe) SetWriteDeadline(t time.Time) error {
	if p.nc == nil {
		return nil
	}
	return p.nc.SetWriteDeadline(t)
}
