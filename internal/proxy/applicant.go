package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"cancello/internal/auth"
	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/sqlstate"
	"cancello/internal/wire"
)

// applicant is what is known of somebody who connected and is not in yet, and what is decided about him: the same whether
// the loop looks after the connection (caller) or a goroutine does (visit). Nothing here waits or touches the socket.
type applicant struct {
	p        *Proxy
	peer     net.Addr
	local    net.Addr // where it connected to
	remote   string   // peer, for people
	keys     config.Override[config.KeyPolicy]
	secrets  *TLS // as they were when it came
	began    time.Time
	limit    time.Duration // client_login_timeout as it was then
	deadline time.Time
	opening  opening
	readAt   time.Duration // when its CancelRequest was read; 0: it has not been
	short    error         // its descriptor is one of those kept for cancels
	granted  time.Duration // what it has to wait before it may try to log in; 0: nothing was asked yet
	user     string        // it asks to be, once it has said so
	database string        // it asks for
	told     bool          // its refusal was emitted
	in       bool          // it counts among those that arrive no more
	inLine   bool          // it counts among those that log in
	proven   bool          // it was asked for a proof of who it is
}

func (p *Proxy) newApplicant(peer, local net.Addr, remote string, keys config.Override[config.KeyPolicy]) applicant {
	a := applicant{p: p, peer: peer, local: local, remote: remote, keys: keys, began: time.Now()}
	a.secrets, a.limit = p.tls.Load(), p.config.Load().Timeouts.ClientLogin
	a.deadline = a.began.Add(a.limit)
	return a
}

// opening is how far the packets before the startup packet have come.
type opening struct{ ssl, gss bool }

// answer is what a packet before login leads to.
type answer uint8

const (
	settled answer = iota // it says what the client wants, or is for login to refuse
	decline               // 'N'
	encrypt               // 'S' and a handshake
)

// answer judges one packet. SSLRequest and GSSENCRequest are answered each once, neither after an SSLRequest that was
// granted; a repeated one is settled, and its code is no version that login would take (protocol-flow-ssl,
// protocol-flow-gssapi; unbounded repeats were CVE-2026-6479).
func (o *opening) answer(s wire.Startup, offersTLS bool) answer {
	switch {
	case s.Kind == wire.SSLRequest && !o.ssl && offersTLS:
		o.ssl, o.gss = true, true
		return encrypt
	case s.Kind == wire.SSLRequest && !o.ssl:
		o.ssl = true
	case s.Kind == wire.GSSENCRequest && !o.gss:
		o.gss = true
	default:
		return settled
	}
	return decline
}

// direct says whether it begins with TLS instead of asking: one that asked for something first has begun already.
func (a *applicant) direct(first byte) bool { return first == firstOfTLS && a.opening == (opening{}) }

// tcp says whether it came by TCP.
func (a *applicant) tcp() bool {
	_, tcp := a.peer.(*net.TCPAddr)
	return tcp
}

// from is what counts as its address; false: it has none that anything would be held against.
func (a *applicant) from() (netip.Prefix, bool) { return neighbourhood(a.peer) }

// arrived says that it is in, or has gone.
func (a *applicant) arrived() {
	if !a.in {
		a.in = true
		a.p.arrivals.leave()
	}
}

// passage tells whether the client that sent s is passed through to a server of its own.
func (a *applicant) passage(s wire.Startup, tls string) (r engine.Request, keys config.KeyPolicy, ok bool) {
	if s.Kind != wire.StartupMessage || s.Version.Major() != wire.V30.Major() {
		return r, keys, false
	}
	r = engine.Request{Remote: a.remote, Version: s.Version, TLS: tls, Keys: a.keys}
	r.User, r.Database, _ = identity(wire.StripProtocolParams(s.Params))
	share, ok := a.p.config.Load().Share(r.Database, r.User)
	if !ok || share.Mode != config.Passthrough || a.p.wantsConsole(r.Database) {
		return r, keys, false
	}
	return r, share.KeysFor(a.keys), true
}

