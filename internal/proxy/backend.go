package proxy

import (
	"bytes"
	"net"
	"strconv"
	"strings"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/loop"
	"cancello/internal/wire"
)

// backend is a server connection as the driver remembers it: what a cancel for it needs. It is kept from hand-over
// until its connection is closed and the last order for it has ended.
type backend struct {
	addr    net.Addr // that the session is connected to
	pid     uint32
	key     []byte         // secret; never leaves this package but in a CancelRequest to addr
	tls     *serverTLS     // what its session was encrypted with; nil: in clear
	name    string         // of its database's entry
	network config.Network // as its connection was opened with
	host    string         // as configured, for what its certificate must say
	conn    engine.Conn
	target  engine.Target
	who     badge // nil where it was not asked
	orders  int   // being carried
	closed  bool  // the connection is gone
}

// The lengths a cancel key may have (protocol-message-formats-BackendKeyData).
const (
	minKeyLen = 4
	maxKeyLen = 256
)

// cancellable says whether a CancelRequest can mean this session and no other: it has a pid and a key which isn't
// the zeros that some servers send in place of one.
func (b *backend) cancellable() bool {
	return b.pid != 0 && len(b.key) >= minKeyLen && len(bytes.Trim(b.key, "\x00")) > 0
}

// dummy says why a key that was given is none; empty: it is one, or there was none.
func (b *backend) dummy() string {
	switch {
	case len(b.key) == 0:
		return ""
	case b.pid == 0:
		return "it gives 0 for the pid"
	case len(bytes.Trim(b.key, "\x00")) == 0:
		return "its cancel keys are zeros"
	}
	return ""
}

// sameKey says whether a CancelRequest for one would be for the other as well: there are servers that give one key
// to everybody.
func (b *backend) sameKey(other *backend) bool {
	return b.pid == other.pid && bytes.Equal(b.key, other.key) && b.addr.String() == other.addr.String()
}

// upstream names the upstream of a target in messages and tables: host and port as configured.
func upstream(t engine.Target) string {
	_, addr := address(t)
	return addr
}

// address is what to dial for a target. A host that begins with a slash or an @ is the folder of a Unix socket or an
// abstract one, as in libpq.
func address(t engine.Target) (network, addr string) {
	port := strconv.Itoa(t.Port)
	if strings.HasPrefix(t.Host, "/") || strings.HasPrefix(t.Host, "@") {
		return "unix", strings.TrimSuffix(t.Host, "/") + "/.s.PGSQL." + port
	}
	return "tcp", net.JoinHostPort(t.Host, port)
}

// serverReady hands a logged-in server connection over. On the loop.
func (p *Proxy) serverReady(now time.Duration, s engine.Server, a *arrival) {
	if l := a.learned; l != (asking{}) {
		known := p.own.asked[a.upstream]
		p.own.asked[a.upstream] = asking{bare: known.bare || l.bare, old: known.old || l.old}
	}
	b := &a.backend
	a.info.HasKey, a.info.Dummy = p.judge(b)
	b.conn = p.loop.Reserve()
	p.own.servers[s] = b
	p.own.serverOf[b.conn] = s
	adopt(p.loop, b.conn, a.fd, a.encrypted, a.first)
	p.engine.Dialed(now, s, b.conn, a.info)
}

// judge says whether a cancel can be carried by b's key, and if it can't although there is one, why. On the loop.
func (p *Proxy) judge(b *backend) (hasKey bool, dummy string) {
	if p.shared(b) {
		return false, "it gives the same cancel key to several connections"
	}
	return b.cancellable(), b.dummy()
}

// shared says whether another open server has b's key. On the loop.
func (p *Proxy) shared(b *backend) bool {
	for _, other := range p.own.servers {
		if other != b && !other.closed && len(b.key) > 0 && b.sameKey(other) {
			return true
		}
	}
	return false
}

// serverClosed notes that a connection is gone, if it was a server's. On the loop.
func (p *Proxy) serverClosed(c engine.Conn) {
	s, ok := p.own.serverOf[c]
	if !ok {
		return
	}
	delete(p.own.serverOf, c)
	p.own.servers[s].closed = true
	p.forgetServer(s)
}

// forgetServer drops a backend that nobody can need any more. On the loop.
func (p *Proxy) forgetServer(s engine.Server) {
	if b := p.own.servers[s]; b != nil && b.closed && b.orders == 0 {
		delete(p.own.servers, s)
	}
}

// arrival is a server connection between its login and its hand-over.
type arrival struct {
	backend
	fd       int
	first    []byte // read behind ReadyForQuery
	info     engine.ServerInfo
	upstream string
	learned  asking // what it refused

	encrypted *loop.TLS // nil in clear
}

// setParam puts a ParameterStatus in, the last value of a name counting.
func setParam(params []wire.Param, name, value string) []wire.Param {
	for i := range params {
		if params[i].Name == name {
			params[i].Value = value
			return params
		}
	}
	return append(params, wire.Param{Name: name, Value: value})
}
