package engine

import (
	"cmp"
	"strconv"
	"time"

	"cancello/internal/config"
	"cancello/internal/lease"
	"cancello/internal/sqlstate"
)

// poolName is what a pool is for, in the client's words.
type poolName struct{ database, user string }

func (n poolName) compare(other poolName) int {
	return cmp.Or(cmp.Compare(n.database, other.database), cmp.Compare(n.user, other.user))
}

// pool is the servers of one database and user.
type pool struct {
	lease.Pool[*client, *server]
	name     poolName
	db       config.Database
	upstream *upstream
	params   *lease.Settings // what a new server reports; nil before the first
	settings lease.Interner

	logins   []*client // wait for params
	clients  int
	granted  int // SetGrant; 0: the configuration's
	failures int // dials in a row
	retrying bool
	watchAt  time.Duration // when a timer looks at the waits; 0: none runs

	lastFailure Failure
}

// PoolID names a pool towards whoever hands out grants.
type PoolID struct{ Database, User string }

// SetGrant limits the servers of a pool; 0 returns to the configuration.
func (e *Engine) SetGrant(now time.Duration, id PoolID, limit int) {
	e.now = now
	if p := e.pools[poolName{id.Database, id.User}]; p != nil {
		p.granted = limit
		p.size(e.cfg)
		e.staff(p)
	}
}

func (p *pool) size(cfg config.Config) {
	p.Limit = cfg.Pool.DefaultSize
	if p.granted > 0 {
		p.Limit = p.granted
	}
}

// target is where and as whom its servers log in.
func (p *pool) target(timeout time.Duration) Target {
	t := Target{Name: p.db.Name, Host: p.db.Host, Port: p.db.Port, Database: p.db.DBName, User: p.db.User, Timeout: timeout}
	if t.Database == "" {
		t.Database = p.name.database
	}
	if t.User == "" {
		t.User = p.name.user
	}
	return t
}

// pool finds or makes the pool of a database and user; nil where the database is not configured.
func (e *Engine) pool(name poolName) *pool {
	if p := e.pools[name]; p != nil {
		return p
	}
	db, ok := find(e.cfg.Databases, name.database)
	if !ok {
		return nil
	}
	p := &pool{name: name, db: db, upstream: e.upstream(db)}
	p.size(e.cfg)
	e.pools[name] = p
	return p
}

func find(dbs []config.Database, name string) (config.Database, bool) {
	for _, db := range dbs {
		if db.Name == name {
			return db, true
		}
	}
	for _, db := range dbs {
		if db.Name == "*" {
			return db, true
		}
	}
	return config.Database{}, false
}

// sweepPool forgets a pool that nobody uses and that has no servers.
func (e *Engine) sweepPool(p *pool) {
	if p.clients == 0 && p.Live == 0 && p.Dialing == 0 && p.Ghosts == 0 && e.pools[p.name] == p {
		delete(e.pools, p.name)
	}
}

func (p *pool) forgetLogin(c *client) {
	for i, other := range p.logins {
		if other == c {
			p.logins = append(p.logins[:i], p.logins[i+1:]...)
			return
		}
	}
}

// ask gets the client a server at once, or a place in the line. It tells whether the unit may be sent now.
func (e *Engine) ask(c *client) bool {
	p := c.pool
	if p.Line.Len() == 0 {
		if s, ok := p.Take(); ok {
			e.grant(c, s)
			return s.phase == leased
		}
	}
	c.since = e.now
	p.Line.Join(&c.place, c)
	e.staff(p)
	e.watch(p)
	return false
}

// staff opens a server if somebody waits for one and there is room.
func (e *Engine) staff(p *pool) {
	for !p.retrying && p.Wanted(len(p.logins)) {
		e.dial(p)
	}
}

// grant leases s to c. The client's settings come first; nothing of its own is sent before they are in force (E1).
func (e *Engine) grant(c *client, s *server) {
	c.place.Leave()
	c.srv, s.cl = s, c
	c.sess.Leased()
	if c.told == s.set {
		s.phase = leased
		return
	}
	for _, p := range lease.Tell(c.told, s.set) {
		e.tell(c, p.Name, p.Value)
	}
	s.sets = lease.Apply(c.told, s.set)
	if len(s.sets) == 0 {
		s.phase = leased
		c.told = s.set
		return
	}
	s.phase = applying
	c.held = true
	e.command(s, s.sets[0])
}

