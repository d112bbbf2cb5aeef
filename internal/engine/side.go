package engine

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// lane is a way for orders: so many at a time, the rest waits in line.
type lane struct {
	orders  int
	waiting []*order
}

// sidePlace is where and as whom a statement that cancels is said: at the very address of the server that is meant.
type sidePlace struct {
	upstream                    *upstream
	addr, entry, database, user string
}

// side is the few connections to one place over which statements cancel. Outside has the connections; how many there are
// at most, who waits for one and when those at rest are closed is decided here.
type side struct {
	id    Side
	place sidePlace
	lane
	usedAt  time.Duration // when its last order was done
	watchAt time.Duration // when a timer looks whether they have rested for long; 0: none runs
}

// sideTo finds or makes the side over which a statement for s goes.
func (e *Engine) sideTo(s *server) *side {
	t := s.pool.target(s.upstream, 0)
	place := sidePlace{s.upstream, s.info.Addr, t.Entry.Name, t.Database, cmp.Or(t.Entry.Cancel.User, s.as)}
	d := e.sides[place]
	if d == nil {
		e.lastSide++
		d = &side{id: e.lastSide, place: place}
		e.sides[place] = d
	}
	return d
}

// lane is the one that an order takes, and how many it has room for.
func (e *Engine) lane(o *order) (l *lane, most int) {
	if o.side != nil {
		return &o.side.lane, e.cfg.Cancel.SideSize
	}
	return &o.srv.upstream.lane, e.cfg.Cancel.PerUpstream
}

// sideLeft: an order is done with a connection of its side. While nobody uses one they are kept for a time; not where
// they would keep a pause or a drain from being what it says.
func (e *Engine) sideLeft(o *order) {
	d := o.side
	if d == nil || d.orders > 0 || e.bug == BugSidesKept {
		return
	}
	d.usedAt = e.now
	if e.cfg.Cancel.SideIdle == 0 || e.draining || o.srv.pool.paused {
		e.closeSide(d)
		return
	}
	e.watchSide(d)
}

// watchSide looks at a side when it will have rested for cancel_side_idle_timeout.
func (e *Engine) watchSide(d *side) {
	at := d.usedAt + e.cfg.Cancel.SideIdle
	if d.watchAt != 0 && d.watchAt <= at {
		return
	}
	d.watchAt = at
	e.after(at-e.now, func() {
		if d.watchAt != at {
			return // an earlier one has taken its place
		}
		d.watchAt = 0
		switch {
		case e.sides[d.place] != d, d.orders > 0: // they are closed, or sideLeft will look again
		case d.usedAt+e.cfg.Cancel.SideIdle > e.now:
			e.watchSide(d)
		default:
			e.closeSide(d)
		}
	})
}

// closeSide closes the connections of a side, those in use when their orders are done.
func (e *Engine) closeSide(d *side) {
	e.out.CloseSide(d.id)
	if d.orders == 0 && len(d.waiting) == 0 {
		delete(e.sides, d.place)
	}
}

// closeSides closes those of all sides: whoever comes next opens them as things are then.
func (e *Engine) closeSides() {
	if e.bug == BugSidesKept {
		return
	}
	for _, d := range e.sidesInOrder() {
		e.closeSide(d)
	}
}

func (e *Engine) sidesInOrder() []*side {
	return slices.SortedFunc(maps.Values(e.sides), func(a, b *side) int { return cmp.Compare(a.id, b.id) })
}
