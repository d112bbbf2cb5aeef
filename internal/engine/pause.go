package engine

import (
	"maps"
	"slices"
	"time"

	"cancello/internal/event"
	"cancello/internal/sqlstate"
	"cancello/internal/unit"
)

// Pause gives no server of a database away any more, and closes each as soon as nobody holds it; empty is all databases.
// Clients may come, and wait. Cancels go on. False: there is no such database, or a drain is under way, which a pause
// would keep from its end.
func (e *Engine) Pause(now time.Duration, database string) bool {
	e.now = now
	if e.draining || !e.knows(database) {
		return false
	}
	if database == "" {
		e.pausedAll = true
	} else {
		e.paused[database] = true
	}
	e.closeSides()
	e.together(func() {
		for _, p := range e.poolsOf(database) {
			p.paused = true
			for s, rests := p.Take(); rests; s, rests = p.Take() {
				e.retire(s, "PAUSE")
			}
		}
	})
	return true
}

// Resume undoes Pause and Kill; empty is all databases. False: nothing was paused.
func (e *Engine) Resume(now time.Duration, database string) bool {
	e.now = now
	was := e.pausedAll || len(e.paused) > 0
	if database != "" {
		was = e.paused[database]
		delete(e.paused, database)
	} else {
		e.pausedAll = false
		clear(e.paused)
	}
	if !was {
		return false
	}
	for _, p := range e.poolsOf(database) {
		p.paused = e.isPaused(p.name.database)
		e.staff(p)
		e.watch(p) // the line waits less long where no server can be had
	}
	return true
}

// Reconnect closes every server of a database once nobody holds it, and opens new ones for those who come next; empty is
// all databases. False: there is no such database.
func (e *Engine) Reconnect(now time.Duration, database string) bool {
	e.now = now
	if !e.knows(database) {
		return false
	}
	e.closeSides()
	e.together(func() {
		for _, p := range e.poolsOf(database) {
			e.renew(p, "RECONNECT")
		}
	})
	return true
}

// Kill pauses a database, but for a drain, and lets its clients go: what they run is cancelled, what they left open is rolled back. Empty is
// all databases. False: there is no such database.
func (e *Engine) Kill(now time.Duration, database string) bool {
	if !e.Pause(now, database) && !e.draining {
		return false
	}
	for _, c := range append([]*client(nil), e.slots...) {
		if c != nil && (database == "" || c.pool.name.database == database) {
			e.kill(c, "KILL")
		}
	}
	return true
}

// KillClient lets one client go, by the pid that it was given. False: there is none.
func (e *Engine) KillClient(now time.Duration, pid uint32) bool {
	e.now = now
	for _, c := range e.slots {
		if c != nil && c.pid == pid && !c.gone {
			e.kill(c, "KILL_CLIENT")
			return true
		}
	}
	return false
}

// CancelClient cancels what a client runs or waits with, by the pid that it was given. It goes the way of the client's own
// cancel, but not to a COMMIT (trap A11).
func (e *Engine) CancelClient(now time.Duration, pid uint32) event.Asked {
	const cause = "CANCEL"
	e.now = now
	for _, c := range e.slots {
		switch {
		case c == nil || c.pid != pid || c.gone || c.login != 0:
			continue
		case c.sess.Begun() > c.sess.Ended() && e.protected(c):
			return event.AskedAtCommit
		case c.sess.Begun() > c.sess.Ended():
			e.orderOwn(c, cause)
		case c.sess.Waits(c.pending) != unit.NoUnit:
			o := &order{unit: c.sess.Begun() + 1, kind: c.sess.Waits(c.pending), cause: cause}
			e.unqueue(c)
			e.settleTicket(ticket{readAt: now, released: true}, event.Unqueued, c, o, "")
		default:
			return event.AskedIdle
		}
		return event.AskedDone
	}
	return event.AskedNobody
}

func (e *Engine) kill(c *client, cause string) {
	if c.login != 0 {
		e.refuseLogin(c, sqlstate.AdminShutdown())
		return
	}
	e.end(c, sqlstate.AdminShutdown(), cause)
}

// Pausing tells how far a Pause is; empty is all databases.
func (e *Engine) Pausing(now time.Duration, database string) event.Pausing {
	e.now = now
	if !e.pausedAll && !e.paused[database] {
		return event.NotPaused
	}
	for _, p := range e.poolsOf(database) {
		if p.Live > 0 || p.Dialing > 0 {
			return event.PauseWaits
		}
	}
	return event.PauseHolds
}

// isPaused tells whether new pools of a database begin paused.
func (e *Engine) isPaused(database string) bool { return e.pausedAll || e.paused[database] }

// knows tells whether clients can ask for a database; empty is all of them.
func (e *Engine) knows(database string) bool {
	if database == "" {
		return true
	}
	_, configured := e.cfg.Share(database, "")
	return configured || len(e.poolsOf(database)) > 0
}

// poolsOf is the pools of a database, or all, by name.
func (e *Engine) poolsOf(database string) []*pool {
	var list []*pool
	for _, name := range slices.SortedFunc(maps.Keys(e.pools), poolName.compare) {
		if database == "" || name.database == database {
			list = append(list, e.pools[name])
		}
	}
	return list
}
