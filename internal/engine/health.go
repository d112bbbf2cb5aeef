package engine

import (
	"maps"
	"slices"
	"time"

	"cancello/internal/event"
)

// health is what is remembered of the dials to an upstream. One that fails by its own fault is left aside for a while
// where a database has others: longer with each failure, and then it is tried by a dial that nobody waits for.
type health struct {
	failures int           // in a row; 0: it is up, as far as is known
	since    time.Duration // of the first of them
	until    time.Duration // nobody tries it before, while another is up
	why      string        // the last of them, for people
	tried    Server        // the last server that was dialed there
	dialing  int           // dials under way
	late     int           // of these, those that are not waited for
	watched  bool          // a timer looks at it
	told     bool          // that it fails was said
}

// How long an upstream is left aside: doubled with each failure in a row.
const (
	asideMin = 500 * time.Millisecond
	asideMax = 10 * time.Second
)

// lateDial is how long a dial is waited for where there is another upstream.
const lateDial = 500 * time.Millisecond

// up tells whether the next server may be dialed there.
func (h *health) up() bool { return h.failures == 0 && h.late == 0 }

// before tells, of two that are not up, which one is rather tried.
func (h *health) before(other *health) bool {
	if (h.late == 0) != (other.late == 0) {
		return h.late == 0
	}
	return h.tried < other.tried
}

// begin notes a dial.
func (h *health) begin(s *server) {
	h.dialing++
	h.tried = s.id
}

// setAside has nobody wait for a dial any more: what was expected of it is for another to give.
func (s *server) setAside() {
	if s.aside {
		return
	}
	s.aside = true
	s.upstream.late++
	s.pool.aside++
}

// dialEnded takes a dial out of what is counted, and tells whether it was set aside.
func (s *server) dialEnded() (aside bool) {
	u := s.upstream
	u.dialing--
	if !s.aside {
		return false
	}
	s.aside = false
	u.late--
	if s.era == s.pool.era { // else it was counted among the stale
		s.pool.aside--
	}
	return true
}

// expectDial sets a dial aside that takes long, where another upstream could do better. Where none could, it is waited
// for until one can: see goOn.
func (e *Engine) expectDial(s *server) {
	p := s.pool
	if !p.several() || e.bug == BugLateAwaited {
		return
	}
	e.after(lateDial, func() {
		if e.lags(s) {
			s.setAside()
			e.staff(p)
		}
	})
}

// lags tells whether a dial has taken long, and another upstream could do better.
func (e *Engine) lags(s *server) bool {
	p := s.pool
	better := func(u *upstream) bool { return u != s.upstream && u.late == 0 }
	return s.phase == dialing && e.servers[s.id] == s && s.sole == nil && !s.aside && s.era == p.era &&
		e.now-s.dialedAt >= lateDial && slices.ContainsFunc(p.upstreams, better)
}

// works: a server was opened at u, or it answered as PostgreSQL does. True: it was thought to fail, so goOn has to follow.
func (e *Engine) works(u *upstream) (back bool) {
	if u.told {
		e.out.Emit(event.UpstreamBack{Upstream: u.name, After: e.now - u.since})
	}
	back = u.failures > 0
	u.failures, u.why, u.told = 0, "", false
	return back
}

// goOn: more can be expected of u than a moment ago, since it works, or since no dial there takes long any more. It ends
// the pause of the pools that wait before they try again, and the wait for dials elsewhere that take long.
func (e *Engine) goOn(u *upstream) {
	for _, name := range slices.SortedFunc(maps.Keys(e.pools), poolName.compare) {
		p := e.pools[name]
		if p == nil || !p.serves(u) {
			continue
		}
		looks := p.retrying && u.up()
		p.retrying = p.retrying && !looks
		if p.Dialing > p.stale+p.aside && u.late == 0 && e.bug != BugLateAwaited {
			for _, s := range e.dialingOf(p) {
				if e.lags(s) {
					s.setAside()
					looks = true
				}
			}
		}
		if looks {
			e.staff(p)
		}
	}
}

// fails: a dial to u came to nothing, and it was its own fault.
func (e *Engine) fails(p *pool, u *upstream, f Failure) {
	if u.failures == 0 {
		u.since = e.now
	}
	u.failures++
	u.opened.fails++
	u.why = f.Message
	u.until = e.now + min(asideMin<<min(u.failures-1, 7), asideMax)
	if p.several() {
		if !u.told {
			u.told = true
			e.out.Emit(event.UpstreamFailing{Upstream: u.name, Reason: f.Message})
		}
		e.watchUpstream(u)
	}
}

// watchUpstream looks at an upstream again when it has been left aside long enough.
func (e *Engine) watchUpstream(u *upstream) {
	if u.watched {
		return
	}
	u.watched = true
	e.after(max(u.until-e.now, asideMin), func() {
		u.watched = false
		if u.failures > 0 && e.tryAgain(u) {
			e.watchUpstream(u)
		}
	})
}

// tryAgain has one pool try an upstream that fails. False: none has a choice, so none has to be told.
func (e *Engine) tryAgain(u *upstream) (watch bool) {
	for _, name := range slices.SortedFunc(maps.Keys(e.pools), poolName.compare) {
		p := e.pools[name]
		if p.closed || p.clients == 0 || e.draining || !p.several() || !p.serves(u) {
			continue
		}
		watch = true
		if !p.paused && e.due(p) == u {
			e.open(p, u, true)
			return true
		}
	}
	return watch
}

// due is an upstream of the pool that it is time to try again, if one is up that serves meanwhile and there is room for a
// dial that nobody waits for. Those who wait are not kept by it: it takes the last place only where nobody waits, or
// where servers come back all the time.
func (e *Engine) due(p *pool) *upstream {
	lastPlace := p.Total()+1 >= p.Limit || p.claim.nearlyFull()
	waited := p.Line.Len()+len(p.logins) > 0
	if !p.several() || !p.Room() || p.claim.full() != nil || !p.anyUp() || lastPlace && waited && (p.Live == 0 || p.keeps()) {
		return nil
	}
	for _, u := range p.upstreams {
		if u.failures > 0 && u.dialing == 0 && u.until <= e.now {
			return u
		}
	}
	return nil
}
