package engine

import "time"

// staff sees to it that those who wait for the pool get servers: the ones at rest that are in doubt are asked first, then
// others are opened where there is room. It keeps min_pool_size, too.
func (e *Engine) staff(p *pool) {
	if e.gathering {
		return // it comes to that when all pools are as they are to be
	}
	p.sated(e.now)
	if p.paused || p.opening {
		return
	}
	e.openSole(p)
	e.checkMore(p)
	for !p.retrying {
		switch {
		case p.wanted() || e.overdue(p):
			if !e.makeRoom(p) {
				return
			}
		case e.lacks(p):
			if p.claim.full() != nil {
				return // nothing is closed for that
			}
		default:
			p.crowded = len(p.logins) > 0 && !p.Room() && p.Dialing <= p.stale+p.aside
			return
		}
		e.dial(p)
	}
}

// together changes several pools: since what one of them gives up is room for another, no server is opened before all of
// them are as they are to be.
func (e *Engine) together(change func()) {
	e.gathering = true
	change()
	e.gathering = false
	all := e.poolsOf("")
	e.feed(all)
	for _, p := range all {
		if e.pools[p.name] != p {
			continue
		}
		if !p.closed && p.known() {
			e.admitAll(p)
		}
		e.watch(p)
		e.sweepPool(p)
	}
}

// wanted tells whether a server has to be opened for those who wait, and may be as far as the pool's size goes.
func (p *pool) wanted() bool { return p.Wanted(len(p.logins) + p.stale + p.aside) }

// makeRoom sees to it that one more server may be opened for those who wait for p, by closing ones at rest in other pools
// where a limit of several pools is reached. Where it cannot, the pool goes hungry until one is free.
func (e *Engine) makeRoom(p *pool) bool {
	if p.claim.full() == nil || e.bug == BugQuotaForgotten {
		return true
	}
	list, ok := e.victims(p)
	if !ok {
		p.starve()
		return false
	}
	p.opening = true
	p.claim.add(1) // nobody else may have the room
	for _, s := range list {
		e.retire(s, evicted)
	}
	p.claim.add(-1)
	p.opening = false
	return true
}

// evicted is why a server at rest is closed for another pool.
const evicted = "closed to make room for another pool of its database or user"

// overdue tells whether somebody has waited for reserve_pool_timeout, and the pool's reserve has a server left for him.
func (e *Engine) overdue(p *pool) bool {
	at, ok := p.reserveAt()
	return ok && at <= e.now
}

// reserveAt is when the first of those who wait, and have no server on its way, may have one of the reserve. While a
// replication client waits for room in the pool there is none: what was opened would be closed for that one again.
func (p *pool) reserveAt() (at time.Duration, ok bool) {
	if p.share.Reserve == 0 || !p.Spare() || len(p.sole) > 0 {
		return 0, false
	}
	c, waits := p.Line.At(max(p.Dialing-p.stale-p.aside-len(p.logins), 0) + p.Checking)
	if !waits {
		return 0, false
	}
	return c.since + p.share.Reserve, true
}

// floor is how many servers the pool keeps: min_pool_size, while it is in use. The pool that a forced user gives its name
// to is from the start.
func (e *Engine) floor(p *pool) int {
	if p.closed || e.draining || p.clients == 0 && !p.home() {
		return 0
	}
	return min(p.share.MinSize, p.Limit)
}

// home tells whether the pool is kept for its servers' sake: of a forced user it is known who will ask for it.
func (p *pool) home() bool {
	return p.share.MinSize > 0 && !p.closed && p.share.Database.User == p.name.user
}

// lacks tells whether the pool has to open one more server to have its min_pool_size: one after the other.
func (e *Engine) lacks(p *pool) bool {
	return p.Dialing == p.aside && p.Room() && p.Live < e.floor(p)
}

// openHomes makes the pools that are kept from the start.
func (e *Engine) openHomes() {
	if e.draining {
		return
	}
	for _, d := range e.cfg.Databases {
		name := poolName{database: d.Name, user: d.User}
		if d.User == "" || d.Name == "*" || e.pools[name] != nil {
			continue
		}
		if share, _ := e.cfg.Share(name.database, name.user); share.MinSize > 0 {
			e.staff(e.pool(name))
		}
	}
}
