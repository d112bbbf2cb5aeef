package engine

import (
	"strings"
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
)

// fallBack ends the unit of an order in another way than by a key: it goes on down the ladder of cancel_fallback from
// where the order stands.
func (e *Engine) fallBack(o *order, why string) {
	ladder := o.srv.pool.share.Database.Cancel.Ladder()
	for o.rung < len(ladder) {
		rung := ladder[o.rung]
		o.rung++
		switch {
		case rung == config.RungDisconnect:
			e.disconnect(o, why)
			return
		case rung == config.RungSQL && !o.srv.info.Known:
			why += ", nor did it say who it is"
		case rung == config.RungSQL:
			o.side = e.sideTo(o.srv)
			e.carry(o)
			return
		case rung == config.RungNone:
			o.rung = len(ladder)
		}
	}
	e.settleOrder(o, event.Unsupported, why)
	e.giveUp(o)
}

// refused: the server would not carry the order out; the next way is tried where its unit still runs.
func (e *Engine) refused(o *order) {
	was, s := o.state, o.srv
	if was == going {
		o.sends--
	}
	o.lower()
	e.carried(o)
	switch {
	case was == void:
		delete(e.orders, o.id)
	case !e.runs(o):
		o.become(retrying) // the driver owes nothing any more
		e.ended(o)
	default:
		o.become(retrying)
		e.fallBack(o, "the server gave no cancel key, and refused the statement")
	}
	if s.phase != dead {
		e.settle(s)
	}
}

// settling tells how much longer than to EOF the fence of an order is kept: there are servers that close the cancel's
// connection before they have acted on it.
func (e *Engine) settling(o *order) time.Duration {
	s := o.srv
	if o.passes() || o.settling || e.bug == BugSettleIgnored {
		return 0
	}
	return s.pool.share.Database.Cancel.Settle.Or(preset(s))
}

// preset goes by what the server says that it is. PostgreSQL closes when it has signalled.
func preset(s *server) time.Duration {
	if _, cockroach := s.initial.Get("crdb_version"); cockroach {
		return earlyClosers
	}
	version, _ := s.initial.Get("server_version")
	switch {
	case strings.Contains(version, "-YB-"), // YugabyteDB: the signal goes on to other nodes
		strings.HasPrefix(version, "8."): // Redshift: a front for others
		return earlyClosers
	}
	return 0
}

// earlyClosers get that much time by default.
const earlyClosers = 100 * time.Millisecond

// dummyKey says once for each upstream that what it gives for keys is none.
func (e *Engine) dummyKey(s *server, why string) {
	u := s.upstream
	if why != "" {
		u.key = "dummy"
	}
	if u.dummy == "" && why != "" {
		u.dummy = why
		e.out.Emit(event.DummyKey{Upstream: u.name, Reason: why})
	}
}
