package proxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/loop"
	"cancello/internal/sqlstate"
	"cancello/internal/wire"

	"golang.org/x/sys/unix"
)

// passage is a client and a server of its own on their way to the loop (pool_mode = passthrough). Startup and
// authentication go through byte for byte, whatever their methods are. Two messages are looked at: what version the
// server speaks, because it says how long a key may be, and the key, in whose place ours is sent.
type passage struct {
	*visit
	request engine.Request
	keys    config.KeyPolicy
	target  engine.Target

	back      net.Conn // what is spoken through: the socket, or TLS
	raw       net.Conn // to the server
	encrypted *loop.TLS
	r         *bufio.Reader // of back
	backend   backend
	met       bool           // the engine knows of both
	verdict   engine.Verdict // since then
	last      sqlstate.Error // what the server said last, for the log
}

// passes tells whether the client that sent s is passed through, and to what.
func (v *visit) passes(s wire.Startup) (*passage, bool) {
	r, keys, ok := v.passage(s, tlsName(v.tls))
	if !ok {
		return nil, false
	}
	v.user, v.database = r.User, r.Database
	return &passage{visit: v, request: r, keys: keys}, true
}

// pass takes a client through to a server. After an error the connection is still the caller's.
func (v *visit) pass(x *passage) error {
	if err := v.mustEncrypt(tlsName(v.tls)); err != nil {
		return err
	}
	defer v.leaveLine()
	if err := v.standInLine(); err != nil {
		return err
	}
	hangUp, err := x.reach()
	if err != nil {
		return err
	}
	defer hangUp()
	err = x.introduce()
	if err != nil && x.met {
		v.p.loop.Post(func(time.Duration) {
			v.p.loop.Abandon(x.request.Conn, err)
			v.p.loop.Abandon(x.backend.conn, err)
		})
	}
	return err
}

// reach opens a connection to a server: where there are several upstreams, to the first that can be reached.
func (x *passage) reach() (hangUp func(), err error) {
	for tries := 1; ; tries++ {
		t, err := x.ask()
		if err != nil {
			return nil, err
		}
		hangUp, err := x.open(t)
		if err == nil {
			return hangUp, nil
		}
		f := failure(t, err)
		x.p.loop.Post(func(now time.Duration) { x.p.engine.PassageFailed(now, x.request, t, f) })
		if x.context().Err() != nil || tries == len(t.Entry.Upstreams()) {
			return nil, sqlstate.NoServer(upstream(t) + ": " + f.Message).Fatal()
		}
	}
}

// ask asks the engine where to go. Its refusal is an sqlstate.Error.
func (x *passage) ask() (engine.Target, error) {
	type answer struct {
		target  engine.Target
		refusal sqlstate.Error
	}
	answers := make(chan answer, 1)
	if !x.p.loop.Post(func(now time.Duration) {
		t, refusal := x.p.engine.Passage(now, x.request)
		answers <- answer{t, refusal}
	}) {
		return engine.Target{}, sqlstate.AdminShutdown()
	}
	select {
	case a := <-answers:
		if a.refusal.Code != "" {
			return engine.Target{}, a.refusal
		}
		return a.target, nil
	case <-x.context().Done():
		return engine.Target{}, x.context().Err()
	}
}

// open opens the connection, encrypted as sslmode says. An upstream that refuses the kind of connection says so to the
// client, which can't be let in twice.
func (x *passage) open(t engine.Target) (hangUp func(), err error) {
	ctx, cancel := context.WithTimeout(x.context(), t.Timeout)
	defer cancel()
	x.raw, x.encrypted, x.backend.tls, hangUp, err = x.p.openAnyWay(ctx, t, ofLogins)
	if err != nil {
		return nil, err
	}
	x.target, x.back = t, x.raw
	x.backend.network = x.p.config.Load().NetworkOf(t.Entry)
	x.backend.addr, x.backend.host, x.backend.name = x.raw.RemoteAddr(), t.Host, t.Entry.Name
	if x.encrypted != nil {
		x.back = x.encrypted
	}
	x.raw.SetDeadline(x.deadline)
	x.r = bufio.NewReader(x.back)
	x.request.Version = min(x.request.Version, wire.V32)
	return hangUp, nil
}

// introduce passes startup and authentication through, and hands both over to the loop.
func (x *passage) introduce() error {
	if _, err := x.back.Write(x.asked); err != nil {
		return err
	}
	stop := x.listen()
	ready, err := x.untilReady()
	if stopped := stop(); err == nil {
		err = stopped
	}
	if err != nil {
		return err
	}
	fd, err := detach(x.raw)
	if err != nil {
		return err
	}
	if err := x.handOver(x.newHandOver(x.request.Conn, ready)); err != nil {
		unix.Close(fd)
		return err
	}
	first := unread(x.r)
	if !x.p.loop.Post(func(time.Duration) { adopt(x.p.loop, x.backend.conn, fd, x.encrypted, first) }) {
		unix.Close(fd)
	}
	return nil
}

// listen passes on what the client says, in a goroutine of its own, until stop, which tells why it ended before. All
// that was taken from the client has been written then.
func (x *passage) listen() (stop func() error) {
	ended := make(chan error, 1)
	x.p.running.Go(func() {
		_, err := io.Copy(x.back, x.visit.r)
		if err == nil {
			err = io.EOF
		}
		if !isTimeout(err) {
			x.raw.SetReadDeadline(longAgo) // there is nobody to tell any more
		}
		ended <- err
	})
	return func() error {
		x.visit.raw.SetReadDeadline(longAgo)
		err := <-ended
		x.setDeadline()
		if isTimeout(err) {
			return nil
		}
		return err
	}
}

