package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"

	"cancello/internal/config"
	"cancello/internal/loop"
	"cancello/internal/sqlstate"
	"cancello/internal/wire"
)

// way is one way to speak to a server.
type way uint8

const (
	inClear way = iota
	ifCan       // TLS, or in clear on the same connection when the server declines
	withTLS
)

// ways are what to try for a mode, in this order (select_next_encryption_method in fe-connect.c).
func (s *serverTLS) ways() []way {
	if s == nil {
		return []way{inClear}
	}
	switch s.mode {
	case config.SSLDisable:
		return []way{inClear}
	case config.SSLAllow:
		return []way{inClear, withTLS}
	case config.SSLPrefer:
		return []way{ifCan, inClear}
	}
	return []way{withTLS}
}

// noTLS: there is no TLS with this server, or none that we want.
type noTLS struct{ err error }

func (n *noTLS) Error() string { return n.err.Error() }
func (n *noTLS) Unwrap() error { return n.err }

// errBehind: somebody in between may have put it there. It is never a reason to go on in clear (CVE-2021-23222).
var errBehind = errors.New("it sent unencrypted data behind its answer to SSLRequest: a broken server, or somebody in between")

// otherWay says whether to try another way after err: when TLS failed, or the server refuses just this kind of
// connection (pg_hba.conf's hostssl and hostnossl).
func otherWay(err error) bool {
	var none *noTLS
	var no *refusal
	return errors.As(err, &none) || errors.As(err, &no) && no.code == sqlstate.CodeInvalidAuthorization
}

// encrypt begins TLS on nc, a connection to the host configured as such; nil where the server declines and w lets it.
func (p *Proxy) encrypt(ctx context.Context, nc net.Conn, s *serverTLS, host string, w way, of line) (*loop.TLS, error) {
	if w == inClear {
		return nil, nil
	}
	if !s.direct {
		yes, err := askTLS(nc)
		switch {
		case err != nil:
			return nil, err
		case !yes && w == ifCan:
			return nil, nil
		case !yes:
			return nil, &noTLS{fmt.Errorf("it does not offer TLS, which sslmode = %v asks for", s.mode)}
		}
	}
	t := loop.ClientTLS(nc, s.to(host))
	if err := p.gate.through(ctx, of, t.Shake); err != nil {
		if ctx.Err() != nil || isTimeout(err) {
			return nil, err
		}
		return nil, &noTLS{fmt.Errorf("TLS: %w", err)}
	}
	if s.direct && t.ConnectionState().NegotiatedProtocol != alpn {
		return nil, &noTLS{errors.New("TLS: it did not confirm the protocol by ALPN, which sslnegotiation = direct needs")}
	}
	return t, nil
}

// askTLS sends an SSLRequest and says whether the server answers 'S'. An ErrorResponse from one that doesn't know the
// request isn't shown: it comes unauthenticated (CVE-2024-10977).
func askTLS(nc net.Conn) (bool, error) {
	if _, err := nc.Write(wire.AppendSSLRequest(nil)); err != nil {
		return false, err
	}
	var answer [2]byte
	n, err := nc.Read(answer[:])
	switch {
	case n == 0:
		return false, cutOff(err)
	case answer[0] == 'S' && n > 1:
		return false, errBehind
	case answer[0] == 'S':
		return true, nil
	case answer[0] == 'N' && n == 1:
		return false, nil
	}
	return false, &noTLS{errors.New("it does not understand SSLRequest")}
}
