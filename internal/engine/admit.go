package engine

import (
	"encoding/hex"
	"time"

	"cancello/internal/event"
	"cancello/internal/lease"
	"cancello/internal/session"
	"cancello/internal/sqlstate"
	"cancello/internal/wire"
)

// LoginAsked: a client has authenticated. It is cancellable from here on; the verdict follows when the parameters of
// its server are known.
func (e *Engine) LoginAsked(now time.Duration, l Login, r Request) {
	e.now = now
	if e.draining {
		e.deny(l, r, sqlstate.Draining())
		return
	}
	sole, bad := replication(&r)
	var wishes []wire.Param
	if bad == nil {
		wishes, bad = e.wishes(&r, sole != "")
	}
	if bad != nil {
		e.deny(l, r, *bad)
		return
	}
	c := &client{link: link{conn: r.Conn}, login: l, arrival: &arrival{Request: r, wishes: wishes, sole: sole}, remote: r.Remote, lastEnd: -1, endedBy: -1, clock: clock{joined: now}}
	p := e.pool(poolName{database: r.Database, user: r.User})
	if p == nil {
		refusal := sqlstate.DatabaseNotConfigured(r.Database)
		if sole != "" {
			refusal = sqlstate.ReplicationNotConfigured(r.Database)
		}
		e.deny(l, r, refusal)
		return
	}
	if e.disabled[r.Database] && e.bug != BugDisabledLetIn {
		e.deny(l, r, sqlstate.DatabaseDisabled(r.Database))
		e.sweepPool(p)
		return
	}
	if err, is := e.noPlace(p.name); is {
		e.deny(l, r, err)
		e.sweepPool(p)
		return
	}
	c.pool, c.door = p, p.door(r.Local, r.TLS)
	e.enter(c)
	e.setPeer(r.Conn, c, nil)
	pid, k := e.minter.Mint(r.Version, c.slot, [12]byte(r.Random[:12]))
	if c.pid = pid; p.share.KeysFor(r.Keys).Gives(r.Version >= wire.V32) {
		c.key = string(k)
	}
	if p.library == nil {
		p.library = session.NewLibrary("cancello_" + hex.EncodeToString(r.Random[12:]) + "_s")
		p.library.Blind(e.bug == BugTextForgotten)
	}
	if c.replication() != "" {
		e.replicates(c)
		return
	}
	p.logins = append(p.logins, c)
	if p.lastFailure.Unable { // what was missing may have come with this client: keys that it lends
		p.retrying = false
	}
	if p.known() {
		e.admitAll(p)
		e.staff(p) // it may be the first for whom min_pool_size is kept
		return
	}
	if e.staff(p); p.known() {
		e.admitAll(p)
		return
	}
	if d := e.cfg.Timeouts.ServerConnect; d > 0 {
		if limit := p.share.QueryWait; limit > 0 && (p.hungry || p.crowded) {
			d = min(d, limit)
		}
		e.after(d, func() { e.loginWaited(c) })
	}
}

// loginWaited ends the wait for a server's parameters where none can be had.
func (e *Engine) loginWaited(c *client) {
	if c.login == 0 || c.gone || c.place.Waits() || c.srv != nil { // a try has limits of its own
		return
	}
	if c.pool.paused { // client_login_timeout bounds it
		e.after(e.cfg.Timeouts.ServerConnect, func() { e.loginWaited(c) })
		return
	}
	waited, connect := e.now-c.clock.joined, e.cfg.Timeouts.ServerConnect
	if err, is := c.pool.noRoom(); is {
		limit := c.pool.share.QueryWait
		if limit > 0 && waited >= limit {
			e.refuseLogin(c, err)
			return
		}
		if limit > 0 {
			connect = min(connect, limit-waited)
		} // else client_login_timeout bounds it
		e.after(connect, func() { e.loginWaited(c) })
		return
	}
	if tried := e.now - max(c.clock.joined, c.pool.fedAt); tried < connect { // the room that it waited for has come
		e.after(connect-tried, func() { e.loginWaited(c) })
		return
	}
	e.refuseLogin(c, sqlstate.NoServer(c.pool.trouble()).Fatal())
}

// deny refuses a login of which nothing was kept.
func (e *Engine) deny(l Login, r Request, err sqlstate.Error) {
	e.out.Emit(event.LoginRefused{User: r.User, Database: r.Database, Remote: r.Remote, Code: err.Code, Reason: err.Message})
	e.out.Admit(l, Verdict{Refusal: wire.AppendError(nil, err.Severity, err.Code, err.Message, err.Detail, err.Hint)})
}

// refuseLogin refuses a client that waited for its verdict.
func (e *Engine) refuseLogin(c *client, err sqlstate.Error) {
	l, r := c.login, c.arrival.Request
	e.peers[c.conn.Index()] = peer{}
	e.deny(l, r, err)
	e.leave(c, "")
	e.forget(c)
}

// admit lets a client in and tells it its settings. Where it holds a server, that is for what it may have sent already.
func (e *Engine) admit(c *client, told *lease.Settings) {
	l, own := c.login, [8]byte(c.arrival.Random[12:])
	c.login, c.arrival = 0, c.arrival.admitted()
	c.told = c.pool.settings.Intern(told)
	mode, resets := c.begins()
	c.start, c.resets, c.held = c.told, resets, false
	c.pool.tally.Logins++
	c.sess = session.New(mode, own)
	c.sess.Prepares(c.pool.library)
	if c.resets {
		c.sess.Returns()
	}
	if c.srv != nil {
		e.equip(c, c.srv)
	}
	e.out.Emit(event.ClientJoined{PID: c.pid, User: c.pool.name.user, Database: c.pool.name.database, Remote: c.remote})
	e.out.Admit(l, Verdict{OK: true, Params: told.Params(), PID: c.pid, Key: []byte(c.key)})
	c.quietAt = e.now
	if len(c.pending) > 0 {
		e.proceed(c)
	}
	e.attend(c)
}
