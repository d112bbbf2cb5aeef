package engine

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"cancello/internal/config"
)

// upstream is one place of PostgreSQL, the cancels on their way to it, and whether servers can be had there. Pools of
// several databases may share it.
type upstream struct {
	name  string
	host  string
	port  int
	addrs []string // that the host has, if it is a name that was looked up; nil: not known
	lane
	dummy string // why what it gives for keys is none; empty: as far as is known it is one
	health
	opened
}

// upstreamAt finds or makes the upstream of a host and port.
func (e *Engine) upstreamAt(at config.Upstream) *upstream {
	name := at.Host + ":" + strconv.Itoa(at.Port)
	u := e.upstreams[name]
	if u == nil {
		u = &upstream{name: name, host: at.Host, port: at.Port}
		e.upstreams[name] = u
	}
	return u
}

// upstreamsOf are those of a database, in the order in which they are configured.
func (e *Engine) upstreamsOf(db config.Database) []*upstream {
	var list []*upstream
	for _, at := range db.Upstreams() {
		list = append(list, e.upstreamAt(at))
	}
	return list
}

// choose finds where the pool's next server is to be: at the first upstream that is up, beginning with the first or with
// the next in turn. Where none is up it is one that is not kept waiting for, and of those the one tried longest ago.
func (p *pool) choose(b Bug) *upstream {
	n, first := len(p.upstreams), 0
	inTurn := p.share.Database.Balance.Or(config.InTurn) == config.InTurn
	if inTurn {
		first = p.turn % n
	}
	var best *upstream
	for i := range n {
		u := p.upstreams[(first+i)%n]
		if u.up() || b == BugFailingChosen {
			if inTurn {
				p.turn = (first + i + 1) % n
			}
			return u
		}
		if best == nil || u.before(&best.health) {
			best = u
		}
	}
	return best
}

// anyUp tells whether some upstream of the pool is up.
func (p *pool) anyUp() bool {
	return slices.ContainsFunc(p.upstreams, func(u *upstream) bool { return u.up() })
}

// several tells whether there is a choice.
func (p *pool) several() bool { return len(p.upstreams) > 1 }

// serves tells whether an upstream is one of the pool's.
func (p *pool) serves(u *upstream) bool { return slices.Contains(p.upstreams, u) }

// trouble says why no server can be had, for people: what failed last, at each upstream where there are several.
func (p *pool) trouble() string {
	text := ""
	for _, u := range p.upstreams {
		if p.several() && u.why != "" {
			text += "; " + u.name + ": " + u.why
		}
	}
	switch {
	case text != "":
		return strings.TrimPrefix(text, "; ")
	case p.lastFailure.Message != "": // what this pool was told, not another that is at the same place
		return p.upstreams[0].name + ": " + p.lastFailure.Message
	}
	return p.upstreams[0].name + ": no answer within server_connect_timeout"
}

// limit is how long a dial to u may take. Where there is a choice an upstream that does not answer keeps nobody for the
// whole of server_connect_timeout; one that is slow gets more time with each failure.
func (p *pool) limit(u *upstream, connect time.Duration) time.Duration {
	if !p.several() {
		return connect
	}
	return min(connect, firstDial<<min(u.failures, 5))
}

// firstDial is what a dial to one upstream of several gets that is up as far as is known.
const firstDial = 2 * time.Second

// leaveUpstreams: the pool's upstreams are others now, its servers those of the same database and user. Servers at one
// that is gone are closed, those that a client holds when they come back.
func (e *Engine) leaveUpstreams(p *pool) {
	p.retrying = false
	for range p.Idle() {
		s, _ := p.Oldest()
		p.Remove(s)
		if p.serves(s.upstream) {
			p.Rest(s)
			continue
		}
		e.retire(s, upstreamGone)
	}
	for _, s := range e.dialingOf(p) {
		if !p.serves(s.upstream) {
			if s.sole == nil { // which nobody else waits for
				s.setAside()
			}
			continue
		}
		e.expectDial(s) // there may be a choice now
	}
	e.hurryAll(p)
}

// misplaced is why a server is not where those of its pool are to be; empty: it is.
func (s *server) misplaced() string {
	switch {
	case s.era != s.pool.era:
		return s.pool.why
	case !s.pool.serves(s.upstream):
		return upstreamGone
	case s.moved:
		return addressGone
	}
	return ""
}

// upstreamGone is why servers are closed at an upstream that is no longer configured.
const upstreamGone = "its upstream is no longer one of its database"

// dialingOf are the servers that a pool is opening, in the order in which it began to.
func (e *Engine) dialingOf(p *pool) []*server {
	var list []*server
	for _, s := range e.servers { // order does not matter: sorted below
		if s.pool == p && s.phase == dialing && s.era == p.era {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b *server) int { return int(a.id) - int(b.id) })
	return list
}
