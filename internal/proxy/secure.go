package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"

	"cancello/internal/loop"
	"cancello/internal/sqlstate"
)

// firstOfTLS is the first byte of a ClientHello's record, and of no startup packet: its length would be too large.
const firstOfTLS = 0x16

// mayEncrypt says whether it may begin TLS: not over a Unix socket, as in PostgreSQL.
func (a *applicant) mayEncrypt() bool { return a.tcp() && a.secrets.clients != nil }

// offersTLS says whether this connection may begin TLS: not twice.
func (v *visit) offersTLS() bool {
	return v.tls == nil && v.mayEncrypt()
}

// directTLS begins TLS if the client begins with it instead of asking (PostgreSQL 17: sslnegotiation=direct). ALPN must
// have named us then: a client of another protocol could be made to speak to us otherwise.
func (v *visit) directTLS() error {
	if !v.offersTLS() {
		return nil
	}
	if b, err := v.r.Peek(1); err != nil || !v.direct(b[0]) {
		return nil // whoever reads next hears of an error again
	}
	if err := v.handshake(unread(v.r)); err != nil {
		return err
	}
	if v.tls.ConnectionState().NegotiatedProtocol != alpn {
		v.mute = true
		return v.handshakeFailed(errors.New("received direct SSL connection request without ALPN protocol negotiation extension"))
	}
	return nil
}

// requestedTLS answers an SSLRequest with 'S' and begins TLS. What came in clear behind the request was read before
// anybody could have sent it encrypted, perhaps from somebody in between: the client is told so, and nothing of it is
// taken (CVE-2021-23214).
func (v *visit) requestedTLS() error {
	behind := v.r.Buffered()
	if _, err := v.nc.Write([]byte{'S'}); err != nil {
		return err
	}
	if err := v.handshake(nil); err != nil {
		return err
	}
	if behind > 0 {
		e := sqlstate.ProtocolViolation("received unencrypted data after SSL request")
		e.Detail = "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack."
		return e
	}
	return nil
}

// handshake makes v.nc an encrypted connection. read is what was read of it already. After an error nothing can be
// said any more.
func (v *visit) handshake(read []byte) error {
	v.mute = true
	t := loop.ServerTLS(v.raw, read, v.secrets.clients)
	ctx, cancel := context.WithCancel(v.context())
	defer cancel()
	v.p.lobby.onEviction(v.place, cancel) // it may wait for its turn, where no deadline is heard of
	if err := v.p.gate.through(ctx, ofStrangers, t.Shake); err != nil {
		return v.handshakeFailed(err)
	}
	v.mute = false
	v.tls, v.nc, v.r = t, t, bufio.NewReader(t)
	return nil
}

// handshakeFailed tells the log of what the client did wrong; that it went away or took too long is nothing.
func (v *visit) handshakeFailed(err error) error {
	if v.p.ctx.Err() == nil && !isTimeout(err) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) && !errors.Is(err, io.EOF) {
		v.refused(sqlstate.CodeProtocolViolation, "TLS: "+netReason(err))
	}
	return fmt.Errorf("TLS handshake: %v", err) // not wrapped: a timeout here is no reason to say something in clear
}

// tlsName is what a connection is encrypted with, as "TLSv1.3/TLS_AES_128_GCM_SHA256"; empty for one in clear.
func tlsName(t *loop.TLS) string {
	if t == nil {
		return ""
	}
	state := t.ConnectionState()
	return strings.ReplaceAll(tls.VersionName(state.Version), " ", "v") + "/" + tls.CipherSuiteName(state.CipherSuite)
}
