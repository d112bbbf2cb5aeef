package proxy

import (
	"time"

	"cancello/internal/auth"
	"cancello/internal/engine"
	"cancello/internal/sqlstate"
	"cancello/internal/wire"
)

// loginsPerClient times max_client_conn is how many clients may be between startup packet and hand-over; PostgreSQL
// allows as many (MaxLivePostmasterChildren in postmaster.c).
const loginsPerClient = 2

// login takes a client from its startup packet to the loop, or makes it a guest of the console. After an error the connection is still the caller's;
// a sqlstate.Error among them is for the client.
func (v *visit) login(s wire.Startup) error {
	if r, passes := v.passes(s); passes {
		return v.pass(r)
	}
	r, reply, err := v.apply(s, tlsName(v.tls))
	if reply != nil {
		if _, err := v.nc.Write(reply); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if err := v.slow(); err != nil {
		return err
	}
	defer v.leaveLine()
	if err := v.standInLine(); err != nil {
		return err
	}
	if r.User == "" {
		return sqlstate.NoUserName()
	}
	x := v.exchange(r.User)
	if v.tls != nil {
		x.Bind(v.secrets.bound)
	}
	if err := v.authenticate(r.User, x); err != nil {
		return err
	}
	if v.p.wantsConsole(r.Database) {
		v.long = r.Version >= wire.V32
		v.guest = &Guest{User: r.User, Remote: v.remote, Local: local(v.nc), Proven: v.proven}
		return nil
	}
	return v.enter(r)
}

// finish goes on with a login whose client has been asked for its proof already.
func (v *visit) finish(r engine.Request, x *auth.Exchange) error {
	defer v.leaveLine()
	if err := v.converse(r.User, x, nil); err != nil {
		return err
	}
	return v.enter(r)
}

// identity takes user and database out of the startup parameters. Of a name that comes twice the last value counts,
// and the database is named as the user unless it is given (ProcessStartupPacket in backend_startup.c).
func identity(params []wire.Param) (user, database string, rest []wire.Param) {
	at := map[string]int{}
	for _, p := range params {
		switch p.Name {
		case "user":
			user = p.Value
		case "database":
			database = p.Value
		default:
			if i, again := at[p.Name]; again {
				rest[i].Value = p.Value
				continue
			}
			at[p.Name] = len(rest)
			rest = append(rest, p)
		}
	}
	if database == "" {
		database = user
	}
	return user, database, rest
}

// enter asks the engine to let an authenticated client in, greets it and hands it over.
func (v *visit) enter(r engine.Request) error {
	p := v.p
	r.Conn = p.loop.Reserve()
	random(r.Random[:])
	verdicts := make(chan engine.Verdict, 1)
	l := engine.Login(p.ids.Add(1))
	verdict, h, err := v.ask(l, r, verdicts)
	if err == nil && h == nil {
		verdict, err = v.await(verdicts)
	}
	if err == nil && !verdict.OK {
		v.say(verdict.Refusal)
		err = errRefused
	}
	if err == nil {
		if h == nil {
			h = v.newHandOver(r.Conn, greeting(verdict))
		}
		err = v.handOver(h)
	}
	if err != nil {
		p.loop.Post(func(time.Duration) {
			delete(p.own.logins, l)
			p.loop.Abandon(r.Conn, err)
		})
	}
	return err
}

// ask puts the question. Most of the time the engine answers at once; then the loop greets the client in the same breath,
// and what is left of the hand-over is returned: each time that a goroutine and the loop wait for each other costs more
// than all the rest of a login. Else h is nil and the verdict comes later.
func (v *visit) ask(l engine.Login, r engine.Request, verdicts chan engine.Verdict) (verdict engine.Verdict, h *handOver, err error) {
	begun := v.newHandOver(r.Conn, nil)
	err = v.p.onLoop(func(now time.Duration) {
		v.p.own.logins[l] = func(verdict engine.Verdict) { verdicts <- verdict }
		v.p.engine.LoginAsked(now, l, r)
		select {
		case verdict = <-verdicts:
			h = begun
			if verdict.OK {
				h.rest = greeting(verdict)
				v.greet(h)
			}
		default:
		}
	})
	return verdict, h, err
}

// await waits for the verdict, and for what may come first: the client going away, the end of its time.
func (v *visit) await(verdicts <-chan engine.Verdict) (engine.Verdict, error) {
	gone, unwatch := v.watch()
	defer unwatch()
	select {
	case verdict := <-verdicts:
		return verdict, nil
	case err := <-gone:
		return engine.Verdict{}, err
	case <-v.context().Done():
		return engine.Verdict{}, v.context().Err()
	}
}

// watch notices a client that goes away while nothing is read from it. A client that has sent something ahead is
// not watched: its going shows when that has been read. unwatch must be called before the next read.
func (v *visit) watch() (gone <-chan error, unwatch func()) {
	if v.r.Buffered() > 0 {
		return nil, func() {}
	}
	failed, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		if _, err := v.r.Peek(1); err != nil && !isTimeout(err) {
			failed <- err
		}
	}()
	return failed, func() {
		v.raw.SetReadDeadline(longAgo)
		<-ended
		v.setDeadline()
	}
}

// greeting is what a client that was let in hears.
func greeting(v engine.Verdict) []byte {
	b := wire.AppendAuthOK(nil)
	for _, p := range v.Params {
		b = wire.AppendParameterStatus(b, p.Name, p.Value)
	}
	if len(v.Key) > 0 {
		b = wire.AppendBackendKeyData(b, v.PID, v.Key)
	}
	return wire.AppendReadyForQuery(b, 'I')
}
