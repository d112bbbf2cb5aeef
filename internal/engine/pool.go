package engine

import (
	"cmp"
	"slices"
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/lease"
	"cancello/internal/session"
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
	name      poolName
	share     config.Share
	upstreams []*upstream // at least one
	turn      int         // which of them is next, where they are used in turn
	aside     int         // of those being dialed, how many nobody waits for
	tally     *event.Tally
	lastDoor  *door           // where its last client came in
	era       int             // counts the changes of where and as whom its servers log in
	stale     int             // of those being dialed, how many are of an earlier era
	outdated  bool            // params are those of an earlier era
	why       string          // of the last of them, for people
	closed    bool            // its database is no longer configured
	paused    bool            // it gives no server away, and opens none
	params    *lease.Settings // what a new server reports; nil before the first
	settings  lease.Interner
	sole      []*client        // wait for a server of their own to be opened
	accepted  lease.Accepted   // what startup values its servers have taken
	library   *session.Library // the clients' named statements; nil before the first client, and in session mode
	claim     claim            // what a new server counts against
	drawsAs   string           // the user whose quota that is
	hungry    bool             // its clients wait for room in it
	crowded   bool             // those who wait to be let in wait for room in the pool itself: replication clients have it
	fedAt     time.Duration    // when they were last seen to wait for room
	opening   bool             // room is being made for it
	wearAt    time.Duration    // when servers at rest are looked at for their age; 0: none rests
	wornLast  time.Duration    // when one was closed for its age; 0: none was

	logins   []*client // wait for params
	clients  int
	granted  int // SetGrant; 0: the configuration's
	failures int // dials in a row
	retrying bool
	retries  int           // counts the pauses between failing dials
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
		e.resize(p)
	}
}

// size is how many servers the pool may have.
func (p *pool) size() {
	p.Limit, p.Reserve = p.share.Size, p.share.ReserveSize
	if p.granted > 0 {
		p.Limit, p.Reserve = p.granted, 0
	}
}

// mode is the pool's in the terms of a session.
func (p *pool) mode() session.Mode {
	switch p.share.Mode {
	case config.Transaction:
		return session.Share
	case config.Statement:
		return session.Single
	}
	return session.Keep
}

// keeps tells whether clients keep their servers.
func (p *pool) keeps() bool { return p.mode() == session.Keep }

// known tells whether a login can be answered: a server has told its parameters. Where the pool has moved, the new place
// is waited for, if a server can be opened there. If others hold all there may be, perhaps for good, the old values are
// told, and what differs with the first lease.
func (p *pool) known() bool {
	return p.params != nil && (!p.outdated || (!p.Room() || p.hungry) && p.Dialing == p.stale)
}

// target is where and as whom its servers log in.
func (p *pool) target(u *upstream, timeout time.Duration) Target {
	d := p.share.Database
	t := Target{Entry: d, Host: u.host, Port: u.port, Database: d.DBName, User: d.User, Timeout: timeout}
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
		if p.closed {
			return nil
		}
		return p
	}
	share, ok := e.cfg.Share(name.database, name.user)
	if !ok {
		return nil
	}
	p := &pool{name: name, share: share, upstreams: e.upstreamsOf(share.Database), tally: e.tally(share.Database.Name), paused: e.isPaused(name.database)}
	p.turn = int(e.lastServer % Server(len(p.upstreams))) // the servers of many small pools are spread, too
	p.size()
	p.RoundRobin = e.cfg.Pool.RoundRobin
	e.pools[name] = p
	e.enroll(p)
	return p
}

// sweepPool forgets a pool that nobody uses and that has no servers.
func (e *Engine) sweepPool(p *pool) {
	if p.clients == 0 && p.Total() == 0 && e.pools[p.name] == p && (e.draining || !p.home()) {
		delete(e.pools, p.name)
		e.strikeOff(p)
	}
}

func (p *pool) forgetLogin(c *client) {
	p.sole = slices.DeleteFunc(p.sole, func(other *client) bool { return other == c })
	for i, other := range p.logins {
		if other == c {
			p.logins = append(p.logins[:i], p.logins[i+1:]...)
			return
		}
	}
}

// take takes a server at rest for who has just come, unless somebody waits already. One that has rested for long is asked
// first whether it is well, and goes to the line.
func (e *Engine) take(p *pool) (*server, bool) {
	if p.Line.Len() > 0 || p.paused {
		return nil, false
	}
	s, ok := p.Take()
	if ok && e.doubts(s) {
		e.check(s)
		return nil, false
	}
	return s, ok
}

// ask gets the client a server at once, or a place in the line. It tells whether the unit may be sent now.
func (e *Engine) ask(c *client) bool {
	p := c.pool
	c.since = e.now
	if s, ok := e.take(p); ok {
		e.grant(c, s)
		return s.phase == leased
	}
	c.notified = false
	p.Line.Join(&c.place, c)
	e.attend(c)
	e.staff(p)
	e.watch(p)
	return false
}

// grant leases s to c. The client's settings come first; nothing of its own is sent before they are in force (E1).
func (e *Engine) grant(c *client, s *server) {
	if c.login != 0 {
		e.tryOn(c, s)
		return
	}
	p := s.pool
	e.clockWait(c)
	c.place.Leave()
	c.srv, s.cl = s, c
	s.served = true
	c.sess.Become(p.mode())
	s.shared = s.shared || p.mode() != session.Keep
	e.equip(c, s)
	if e.bug == BugStartupKept {
		s.set = p.settings.Intern(s.set.WithOwn(c.told.Own()))
	}
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
	c.held = true
	e.apply(s, c.told)
}

