package engine

import (
	"cmp"
	"slices"
	"time"

	"cancello/internal/lease"
	"cancello/internal/sqlstate"
)

// quota is the servers that the pools of one database, or of one user on servers, may have together.
type quota struct {
	lease.Quota
	setting string // that limits it
	name    string // of the database or user, in
	in      map[string]*quota
	pools   []*pool
	hungry  int // of the pools, how many have clients that wait for a server and may not open one
}

// claim is what one server, or ghost of one, counts against.
type claim struct{ db, user *quota }

// add counts n servers more.
func (c claim) add(n int) { c.db.Used += n; c.user.Used += n }

// full tells whether one more server would be too many, and by which quota.
func (c claim) full() *quota {
	for _, q := range [...]*quota{c.db, c.user} {
		if q.Full() {
			return q
		}
	}
	return nil
}

// nearlyFull tells whether one more server would be the last.
func (c claim) nearlyFull() bool {
	return c.db.Limit > 0 && c.db.Used+1 >= c.db.Limit || c.user.Limit > 0 && c.user.Used+1 >= c.user.Limit
}

// over tells whether there are too many, and by which setting.
func (c claim) over() (setting string, is bool) {
	for _, q := range [...]*quota{c.db, c.user} {
		if q.Over() {
			return q.setting, true
		}
	}
	return "", false
}

// hungry tells whether some pool waits for a server that counts against the same.
func (c claim) hungry() bool { return c.db.hungry > 0 || c.user.hungry > 0 }

// quotas are all there are, by the name of the database that clients say, and by that of the user on servers.
type quotas struct{ databases, users map[string]*quota }

func newQuotas() quotas { return quotas{map[string]*quota{}, map[string]*quota{}} }

// enroll lets a pool draw on the quotas of its database and of the user that its servers log in as.
func (e *Engine) enroll(p *pool) {
	find := func(of map[string]*quota, name, setting string) *quota {
		q := of[name]
		if q == nil {
			q = &quota{setting: setting, name: name, in: of}
			of[name] = q
		}
		q.pools = append(q.pools, p)
		return q
	}
	user := p.loginUser()
	p.claim = claim{find(e.quotas.databases, p.name.database, "max_db_connections"), find(e.quotas.users, user, "max_user_connections")}
	p.claim.db.Limit, p.claim.user.Limit = e.cfg.MaxServers(p.name.database), e.cfg.MaxUserServers(user)
	p.drawsAs = user
}

// strikeOff undoes enroll. What is open still counts.
func (e *Engine) strikeOff(p *pool) {
	p.sated(e.now)
	for _, q := range [...]*quota{p.claim.db, p.claim.user} {
		q.pools = slices.DeleteFunc(q.pools, func(other *pool) bool { return other == p })
		q.sweep()
	}
}

// sweep forgets a quota that nobody draws on and nothing counts in.
func (q *quota) sweep() {
	if len(q.pools) == 0 && q.Used == 0 && q.in[q.name] == q {
		delete(q.in, q.name)
	}
}

// loginUser is as whom the pool's servers log in.
func (p *pool) loginUser() string {
	if u := p.share.Database.User; u != "" {
		return u
	}
	return p.name.user
}

// starve notes that a pool's clients wait for room in its quotas.
func (p *pool) starve() {
	if !p.hungry {
		p.hungry = true
		p.claim.db.hungry++
		p.claim.user.hungry++
	}
}

// sated undoes starve: there may be room now.
func (p *pool) sated(now time.Duration) {
	if p.crowded {
		p.crowded, p.fedAt = false, now
	}
	if p.hungry {
		p.hungry, p.fedAt = false, now
		p.claim.db.hungry--
		p.claim.user.hungry--
	}
}

// waitsSince is when the one who has waited longest for the pool began to; no one is last.
func (p *pool) waitsSince() time.Duration {
	since := time.Duration(1<<63 - 1)
	if c, waits := p.Line.First(); waits {
		since = c.since
	}
	if len(p.logins) > 0 {
		since = min(since, p.logins[0].clock.joined)
	}
	return since
}

