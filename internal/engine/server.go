package engine

import (
	"time"

	"cancello/internal/event"
	"cancello/internal/lease"
	"cancello/internal/session"
	"cancello/internal/wire"
)

// phase is where a server connection is in its life.
type phase uint8

const (
	dialing  phase = iota
	resting        // clean, at everybody's disposal
	applying       // leased; the client's settings are on their way
	leased         // the client's messages flow
	cleaning       // between two clients, with a chore outstanding
	passing        // one client's alone, all its life: see passage.go
	dead
)

// server is one connection to PostgreSQL, from Dial on.
type server struct {
	link
	id   Server
	pool *pool
	// upstream is where it is, and era the pool's when it was dialed: the pool may go elsewhere in its lifetime.
	upstream *upstream
	era      int
	as       string // who logged in
	phase    phase
	moved    bool // its host has other addresses than its own
	aside    bool // it is being dialed, and nobody waits for it
	cl       *client
	sole     *client // the replication client that it was opened for; nil: it is for everybody

	info      ServerInfo
	set       *lease.Settings // what it reports
	initial   *lease.Settings // what it reported at login
	before    []wire.Param    // the unreported settings, while others are on their way
	next      []wire.Param    // those
	worn      bool            // when they were sent, a former client's were in force
	restoring bool            // they are those that the client has reset

	shelf *session.Shelf // what it has prepared for clients by name; nil before the first that may

	frames  frames // of a passage
	pending []byte // a cut message
	more    bool   // the driver stopped at a full buffer: bytes may be waiting
	taking  bool   // its bytes are being gone through: what is behind the message at hand has not been seen
	awaited bool   // a timer waits for the end of a cut message
	fences  int    // cancels on the wire

	claim    claim // what it counts against
	checking bool  // it is asked whether it is still there
	expected bool  // and somebody in the line counts on it
	served   bool  // a client has had it

	shared bool          // since its last reset: what clients have set may have stayed
	busy   bool          // a query of our own is outstanding
	sets   []string      // the client's settings: the query outstanding, then those not sent yet
	chores []lease.Chore // not sent yet
	step   uint64        // counts queries of our own, for their deadlines

	dialedAt  time.Duration
	lastWrite time.Duration // when a client's bytes were sent last
	lastData  time.Duration // when it was heard last; -1 never
	restSince time.Duration // when it was last done with a client or a chore
	openedAt  time.Duration // when it had logged in
	provenAt  time.Duration // when it logged in or answered server_check_query
}

// still tells whether nothing keeps the server from another client: no fence, and no byte of it unread.
func (s *server) still(b Bug) bool {
	return s.fences == 0 && ((!s.more && len(s.pending) == 0) || b == BugUnreadHandOn)
}

// dial opens one more server for the pool. Where it is time to try an upstream that failed, that comes first, and does not
// count for those who wait.
func (e *Engine) dial(p *pool) {
	if u := e.due(p); u != nil {
		e.open(p, u, true)
		return
	}
	e.open(p, p.choose(e.bug), false)
}

// open opens a server at an upstream.
func (e *Engine) open(p *pool, u *upstream, aside bool) {
	e.lastServer++
	s := &server{id: e.lastServer, pool: p, upstream: u, era: p.era, as: p.target(u, 0).User, dialedAt: e.now, lastData: -1, claim: p.claim}
	e.servers[s.id] = s
	p.Dialing++
	s.claim.add(1)
	u.begin(s)
	if aside {
		s.setAside()
	}
	e.out.Dial(s.id, p.target(u, p.limit(u, e.cfg.Timeouts.ServerConnect)))
	e.expectDial(s)
}

// Dialed: a server connection is logged in. conn carries it from now on.
func (e *Engine) Dialed(now time.Duration, id Server, conn Conn, info ServerInfo) {
	e.now = now
	s := e.servers[id]
	p := s.pool
	s.conn, s.info, s.openedAt, s.provenAt = conn, info, now, now
	s.initial = p.settings.Intern(lease.NewSettings(info.Params))
	s.set = s.initial
	e.setPeer(conn, nil, s)
	p.Dialing--
	p.Live++
	s.soleEnded()
	better := s.dialEnded()
	s.upstream.note(&info)
	better = e.works(s.upstream) || better
	s.locate()
	switch {
	case s.era != p.era:
		p.stale--
	case s.sole == nil:
		p.failures, p.lastFailure = 0, Failure{}
		p.params, p.outdated = s.initial, false
	}
	s.phase = cleaning
	e.out.Emit(event.ServerOpened{Server: uint64(id), User: p.name.user, Database: p.name.database, Remote: s.upstream.name, PID: info.PID, HasKey: info.HasKey, As: s.as})
	e.dummyKey(s, info.Dummy)
	if s.sole != nil {
		e.soleDialed(s)
	} else {
		e.handOn(s)
		if p.known() {
			e.admitAll(p)
		}
		p.retrying = p.retrying && s.era != p.era
	}
	e.staff(p) // for who waits behind a pause that is over, and for min_pool_size
	if better {
		e.goOn(s.upstream)
	}
}

