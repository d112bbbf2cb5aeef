package sim

import (
	"time"

	"cancello/internal/relay"
)

// session is one session of a link between two processes. What is said on it comes in order, or not at all.
type session struct {
	kin  bool
	cut  bool // nothing gets through any more
	from time.Duration
	ends [2]*sessionEnd
}

// sessionEnd is one process' end.
type sessionEnd struct {
	s    *session
	p    *process
	far  *sessionEnd
	id   relay.Link
	last time.Duration // when the last message to it arrives
	upAt time.Duration // when its process hears of it
	up   bool          // ... and it has
	down bool          // ... and of its end
}

// bind makes a session between two processes.
func (c *cluster) bind(a, b *process, kin bool) {
	s := &session{kin: kin, from: c.now}
	for i, p := range []*process{a, b} {
		c.last++
		s.ends[i] = &sessionEnd{s: s, p: p, id: c.last}
	}
	s.ends[0].far, s.ends[1].far = s.ends[1], s.ends[0]
	c.links = append(c.links, s)
	c.tracef("a link between processes %d and %d", a.id, b.id)
	for _, e := range s.ends {
		far := relay.Far{Node: e.far.p.node, Incarnation: e.far.p.incarnation(), Kin: kin}
		up := func() {
			if e.s.cut || e.down {
				e.down = true
				return
			}
			if !c.linked(e.p, far.Node, true) {
				e.p.broke[far.Node] = c.now // it was till now
			}
			e.up = true
			e.p.enter(func(now time.Duration) { e.p.r.LinkUp(now, e.id, far) })
			for _, old := range c.links { // the newer session of two processes wins; one with another process of that node stays
				for _, x := range old.ends {
					if old != s && x.p == e.p && x.far.p == e.far.p {
						c.downNow(x, "there is a newer link")
					}
				}
			}
		}
		if kin {
			up() // before anything else
		} else {
			e.upAt = c.now + c.between(0, c.k.maxDelay)
			c.at(e.upAt, up)
		}
	}
}

// connectSoon connects two nodes some time from now.
func (c *cluster) connectSoon(a, b uint16) {
	coming := &c.coming[min(a, b)][max(a, b)]
	if *coming {
		return
	}
	*coming = true
	c.after(c.between(c.k.minDelay, c.k.outage), func() {
		*coming = false
		c.connect(a, b)
	})
}

// connect connects the newest processes of two nodes, unless they are.
func (c *cluster) connect(a, b uint16) {
	x, y := c.newest(a), c.newest(b)
	if x == nil || y == nil || a == b || !c.linkable(a, b) {
		return
	}
	for _, s := range c.links {
		if !s.cut && (s.ends[0].p == x && s.ends[1].p == y || s.ends[0].p == y && s.ends[1].p == x) {
			return
		}
	}
	c.bind(x, y, false)
}

// say carries a message to the other end.
func (c *cluster) say(p *process, id relay.Link, m relay.Message) {
	e := c.end(p, id)
	if e == nil || e.s.cut || e.down {
		return
	}
	if a, ok := m.(relay.Ask); ok {
		c.checkHop(e, a)
	}
	d := c.between(c.k.minDelay, c.k.maxDelay)
	if e.s.kin {
		d = c.between(10*time.Microsecond, 200*time.Microsecond)
	}
	to := e.far
	to.last = max(to.last, c.now+d, to.upAt)
	c.at(to.last, func() {
		if e.s.cut || to.down || e.p.dead {
			return // lost
		}
		if a, ok := m.(relay.Ask); ok {
			c.tracef("process %d hears %+v from process %d", to.p.id, a, p.id)
			c.noteAsk(to, a)
		}
		to.p.enter(func(now time.Duration) { to.p.r.Heard(now, to.id, roundTrip(m)) })
	})
}

// roundTrip is a message as it comes out of the codec.
func roundTrip(m relay.Message) relay.Message {
	b := relay.Append(nil, m)
	n, err := relay.BodyLen(b)
	if err != nil {
		panic(err)
	}
	m, err = relay.Parse(b[relay.HeaderLen:][:n])
	if err != nil {
		panic(err)
	}
	return m
}

func (c *cluster) end(p *process, id relay.Link) *sessionEnd {
	for _, s := range c.links {
		for _, e := range s.ends {
			if e.p == p && e.id == id {
				return e
			}
		}
	}
	return nil
}

// cut breaks a session: what is on its way is lost. Its ends hear of it sooner or later, or, where one is silent, by their
// own pings only.
func (c *cluster) cut(s *session) {
	if s.cut {
		return
	}
	s.cut = true
	a, b := s.ends[0], s.ends[1]
	a.p.broke[b.p.node], b.p.broke[a.p.node] = c.now, c.now
	c.tracef("the link between processes %d and %d is cut", a.p.id, b.p.id)
	for _, e := range s.ends {
		if !c.chance(c.k.silent) {
			c.after(c.between(0, 50*time.Millisecond), func() { c.downNow(e, "connection reset by peer") })
		}
	}
	if !s.kin {
		c.connectSoon(a.p.node, b.p.node)
		return
	}
	c.after(c.between(c.k.minDelay, c.k.outage), func() {
		if !a.p.dead && !a.p.ended && !b.p.dead && !b.p.ended {
			c.bind(a.p, b.p, true)
		}
	})
}

// cutBy is one end that gives a session up.
func (c *cluster) cutBy(p *process, id relay.Link, reason string) {
	e := c.end(p, id)
	if e == nil {
		return
	}
	if !e.s.cut {
		c.violate("P5", "process %d gives up a link that works: %s", p.id, reason)
	}
	c.cut(e.s)
	c.after(0, func() { c.downNow(e, reason) })
}

// downNow tells a process of the end of a session.
func (c *cluster) downNow(e *sessionEnd, reason string) {
	if e.down {
		return
	}
	e.down = true
	if !e.up {
		return
	}
	e.s.cut = true
	e.p.broke[e.far.p.node] = c.now
	if !c.linked(e.p, e.far.p.node, false) {
		e.p.alone[e.far.p.node] = c.now
	}
	e.p.enter(func(now time.Duration) { e.p.r.LinkDown(now, e.id, reason) })
	c.after(0, c.sweep)
}

// linked is true while a process knows of a link to a node; working: of one that is none of its illusions.
func (c *cluster) linked(p *process, node uint16, working bool) bool {
	for _, s := range c.links {
		for _, e := range s.ends {
			if e.p == p && e.up && !e.down && e.far.p.node == node && !(working && s.cut) {
				return true
			}
		}
	}
	return false
}

// well is true where nothing has been wrong with the link between two processes for so long that all was said that waited
// for it.
func (c *cluster) well(a, b *process) bool {
	const long = 2 * time.Second
	for _, s := range c.links {
		x, y := s.ends[0], s.ends[1]
		if (x.p == a && y.p == b || x.p == b && y.p == a) && !s.cut && x.up && y.up && c.now-s.from >= long {
			return true
		}
	}
	return false
}

// sweep forgets the sessions that both ends know to be over.
func (c *cluster) sweep() {
	kept := c.links[:0]
	for _, s := range c.links {
		if !s.over() {
			kept = append(kept, s)
		}
	}
	clear(c.links[len(kept):])
	c.links = kept
}

func (s *session) over() bool {
	for _, e := range s.ends {
		if !e.down && !e.p.dead && !e.p.ended {
			return false
		}
	}
	return true
}
