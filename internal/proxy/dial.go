package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"cancello/internal/auth"
	"cancello/internal/engine"
	"cancello/internal/loop"
	"cancello/internal/sqlstate"
	"cancello/internal/wire"

	"golang.org/x/sys/unix"
)

// extras are startup parameters for our own good, which survive DISCARD ALL since they come with the startup packet:
// a pooled server must not be closed for being idle, and one that we close in the middle of a statement should
// notice and stop. PostgreSQL has both since 14; who refuses them is asked again without.
var extras = []wire.Param{
	{Name: "idle_session_timeout", Value: "0"},
	{Name: "client_connection_check_interval", Value: "10s"},
}

// dial opens and logs in a server connection and tells the engine how it went.
func (p *Proxy) dial(s engine.Server, t engine.Target, what asking) {
	ctx, cancel := context.WithTimeout(p.ctx, t.Timeout)
	defer cancel()
	a, err := p.ask(ctx, t, what)
	if err != nil {
		f := failure(t, err)
		p.loop.Post(func(now time.Duration) { p.engine.DialFailed(now, s, f) })
		return
	}
	if !p.loop.Post(func(now time.Duration) { p.serverReady(now, s, a) }) {
		unix.Close(a.fd)
	}
}

// connect dials and logs in, encrypted or in clear or one after the other, as sslmode says. The arrival's descriptor
// belongs to the caller.
func (p *Proxy) connect(ctx context.Context, t engine.Target, what asking) (*arrival, error) {
	secrets, ways, err := p.secrets(t)
	if err != nil {
		return nil, err
	}
	a, err := p.connectOnce(ctx, t, what, secrets, ways[0])
	if err == nil || len(ways) == 1 || !otherWay(err) {
		return a, err
	}
	a, second := p.connectOnce(ctx, t, what, secrets, ways[1])
	if second == nil {
		return a, nil
	}
	if none := (*noTLS)(nil); errors.As(second, &none) { // the first refusal says more
		return nil, err
	}
	return nil, second
}

// secrets are what a target's servers are spoken to with, and in which ways.
func (p *Proxy) secrets(t engine.Target) (*serverTLS, []way, error) {
	secrets, ok := p.tls.Load().server(t.Entry.Name)
	if !ok {
		return nil, nil, errors.New("its database is not in the configuration")
	}
	if network, _ := address(t); network == "unix" {
		return secrets, []way{inClear}, nil
	}
	return secrets, secrets.ways(), nil
}

// connectOnce dials and logs in once.
func (p *Proxy) connectOnce(ctx context.Context, t engine.Target, what asking, secrets *serverTLS, w way) (*arrival, error) {
	nc, encrypted, hangUp, err := p.open(ctx, t, secrets, w, ofLogins)
	if err != nil {
		return nil, err
	}
	defer hangUp() // the descriptor that is handed over is a duplicate
	l := &serverLogin{p: p, ctx: ctx, nc: nc, target: t, secrets: secrets, encrypted: encrypted, line: ofLogins}
	l.backend.network = p.config.Load().NetworkOf(t.Entry)
	l.backend.addr, l.backend.host, l.backend.name = nc.RemoteAddr(), t.Host, t.Entry.Name
	l.backend.target = t
	if encrypted != nil {
		l.nc, l.backend.tls = encrypted, secrets
	}
	l.r = bufio.NewReader(l.nc)
	if err := l.run(what); err != nil {
		return nil, err
	}
	if err := l.identify(); err != nil {
		return nil, err
	}
	a := &arrival{backend: l.backend, first: unread(l.r), info: l.info, upstream: upstream(t), encrypted: encrypted}
	a.info.Extras = !what.bare && !l.renegotiated
	a.info.PID, a.info.TLS = a.pid, tlsName(encrypted)
	if tcp, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		a.info.Addr = tcp.AddrPort().Addr().Unmap().String()
		a.info.Local = nc.LocalAddr().String()
	}
	a.fd, err = p.detach(nc)
	return a, err
}

// openAnyWay is open for who says nothing that could be refused: the first way counts for which there is TLS, or none
// is asked for. secrets are nil in clear.
func (p *Proxy) openAnyWay(ctx context.Context, t engine.Target, of line) (nc net.Conn, encrypted *loop.TLS, secrets *serverTLS, hangUp func(), err error) {
	secrets, ways, err := p.secrets(t)
	for _, w := range ways {
		nc, encrypted, hangUp, err = p.open(ctx, t, secrets, w, of)
		if none := (*noTLS)(nil); !errors.As(err, &none) {
			break
		}
	}
	if encrypted == nil {
		secrets = nil
	}
	return nc, encrypted, secrets, hangUp, err
}