// equip tells a client's session what its server has prepared, and how it reads a text.
func (e *Engine) equip(c *client, s *server) {
	if s.shelf == nil {
		s.shelf = session.NewShelf(s.pool.library)
	}
	s.shelf.Max = e.cfg.Pool.MaxPreparedStatements
	c.sess.Leased(s.shelf)
	c.sess.Reads(s.set.Reading())
}

// handOn gives a clean server to whoever has waited longest, or lays it to rest.
func (e *Engine) handOn(s *server) {
	p := s.pool
	e.checked(s)
	setting, crowd := s.claim.over()
	switch {
	case s.misplaced() != "" && e.bug != BugOldPlaceKept && !(e.bug == BugOldAddressKept && s.misplaced() == addressGone):
		e.retire(s, s.misplaced())
		return
	case p.paused:
		e.retire(s, "PAUSE")
		return
	case p.Over():
		e.retire(s, tooMany)
		return
	case crowd:
		e.retire(s, beyond(setting))
		return
	case e.worn(s):
		e.retireWorn(s)
		return
	case len(p.sole) > 0 && !p.Room():
		e.retire(s, forReplication)
		return
	case s.shared && p.mode() == session.Keep:
		s.chores = []lease.Chore{lease.DiscardAll}
		e.nextChore(s)
		return
	case e.deserted(p):
		e.retire(s, e.desertion())
		return
	}
	s.restSince = e.now
	c, ok := p.Line.First()
	switch {
	case !ok:
		s.phase = resting
		p.Rest(s)
		p.noteWear(s)
		e.watch(p)
		e.feedHungry(s.claim)
		return
	case e.doubts(s): // the delay is none: it is asked each time
		e.check(s)
		return
	}
	e.grant(c, s)
	switch {
	case s.phase == leased:
		e.proceed(c)
		e.settle(s)
	case s.phase == cleaning && !s.busy: // a login had nothing to try
		e.handOn(s)
	}
}

// watch sees to the waits of a pool that have a limit: the line's and those of servers at rest.
func (e *Engine) watch(p *pool) {
	at, ok := p.next(e.cfg.Timeouts.ServerConnect, e.floor(p))
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
		if e.overdue(p) {
			e.staff(p)
		}
		e.watch(p)
	})
}

// next is when the first limit in the pool is reached.
func (p *pool) next(connect time.Duration, floor int) (at time.Duration, ok bool) {
	earlier := func(t time.Duration) {
		if !ok || t < at {
			at, ok = t, true
		}
	}
	if c, waits := p.Line.First(); waits && p.patience(connect) > 0 {
		earlier(c.since + p.patience(connect))
	}
	if s, rests := p.Oldest(); rests && p.share.ServerIdle > 0 && p.Live > floor {
		earlier(s.restSince + p.share.ServerIdle)
	}
	if p.wearAt > 0 {
		earlier(p.wearAt)
	}
	if t, waits := p.reserveAt(); waits && !p.retrying && !p.hungry && !p.paused {
		earlier(t)
	}
	return at, ok
}

// patience is how long the line waits: query_wait_timeout, but where there is no server and none can be had, no longer
// than opening one may take, server_connect_timeout.
func (p *pool) patience(connect time.Duration) time.Duration {
	if p.Live == 0 && p.failures > 0 && !p.paused && (p.share.QueryWait == 0 || connect < p.share.QueryWait) {
		return connect
	}
	return p.share.QueryWait
}

// expire ends the waits that have reached their limit.
func (e *Engine) expire(p *pool) {
	for {
		c, waits := p.Line.First()
		limit := p.patience(e.cfg.Timeouts.ServerConnect)
		if !waits || limit == 0 || c.since+limit > e.now {
			break
		}
		e.refuseWaiting(c, p.waitedTooLong(limit))
	}
	for p.share.ServerIdle > 0 {
		s, rests := p.Oldest()
		if !rests || s.restSince+p.share.ServerIdle > e.now || p.Live <= e.floor(p) {
			break
		}
		e.retire(s, "server_idle_timeout")
	}
	if p.wearAt > 0 && p.wearAt <= e.now {
		e.wearAll(p)
	}
}

func (p *pool) waitedTooLong(limit time.Duration) sqlstate.Error {
	if p.Live == 0 && p.failures > 0 && !p.paused {
		return sqlstate.NoServer(p.trouble())
	}
	return sqlstate.QueryWaitTimeout(limit)
}

// failWaiting tells all who wait for the pool that it cannot be had, for what one of its upstreams said.
func (e *Engine) failWaiting(p *pool, u *upstream, f Failure) {
	err := sqlstate.NoServer(u.name + ": " + f.Message)
	refusal := err.Fatal()
	if f.Refused {
		err.Code = f.Code
		refusal = sqlstate.ServerRefused(u.name, f.Code, f.Message)
	}
	for {
		c, waits := p.Line.First()
		if !waits {
			break
		}
		if c.login != 0 {
			e.refuseLogin(c, refusal)
			continue
		}
		e.refuseWaiting(c, err)
	}
	for len(p.logins) > 0 {
		e.refuseLogin(p.logins[0], refusal)
	}
}

// refuseWaiting answers the unit that waits in the line with an error, and what waits behind it joins the line anew. A
// login that waits for a try is refused.
func (e *Engine) refuseWaiting(c *client, err sqlstate.Error) {
	if c.login != 0 {
		e.refuseLogin(c, err.Fatal())
		return
	}
	c.place.Leave()
	n, out := c.sess.Unqueue(c.pending, err)
	e.say(c, out)
	e.ends(c)
	c.keep(c.pending[n:])
	e.proceed(c)
	e.closeIfDraining(c)
}