// handOn gives a clean server to whoever has waited longest, or lays it to rest.
func (e *Engine) handOn(s *server) {
	p := s.pool
	switch {
	case p.Live+p.Dialing+p.Ghosts > p.Limit:
		e.retire(s, "more servers than the pool may have")
		return
	case e.drainedPool(p):
		e.retire(s, "draining")
		return
	}
	c, ok := p.Line.First()
	if !ok {
		s.phase = resting
		s.restSince = e.now
		p.Rest(s)
		e.watch(p)
		return
	}
	e.grant(c, s)
	if s.phase == leased {
		e.proceed(c)
		e.settle(s)
	}
}

// watch sees to the waits of a pool that have a limit: the line's and those of servers at rest.
func (e *Engine) watch(p *pool) {
	at, ok := p.next(e.cfg.Timeouts)
	if !ok || (p.watchAt != 0 && p.watchAt <= at) {
		return
	}
	at = max(at, e.now+time.Millisecond)
	p.watchAt = at
	e.after(at-e.now, func() {
		if p.watchAt != at {
			return // an earlier one has taken its place
		}
		p.watchAt = 0
		e.expire(p)
		e.watch(p)
	})
}

// next is when the first limit in the pool is reached.
func (p *pool) next(t config.Timeouts) (at time.Duration, ok bool) {
	if c, waits := p.Line.First(); waits && p.patience(t) > 0 {
		at, ok = c.since+p.patience(t), true
	}
	if s, rests := p.Oldest(); rests && t.ServerIdle > 0 {
		if end := s.restSince + t.ServerIdle; !ok || end < at {
			at, ok = end, true
		}
	}
	return at, ok
}

// patience is how long the line waits: query_wait_timeout, but where there is no server and none can be had, no longer
// than opening one may take.
func (p *pool) patience(t config.Timeouts) time.Duration {
	if p.Live == 0 && p.failures > 0 && (t.QueryWait == 0 || t.ServerConnect < t.QueryWait) {
		return t.ServerConnect
	}
	return t.QueryWait
}

// expire ends the waits that have reached their limit.
func (e *Engine) expire(p *pool) {
	for {
		c, waits := p.Line.First()
		limit := p.patience(e.cfg.Timeouts)
		if !waits || limit == 0 || c.since+limit > e.now {
			break
		}
		e.refuseWaiting(c, p.waitedTooLong(limit))
	}
	for e.cfg.Timeouts.ServerIdle > 0 {
		s, rests := p.Oldest()
		if !rests || s.restSince+e.cfg.Timeouts.ServerIdle > e.now {
			break
		}
		e.retire(s, "server_idle_timeout")
	}
}

func (p *pool) waitedTooLong(limit time.Duration) sqlstate.Error {
	if p.Live == 0 && p.failures > 0 {
		return sqlstate.NoServer(p.upstream.name + ": " + p.lastFailure.Message)
	}
	return sqlstate.QueryWaitTimeout(limit)
}

// failWaiting tells all who wait for the pool that it cannot be had.
func (e *Engine) failWaiting(p *pool, f Failure) {
	err := sqlstate.NoServer(p.upstream.name + ": " + f.Message)
	err.Code = f.Code
	for {
		c, waits := p.Line.First()
		if !waits {
			break
		}
		e.refuseWaiting(c, err)
	}
	for len(p.logins) > 0 {
		e.refuseLogin(p.logins[0], sqlstate.ServerRefused(p.upstream.name, f.Code, f.Message))
	}
}

// refuseWaiting answers the unit that waits in the line with an error. What waits behind it joins the line anew.
func (e *Engine) refuseWaiting(c *client, err sqlstate.Error) {
	c.place.Leave()
	n, out := c.sess.Unqueue(c.pending, err)
	e.say(c, out)
	c.lastEnd = e.now
	c.keep(c.pending[n:])
	e.proceed(c)
	e.closeIfDraining(c)
}

// upstream is one address of PostgreSQL and the cancels on their way to it.
type upstream struct {
	name    string
	orders  int
	waiting []*order
}

func (e *Engine) upstream(db config.Database) *upstream {
	name := db.Host + ":" + strconv.Itoa(db.Port)
	u := e.upstreams[name]
	if u == nil {
		u = &upstream{name: name}
		e.upstreams[name] = u
	}
	return u
}