// open connects to a target in one way; encrypted is nil in clear. hangUp is due if there is no error. What is of orders may have a
// descriptor of those kept for cancels.
func (p *Proxy) open(ctx context.Context, t engine.Target, secrets *serverTLS, w way, of line) (nc net.Conn, encrypted *loop.TLS, hangUp func(), err error) {
	if nc, err = p.reach(ctx, t, p.config.Load().NetworkOf(t.Entry)); err != nil {
		return nil, nil, nil, err
	}
	if of != ofOrders {
		if err := p.fds.mayStay(number(nc)); err != nil {
			nc.Close()
			return nil, nil, nil, err
		}
	}
	unbind := p.bind(nc)
	hangUp = func() { unbind(); nc.Close() }
	if deadline, ok := ctx.Deadline(); ok && ctx.Err() == nil {
		nc.SetDeadline(deadline)
	}
	if encrypted, err = p.encrypt(ctx, nc, secrets, t.Host, w, of); err != nil {
		hangUp()
		return nil, nil, nil, err
	}
	return nc, encrypted, hangUp, nil
}

// failure words why there is no connection: where the server itself refused us, in its own words. The message does not
// repeat the upstream, which the engine knows, and holds no secret.
func failure(t engine.Target, err error) engine.Failure {
	var no *refusal
	var cannot *unableError
	switch {
	case errors.As(err, &no):
		return engine.Failure{Refused: true, Code: no.code, Message: no.message}
	case errors.As(err, &cannot):
		return engine.Failure{Unable: true, Message: cannot.Error()}
	case exhausted(err):
		return engine.Failure{Message: "no file descriptor is left for it: raise the limit of open files (LimitNOFILE of the systemd unit, or ulimit -n), or lower max_client_conn"}
	case isTimeout(err), errors.Is(err, context.DeadlineExceeded):
		return engine.Failure{Message: fmt.Sprintf("it did not let us in within server_connect_timeout = %v", t.Timeout)}
	}
	return engine.Failure{Message: netReason(err)}
}

// unableError is what keeps us from logging in as the server wants it.
type unableError struct{ error }

// refusal is an ErrorResponse from a server that we wanted to log in to.
type refusal struct{ code, message string }

func (r *refusal) Error() string { return r.message }

// extras says whether the refusal may be meant for our startup parameters. It isn't where the server names something
// else: who we are (class 28), the database, its limits, its own state.
func (r *refusal) extras() bool {
	switch {
	case len(r.code) == 5 && r.code[:2] == "28", r.code == sqlstate.CodeInvalidCatalogName, r.code == sqlstate.CodeTooManyConnections:
		return false
	case len(r.code) == 5 && r.code[:4] == "57P0":
		return false
	}
	return true
}

// serverLogin is the conversation with a server up to its ReadyForQuery.
type serverLogin struct {
	p            *Proxy
	ctx          context.Context
	nc           net.Conn
	r            *bufio.Reader
	target       engine.Target
	secrets      *serverTLS
	encrypted    *loop.TLS // nil in clear
	line         line      // in which it waits to compute its proof
	auth         *auth.Login
	authOK       bool
	version      wire.Version
	renegotiated bool // it took our startup parameters for protocol extensions
	backend      backend
	info         engine.ServerInfo
	read         int // bytes so far
}

// run asks for what it is told to and goes on to ReadyForQuery.
func (l *serverLogin) run(what asking) error {
	params := []wire.Param{{Name: "user", Value: l.target.User}, {Name: "database", Value: l.target.Database}}
	l.version = what.version(l.target)
	if !what.bare {
		params = append(params, extras...)
	}
	if l.target.Replication != "" {
		params = append(append(params, wire.Param{Name: "replication", Value: l.target.Replication}), l.target.Params...)
	}
	var nonce [16]byte
	random(nonce[:])
	acc := account{upstream(l.target), l.target.User}
	l.auth = l.p.newLogin(l.target, nonce[:])
	l.auth.Use(l.p.loginKeys.get(acc))
	bind(l.auth, l.encrypted, l.secrets)
	if _, err := l.nc.Write(wire.AppendStartup(nil, l.version, params)); err != nil {
		return err
	}
	for {
		typ, body, err := l.message()
		if err != nil {
			return err
		}
		ready, err := l.take(typ, body)
		if err != nil {
			return err
		}
		if ready {
			l.p.loginKeys.put(acc, l.auth.Keys())
			return nil
		}
	}
}