// victims are the servers at rest in other pools that have to go, so that p may open one more; ok is false where that
// would not make room.
func (e *Engine) victims(p *pool) (list []*server, ok bool) {
	room := p.claim
	used := [2]int{room.db.Used, room.user.Used}
	for i, q := range [...]*quota{room.db, room.user} {
		for q.Limit > 0 && used[i] >= q.Limit {
			s := e.oldestIdle(q, p, list)
			if s == nil {
				return nil, false
			}
			list = append(list, s)
			for k, other := range [...]*quota{room.db, room.user} {
				if s.claim.db == other || s.claim.user == other {
					used[k]--
				}
			}
		}
	}
	return list, true
}

// oldestIdle is the server that has been at rest longest of all in a quota but those of p and those listed already.
func (e *Engine) oldestIdle(q *quota, p *pool, but []*server) (oldest *server) {
	for _, other := range q.pools {
		if other == p {
			continue
		}
		for i := range other.Idle() {
			s := other.At(i)
			if slices.Contains(but, s) {
				continue
			}
			if oldest == nil || s.restSince < oldest.restSince {
				oldest = s
			}
			break
		}
	}
	if e.bug == BugEvictBusy && oldest == nil {
		return e.busyServer(q, p, but)
	}
	return oldest
}

// busyServer is BugEvictBusy at work.
func (e *Engine) busyServer(q *quota, p *pool, but []*server) *server {
	for id := Server(1); id <= e.lastServer; id++ {
		if s := e.servers[id]; s != nil && s.pool != p && s.phase == leased && (s.claim.db == q || s.claim.user == q) && !slices.Contains(but, s) {
			return s
		}
	}
	return nil
}

// freed lets the pools that share a quota with a server that is gone open others: first those that have waited longest.
func (e *Engine) freed(c claim) {
	for _, q := range [...]*quota{c.db, c.user} {
		q.sweep()
		if q.Limit > 0 && e.bug != BugHungerForgotten {
			e.feed(q.pools)
		}
	}
}

// feedHungry lets the pools that wait for a server that counts against the same as c have one that has come to rest.
func (e *Engine) feedHungry(c claim) {
	if e.bug == BugHungerForgotten || !c.hungry() {
		return
	}
	for _, q := range [...]*quota{c.db, c.user} {
		if q.hungry > 0 {
			e.feed(q.pools)
		}
	}
}

func (e *Engine) feed(pools []*pool) {
	pools = slices.Clone(pools)
	slices.SortStableFunc(pools, func(a, b *pool) int {
		return cmp.Or(cmp.Compare(a.waitsSince(), b.waitsSince()), a.name.compare(b.name))
	})
	for _, p := range pools {
		if e.pools[p.name] == p {
			e.staff(p)
		}
	}
}

// resizeQuotas puts the limits of a new configuration in force: servers at rest that are too many are closed, the oldest
// first.
func (e *Engine) resizeQuotas(p *pool) {
	if p.loginUser() != p.drawsAs {
		e.strikeOff(p)
		e.enroll(p)
	}
	p.claim.db.Limit, p.claim.user.Limit = e.cfg.MaxServers(p.name.database), e.cfg.MaxUserServers(p.drawsAs)
	for _, q := range [...]*quota{p.claim.db, p.claim.user} {
		for q.Over() {
			s := e.oldestIdle(q, nil, nil)
			if s == nil {
				break
			}
			e.retire(s, beyond(q.setting))
		}
	}
}

// beyond is why a server is closed where a limit of several pools was lowered.
func beyond(setting string) string { return "more servers than " + setting + " allows" }

// noRoom is why no server can be opened for those who wait to be let in, where a limit is.
func (p *pool) noRoom() (err sqlstate.Error, is bool) {
	if q := p.claim.full(); q != nil && p.hungry {
		return sqlstate.NoRoomForServer(q.setting, q.Limit), true
	}
	if p.crowded {
		return sqlstate.NoRoomForServer("default_pool_size", p.Limit), true
	}
	return sqlstate.Error{}, false
}