// DialFailed: no connection came about for s.
func (e *Engine) DialFailed(now time.Duration, id Server, f Failure) {
	e.now = now
	s := e.servers[id]
	p := s.pool
	delete(e.servers, id)
	p.Dialing--
	s.claim.add(-1)
	current := s.era == p.era
	s.soleEnded()
	aside, refused := s.dialEnded(), hopeless(f)
	better := aside
	if refused {
		better = e.works(s.upstream) || better
	} else {
		e.fails(p, s.upstream, f)
	}
	elsewhere := p.several() && p.anyUp() && (aside || !refused)
	switch {
	case !current:
		p.stale--
	case !elsewhere && s.sole == nil:
		p.lastFailure = f
		p.failures++
	}
	e.out.Emit(event.DialFailed{Server: uint64(id), User: p.name.user, Database: p.name.database, Remote: s.upstream.name, Reason: f.Message})
	if s.sole != nil {
		e.soleFailed(s, f)
	} else if current && p.Live == 0 && refused && !elsewhere {
		e.failWaiting(p, s.upstream, f)
	}
	if better {
		e.goOn(s.upstream)
	}
	e.expire(p)
	e.watch(p) // the line waits less long where no server can be had
	if elsewhere || s.sole != nil {
		e.staff(p)
	}
	e.retry(p)
	if len(p.sole) > 0 { // there is room for one of them, which waits for no pause
		e.staff(p)
	}
	e.freed(s.claim)
	e.sweepPool(p)
	e.checkDrained()
}

// hopeless tells whether trying again soon would meet the same answer: the server refused who we are or what we want, or
// wants what we don't have.
func hopeless(f Failure) bool {
	if !f.Refused || len(f.Code) != 5 {
		return f.Unable
	}
	switch f.Code[:2] {
	case "28", "3D", "42", "22", "0A", "08":
		return true
	}
	return false
}

// retry dials again for those who still wait: soon at first, then later and later, up to server_login_retry.
func (e *Engine) retry(p *pool) {
	if p.retrying || !p.wanted() && !e.overdue(p) && !e.lacks(p) {
		return
	}
	p.retrying = true
	p.retries++
	which := p.retries
	d := min(50*time.Millisecond<<min(p.failures, 20), e.cfg.Timeouts.LoginRetry)
	e.after(d, func() {
		if p.retries != which || !p.retrying {
			return // a login that succeeded has ended the pause
		}
		p.retrying = false
		if e.pools[p.name] == p {
			e.staff(p)
			e.watch(p)
		}
	})
}

// tracks notes a value that the server reports.
func (s *server) tracks(name, value []byte) {
	if !s.set.Has(name, value) {
		s.set = s.pool.settings.Intern(s.set.With(string(name), string(value)))
	}
}

// command sends a query of our own and sees to it that its answer does not take for ever.
func (e *Engine) command(s *server, sql string) {
	s.busy = true
	s.step++
	step, what := s.step, sql
	if s.phase == applying {
		what = "its client's settings" // the values are the client's: they don't belong in a log
	}
	e.send(&s.link, wire.AppendQuery(nil, sql))
	e.after(e.cfg.Timeouts.ServerConnect, func() {
		if s.step == step && s.busy && s.phase != dead {
			e.dismiss(s, "no answer within server_connect_timeout to: "+what)
		}
	})
}

// dismiss closes a server and treats it as lost.
func (e *Engine) dismiss(s *server, reason string) {
	if s.phase == dead {
		return
	}
	e.drop(s, loss{reason: reason, running: true}, Now)
}

// retire closes a server that nobody holds, politely.
func (e *Engine) retire(s *server, reason string) {
	e.send(&s.link, wire.AppendTerminate(nil))
	e.drop(s, loss{reason: reason}, Flush)
}
