package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Bench is what one case works with: ways to the server, limits, and a record of every byte.
type Bench struct {
	Target      *Target
	Patience    time.Duration // the longest wait for one message, byte or end
	Quiet       time.Duration // how long silence is waited for where silence is right
	Tries       int           // how often what depends on luck is tried
	Connections int           // how many connections may be used at once

	record recorder
	mu     sync.Mutex
	conns  []*Conn
}

// newBench makes the bench of one case.
func newBench(t *Target, o Options) *Bench {
	o = o.withDefaults()
	return &Bench{
		Target: t, Patience: o.Patience, Quiet: o.Quiet, Tries: o.Tries, Connections: o.Connections,
		record: recorder{since: time.Now()},
	}
}

// TLS says whether the connection string and the server agreed on TLS for the session's connections.
func (b *Bench) TLS() bool { return b.Target.place().tls != nil }

// TLSConfig is a copy of what the connection string says of TLS. Where it says nothing it verifies nothing: to see
// what a server does with TLS needs no trust in it, and no password is sent over such a connection.
func (b *Bench) TLSConfig() *tls.Config {
	if conf := b.Target.place().tls; conf != nil {
		return conf.Clone()
	}
	return &tls.Config{InsecureSkipVerify: true, ServerName: b.Target.place().host}
}

// Dial opens a connection as the connection string says: with TLS if it asks for it. No startup packet is sent. The
// connection is closed when ctx ends, and at the end of the case.
func (b *Bench) Dial(ctx context.Context) (*Conn, error) {
	c, err := b.DialPlain(ctx)
	if err != nil || !b.TLS() {
		return c, err
	}
	conf := b.TLSConfig()
	if b.Target.config.SSLNegotiation == "direct" {
		conf.NextProtos = []string{alpn}
		return c, c.StartTLS(conf)
	}
	answer, err := c.AskTLS()
	if err != nil {
		return c, err
	}
	if answer != 'S' {
		return c, fmt.Errorf("the server answers %q to SSLRequest: it speaks no TLS here, and the connection string asks for it", answer)
	}
	return c, c.StartTLS(conf)
}

// DialPlain opens a connection and sends nothing, whatever the connection string says of TLS.
func (b *Bench) DialPlain(ctx context.Context) (*Conn, error) {
	p := b.Target.place()
	dial, cancel := context.WithTimeout(ctx, b.Patience)
	defer cancel()
	nc, err := new(net.Dialer).DialContext(dial, p.network, p.address)
	if err != nil {
		return nil, err
	}
	c := &Conn{b: b, nc: nc}
	c.stop = context.AfterFunc(ctx, func() { nc.Close() })
	b.mu.Lock()
	b.conns = append(b.conns, c)
	c.number = len(b.conns)
	b.mu.Unlock()
	return c, nil
}

// alpn is the protocol's name for ALPN (pqcomm.h, PG_ALPN_PROTOCOL).
const alpn = "postgresql"

// DialTLS opens a connection and negotiates TLS by SSLRequest, or directly with the ALPN name, whatever the
// connection string says of TLS.
func (b *Bench) DialTLS(ctx context.Context, direct bool) (*Conn, error) {
	c, err := b.DialPlain(ctx)
	if err != nil {
		return nil, err
	}
	conf := b.TLSConfig()
	if direct {
		conf.NextProtos = []string{alpn}
		return c, c.StartTLS(conf)
	}
	answer, err := c.AskTLS()
	if err != nil {
		return c, err
	}
	if answer != 'S' {
		return c, errNoTLS
	}
	return c, c.StartTLS(conf)
}

// errNoTLS: the server answers SSLRequest with something else than 'S'.
var errNoTLS = errors.New("the server declines TLS")

// Evidence is what these connections said, shortened; without connections, all of the case's.
func (b *Bench) Evidence(of ...*Conn) []Exchange {
	numbers := map[int]bool{}
	for _, c := range of {
		numbers[c.number] = true
	}
	return b.record.shortened(func(e Exchange) bool { return len(of) == 0 || numbers[e.Connection] })
}

// Note puts a remark of ours between the bytes of the evidence.
func (b *Bench) Note(format string, args ...any) { b.record.note(0, fmt.Sprintf(format, args...)) }

// close ends all connections of the case.
func (b *Bench) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conns {
		c.Close()
	}
}

// Ending is how a connection stands after a wait.
type Ending string

// The endings.
const (
	Closed Ending = "closed"     // FIN, or close_notify
	Reset  Ending = "reset"      // RST, or a TLS alert
	Open   Ending = "still open" // when the wait ended
)

// ending tells from an error of Read how the connection stands.
func ending(err error) Ending {
	var timeout net.Error
	var odd *malformed
	switch {
	case errors.As(err, &odd):
		return Open
	case err == nil:
		return Open
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return Closed
	case errors.As(err, &timeout) && timeout.Timeout():
		return Open
	}
	return Reset
}