// The messages that are looked at are no longer than this; where one is, it isn't what it seems and passes.
const maxLooked = 10_000

// untilReady passes on what the server says, up to its ReadyForQuery, which is returned.
func (x *passage) untilReady() (ready []byte, err error) {
	for {
		var head [wire.HeaderLen]byte
		if _, err := io.ReadFull(x.r, head[:]); err != nil {
			return nil, x.left(err)
		}
		size := int64(binary.BigEndian.Uint32(head[1:])) - 4
		if size < 0 {
			return nil, sqlstate.ProtocolViolation("the server sent a message of an impossible length during login")
		}
		looked := bytes.IndexByte([]byte{wire.MsgNegotiateProtocolVersion, wire.MsgBackendKeyData, wire.MsgReadyForQuery, wire.MsgErrorResponse}, head[0]) >= 0
		if !looked || size > maxLooked {
			if _, err := x.nc.Write(head[:]); err != nil {
				return nil, err
			}
			if _, err := io.CopyN(x.nc, x.r, size); err != nil {
				return nil, err
			}
			continue
		}
		message := append(head[:], make([]byte, size)...)
		if _, err := io.ReadFull(x.r, message[len(head):]); err != nil {
			return nil, x.left(err)
		}
		pass, err := x.look(head[0], message)
		switch {
		case err != nil:
			return nil, err
		case head[0] == wire.MsgReadyForQuery:
			return message, nil
		}
		if _, err := x.nc.Write(pass); err != nil {
			return nil, err
		}
	}
}

// look acts on one whole message and returns what is sent in its place.
func (x *passage) look(typ byte, message []byte) ([]byte, error) {
	body := message[wire.HeaderLen:]
	switch typ {
	case wire.MsgNegotiateProtocolVersion:
		if len(body) >= 4 {
			said := wire.Version(binary.BigEndian.Uint32(body))
			if said.Major() == 0 { // some say the minor alone
				said |= wire.V30
			}
			x.request.Version = min(x.request.Version, said)
		}
	case wire.MsgErrorResponse:
		x.last = sqlstate.New(sqlstate.SeverityFatal, string(wire.ErrorField(body, 'C')), string(wire.ErrorField(body, 'M')))
	case wire.MsgBackendKeyData:
		pid, key, ok := wire.BackendKeyData(body)
		if !ok || x.met {
			return message, nil
		}
		x.backend.pid, x.backend.key = pid, bytes.Clone(key)
		if x.keys == config.KeysUpstream {
			return message, x.meet(false)
		}
		if err := x.meet(x.keys.Gives(x.request.Version >= wire.V32)); err != nil || len(x.verdict.Key) == 0 {
			return nil, err
		}
		return wire.AppendBackendKeyData(nil, x.verdict.PID, x.verdict.Key), nil
	case wire.MsgReadyForQuery:
		if !x.met { // it gave no key, so we give none
			return message, x.meet(false)
		}
	}
	return message, nil
}

// meet tells the engine of both. The client can be cancelled from here on, if it has a key.
func (x *passage) meet(keyed bool) error {
	p := x.p
	random(x.request.Random[:])
	x.request.Conn, x.backend.conn = p.loop.Reserve(), p.loop.Reserve()
	l, verdicts := engine.Login(p.ids.Add(1)), make(chan engine.Verdict, 1)
	if !p.loop.Post(func(now time.Duration) { p.introduce(now, l, x, keyed, verdicts) }) {
		return sqlstate.AdminShutdown()
	}
	x.met = true
	select {
	case x.verdict = <-verdicts:
	case <-x.context().Done():
		return x.context().Err()
	}
	if !x.verdict.OK {
		x.say(x.verdict.Refusal)
		return errRefused
	}
	return nil
}

// introduce has the engine judge a passage, and keeps what a cancel for it needs. On the loop.
func (p *Proxy) introduce(now time.Duration, l engine.Login, x *passage, keyed bool, verdicts chan engine.Verdict) {
	b := &x.backend
	info := engine.ServerInfo{PID: b.pid, TLS: tlsName(x.encrypted)}
	info.HasKey, info.Dummy = p.judge(b)
	var verdict engine.Verdict
	p.own.logins[l] = func(v engine.Verdict) { verdict = v }
	p.engine.Passed(now, l, x.request, x.target, b.conn, info, keyed) // it answers at once
	if verdict.OK {
		p.own.servers[verdict.Server] = b
		p.own.serverOf[b.conn] = verdict.Server
	} else {
		p.loop.Abandon(b.conn, errRefused)
	}
	verdicts <- verdict
}

// left is the end of a server's words: it closes behind an ErrorResponse, which the client has been told.
func (x *passage) left(err error) error {
	switch {
	case x.last.Code != "":
		x.visit.refused(x.last.Code, x.last.Message)
		return errRefused
	case isTimeout(err) && x.context().Err() == nil && time.Now().Before(x.deadline): // the client has gone
		return io.EOF
	case isTimeout(err):
		return sqlstate.LoginTimeout(x.limit)
	}
	return sqlstate.NoServer("it closed the connection during login").Fatal()
}
