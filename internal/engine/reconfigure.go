package engine

import (
	"maps"
	"slices"
	"time"

	"cancello/internal/config"
	"cancello/internal/key"
	"cancello/internal/session"
	"cancello/internal/sqlstate"
)

// Reconfigure puts valid settings in force, those that need no restart. It cannot fail. What is under way ends as it
// began: a client keeps the server that it holds, in the mode in which it was given it, and a wait of one server or
// login that has begun keeps its length. Whatever comes next goes by the new settings.
func (e *Engine) Reconfigure(now time.Duration, cfg config.Config) {
	e.now, e.cfg = now, cfg
	e.together(func() {
		for _, name := range slices.SortedFunc(maps.Keys(e.pools), poolName.compare) {
			if p := e.pools[name]; p != nil { // what became of one pool may have ended another
				e.reconfigure(p)
			}
		}
	})
	for _, c := range e.slots {
		if c != nil {
			e.attend(c)
		}
	}
	e.openHomes()
	for _, name := range slices.Sorted(maps.Keys(e.upstreams)) {
		e.carryOn(&e.upstreams[name].lane, cfg.Cancel.PerUpstream)
	}
	e.closeSides()
	for _, d := range e.sidesInOrder() {
		e.carryOn(&d.lane, cfg.Cancel.SideSize)
	}
}

// UseKeys has the keys of clients to come be minted by m, and requests be judged by it: the cluster's secret changed.
func (e *Engine) UseKeys(now time.Duration, m *key.Minter) { e.now, e.minter = now, m }

func (e *Engine) reconfigure(p *pool) {
	share, ok := e.cfg.Share(p.name.database, p.name.user)
	if !ok {
		e.closePool(p)
		return
	}
	before := p.share
	p.share, p.closed, p.tally = share, false, e.tally(share.Database.Name)
	e.move(p, before.Database)
	p.RoundRobin = e.cfg.Pool.RoundRobin
	if before.Mode != share.Mode && p.mode() == session.Keep {
		e.cleanIdle(p)
	}
	e.resizeQuotas(p)
	e.resize(p)
	e.wearAll(p)
	if p.known() {
		e.admitAll(p)
	}
	e.expire(p)
	e.watch(p)
	e.sweepPool(p)
}

// closePool: the pool's database is no longer configured. Who is in stays, and gets servers as before; who waits to be let
// in is not.
func (e *Engine) closePool(p *pool) {
	p.closed = true
	e.resizeQuotas(p)
	for len(p.logins) > 0 {
		e.refuseLogin(p.logins[0], sqlstate.DatabaseNotConfigured(p.name.database))
	}
	for _, c := range append(p.Line.All(), p.sole...) {
		if c.login != 0 {
			e.refuseLogin(c, sqlstate.DatabaseNotConfigured(p.name.database))
		}
	}
	e.emptyIfDeserted(p)
	e.sweepPool(p)
}

// moved tells whether servers that were opened for one entry are not those of the other.
func moved(a, b config.Database) bool {
	return a.DBName != b.DBName || a.User != b.User
}

// move sends the pool's servers elsewhere, if that is where it is now: new ones at once, old ones when their clients are
// done with them. Servers at an upstream that stays are kept.
func (e *Engine) move(p *pool, from config.Database) {
	old := p.upstreams
	p.upstreams = e.upstreamsOf(p.share.Database)
	switch {
	case moved(from, p.share.Database) || !slices.ContainsFunc(old, p.serves):
		e.renew(p, movedAway)
	case !slices.Equal(old, p.upstreams):
		e.leaveUpstreams(p)
	}
}

// renew gives up the pool's servers: those at rest at once, others when their clients are done with them.
func (e *Engine) renew(p *pool, why string) {
	p.era++
	p.why = why
	p.stale, p.aside = p.Dialing, 0
	for _, u := range p.upstreams {
		u.until = e.now // whoever asks for new servers asks everywhere
	}
	p.outdated = true
	p.failures, p.lastFailure, p.retrying = 0, Failure{}, false // what failed was elsewhere
	p.accepted.Clear()
	for s, rests := p.Take(); rests; s, rests = p.Take() {
		e.retire(s, why)
	}
	e.hurryAll(p)
}

// cleanIdle resets the servers at rest that were shared, now that clients have theirs for themselves.
func (e *Engine) cleanIdle(p *pool) {
	for range p.Idle() {
		s, _ := p.Oldest()
		p.Remove(s)
		if !s.shared {
			p.Rest(s)
			continue
		}
		s.phase = cleaning
		e.handOn(s)
	}
}

// movedAway is why servers at the old place are closed.
const movedAway = "its database is configured to be elsewhere"

// resize holds the pool to its size: it closes servers at rest that are too many, and opens others where there is room.
func (e *Engine) resize(p *pool) {
	p.size()
	for p.Over() {
		s, rests := p.Oldest()
		if !rests {
			break
		}
		e.retire(s, tooMany)
	}
	e.staff(p)
}

// tooMany is why servers are closed that a smaller pool has no room for.
const tooMany = "more servers than the pool may have"
