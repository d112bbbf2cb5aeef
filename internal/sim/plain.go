package sim

import (
	"time"

	"cancello/internal/relay"
)

// A request that goes to a peer as a plain CancelRequest is another request there: it has a leg, which counts as read when it
// arrives, goes no further than to other processes of that node, and tells nothing but its end. What the leg ends is judged as
// what any request ends; of the one that it is of, that it fails only where the way was broken, that its client isn't let go
// before the leg is, and that it is judged once, be it by its leg or over a link.

// drawPlain decides for each node how it speaks to each other one, in a world of its own, so that nothing else of the seed's
// depends on it.
func (c *cluster) drawPlain() {
	w := newWorld(c.seed^0x7f4a7c15, Knobs{}, nil)
	some := w.chance(0.4)
	c.plain = make([][]relay.Fallback, c.k.nodes)
	for from := range c.plain {
		c.plain[from] = make([]relay.Fallback, c.k.nodes)
		for to := range c.plain[from] {
			if some {
				c.plain[from][to] = relay.Fallback(w.pick(int(relay.Never), int(relay.Always)))
			}
		}
	}
	c.k.lost = w.some(0.5, 0.5)
}

// linkable tells whether one of two nodes wants a link to the other.
func (c *cluster) linkable(a, b uint16) bool {
	return c.plain[a][b] != relay.Always || c.plain[b][a] != relay.Always
}

// Plain carries a request to a peer's listener as a client would.
func (p *process) Plain(t relay.Ticket, node uint16, q relay.Request) {
	c := p.c
	x := c.request(q.Remote)
	if x == nil {
		p.plainGuess(t)
		return
	}
	mode := c.plain[p.node][node]
	if t.Arrived() || x.at != p || x.of != nil || x.leg != nil {
		c.violate("contract", "request %d goes on from process %d as a plain one", x.id, p.id)
	}
	if mode == relay.Never || mode == relay.WithoutIt && c.linked(p, node, true) {
		c.violate("contract", "request %d goes from process %d to node %d as a plain one", x.id, p.id, node)
	}
	c.tracef("process %d sends request %d to node %d as a plain one", p.id, x.id, node)
	y := &request{id: len(c.asked) + 1, t: x.t, home: x.home, of: x, pid: q.PID, key: q.Key}
	c.asked = append(c.asked, y)
	x.leg = y
	y.hear = func(failure string) {
		if y.heard {
			return
		}
		y.heard = true
		x.broken, x.ownerReleased = failure != "", failure == ""
		p.post(func(now time.Duration) { p.r.PlainDone(now, t, failure) })
	}
	c.after(c.k.timeout, func() { y.hear("silence") })
	fate := carried
	if !c.calm && c.chance(c.k.lost) {
		fate = plainFate(c.rng.IntN(int(plainFates)))
	}
	c.after(c.between(c.k.minDelay, 3*c.k.maxDelay), func() { c.arrives(y, node, fate) })
}

// plainFate is what becomes of a plain request on its way.
type plainFate uint8

const (
	carried    plainFate = iota
	unlistened           // the connection is refused
	swallowed            // nothing ever comes through
	unanswered           // it arrives, and its connection is reset
	plainFates
)

// arrives is a plain request at a node's listener, or not.
func (c *cluster) arrives(y *request, node uint16, fate plainFate) {
	to := c.newest(node)
	switch {
	case fate == swallowed:
		y.giveUp()
		return
	case fate == unlistened || to == nil:
		y.giveUp()
		y.heardSoon("connection refused")
		return
	case fate == unanswered:
		y.heardSoon("connection reset by peer")
	}
	y.at, y.readAt = to, c.now
	y.t.readAt = c.now
	to.take(y)
}

// heardSoon tells who sent a plain request what became of its connection.
func (y *request) heardSoon(failure string) {
	c := y.home.c
	c.after(c.between(c.k.minDelay, c.k.maxDelay), func() { y.hear(failure) })
}