// apply makes a request of a startup packet. reply, if not nil, is to be written, also before an error is told.
func (a *applicant) apply(s wire.Startup, tls string) (r engine.Request, reply []byte, err error) {
	n, err := wire.Negotiate(s.Version, s.Params)
	if err != nil {
		return r, nil, err
	}
	if n.Reply {
		reply = wire.AppendNegotiateProtocolVersion(nil, n.Version, n.Unsupported)
	}
	if err := a.mustEncrypt(tls); err != nil {
		return r, reply, err
	}
	r = engine.Request{Remote: a.remote, Local: a.local.String(), TLS: tls, Version: n.Version, Keys: a.keys}
	r.User, r.Database, r.Params = identity(wire.StripProtocolParams(s.Params))
	a.user, a.database = r.User, r.Database
	if a.p.draining.Load() && !a.p.wantsConsole(r.Database) {
		return r, reply, sqlstate.Draining()
	}
	return r, reply, a.short
}

// mustEncrypt is an error for a client in clear that must not be.
func (a *applicant) mustEncrypt(tls string) error {
	if a.tcp() && tls == "" && a.secrets.requires() {
		return sqlstate.TLSRequired()
	}
	return nil
}

// standInLine counts one more that logs in, if there may be one more; leaveLine is due in either case.
func (a *applicant) standInLine() error {
	limit := a.p.config.Load().Pool.MaxClientConn
	a.inLine = true
	if a.p.loggingIn.Add(1) > int64(limit)*loginsPerClient {
		return sqlstate.TooManyConnections(limit)
	}
	return nil
}

func (a *applicant) leaveLine() {
	if a.inLine {
		a.inLine = false
		a.p.loggingIn.Add(-1)
	}
}

// exchange begins the check of who it is.
func (a *applicant) exchange(user string) *auth.Exchange {
	var nonce [16]byte
	random(nonce[:])
	x := a.p.access.Load().verifier.Begin(user, nonce[:])
	x.Use(a.p.derived.get(user))
	a.proven = !x.Done()
	return x
}

// authenticated keeps what the check brought to light.
func (a *applicant) authenticated(user string, x *auth.Exchange) {
	if a.proven {
		a.judged(true)
	}
	a.p.derived.put(user, x.Derived())
	a.p.lent.put(user, x.LoginKeys())
}

// notAuthenticated tells the log, which may know more than the client, and whoever counts failures.
func (a *applicant) notAuthenticated(reason string, err error) {
	var said sqlstate.Error
	if !errors.As(err, &said) {
		return
	}
	a.refused(said.Code, reason)
	if said.Code == sqlstate.CodeInvalidPassword || said.Code == sqlstate.CodeInvalidAuthorization {
		a.judged(false)
	}
}

// refusal is what the client is told of why it is not let in, and tells the log. Nil: nothing is said to a connection that
// broke or was closed.
func (a *applicant) refusal(err error) []byte {
	var said sqlstate.Error
	var protocol *wire.ProtocolError
	var version *wire.VersionError
	switch {
	case errors.As(err, &said):
	case exhausted(err):
		said = a.p.fds.outOfDescriptors()
		a.p.fds.complain(a.p.set.Log)
	case errors.As(err, &protocol):
		said = sqlstate.ProtocolViolation(protocol.Message)
	case errors.As(err, &version):
		said = sqlstate.UnsupportedProtocol(version.Error())
		if version.Asked.Major() < wire.V30.Major() {
			a.refused(said.Code, said.Message)
			return oldError(said)
		}
	case a.p.ctx.Err() != nil:
		said = sqlstate.AdminShutdown()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		said = sqlstate.LoginTimeout(a.limit)
	default:
		return nil
	}
	a.refused(said.Code, said.Message)
	return appendError(nil, said)
}

// refused tells the log and the metrics, once.
func (a *applicant) refused(code, reason string) {
	if a.told {
		return
	}
	a.told = true
	a.p.set.Emit(event.LoginRefused{User: a.user, Database: a.database, Remote: a.remote, Code: code, Reason: reason})
}

// malformed records a CancelRequest that no key can be read from. Nothing is said to its sender.
func (a *applicant) malformed(err error) {
	a.p.set.Emit(event.CancelSettled{
		Outcome: event.Malformed, Ticket: a.p.ids.Add(1), Remote: a.remote, Took: time.Since(a.began), Reason: err.Error(),
	})
}

// cancelRequest is what it sent, read when this is asked for the first time.
func (a *applicant) cancelRequest(s wire.Startup) engine.CancelRequest {
	if a.readAt == 0 {
		a.readAt = a.p.loop.Now()
	}
	return engine.CancelRequest{PID: s.PID, Key: s.Key, ReadAt: a.readAt, Remote: a.remote}
}
