package sim

import (
	"slices"
	"strconv"
	"time"

	"cancello/internal/event"
	"cancello/internal/relay"
)

// request is one CancelRequest in a cluster: the ticket is of the world of the client whose key it bears, and is judged by
// that world's checkers; here is judged what happens on the way.
//
// Who read it releases and settles it once (P3), and not before the owner has released it, where one does. It fails only
// where the link was down, and then not before the time is over that it may take to come back (P2). The bounds that go over
// a link hold the moment that it was read at, by the true time (P1). It goes over one link, and one more between processes
// of one node, and is judged once for each process that asks.
type request struct {
	id     int
	t      *ticket
	home   *process // whose client's key it bears
	at     *process // who read it; nil: nobody
	readAt time.Duration
	pid    uint32
	key    []byte

	local         bool // judged where it was read, as without a cluster
	passed        bool // given to the relay where it was read
	lost          bool // whoever had it is gone
	released      int
	releasedAt    time.Duration
	settledAt     time.Duration
	early         bool // it was released before the owner had done so
	ownerReleased bool
	judged        bool // by the owner, for who passed it on
	ownerSettled  bool
	owner         event.Outcome // there
	hops          []hop

	leg, of *request             // as a plain request: what it is at its owner's node, and what that is of
	broken  bool                 // the leg's connection was
	hear    func(failure string) // of a leg: tells who sent it of the end of its connection
	heard   bool
}

// hop is one process asking another.
type hop struct{ from, to *process }

func (x *request) ticket() relay.Ticket { return relay.Ticket(1<<62 | x.id) }

// remote names it to whoever judges it; the address is its client's, or of the node that sent it.
func (x *request) remote() string {
	if x.of != nil {
		return "10.0.0." + strconv.Itoa(int(x.of.at.node)) + ":" + strconv.Itoa(x.id)
	}
	return "10." + strconv.Itoa(x.home.id) + "." + strconv.Itoa(x.t.client.id) + ".1:" + strconv.Itoa(x.id)
}

// giveUp is a request of which nothing more will be heard.
func (x *request) giveUp() {
	if x.lost {
		return
	}
	x.lost = true
	x.settledAt = max(1, x.home.c.now)
	if x.of != nil {
		if x.released = 1; x.at != nil {
			x.heardSoon("connection reset by peer")
		}
		return
	}
	if !x.open() {
		x.t.settled = 1
	}
	if x.released = 1; x.t.released == 0 {
		x.t.released = 1
		x.home.c.after(0, x.t.done)
	}
}

// checkHop sees a request passed on.
func (c *cluster) checkHop(e *sessionEnd, a relay.Ask) {
	x := c.request(a.Remote)
	if x == nil {
		return
	}
	c.tracef("process %d says %+v to process %d", e.p.id, a, e.far.p.id)
	read, far := x.readAt, e.far.p.clock
	if from, to := far.world(a.ReadAt), far.world(a.ReadBy); from > read+time.Nanosecond || a.ReadBy != 0 && to < read-time.Nanosecond {
		c.violate("P1", "request %d, read at %v, goes to process %d as read between %v and %v", x.id, read-time.Hour, e.far.p.id, from-time.Hour, to-time.Hour)
	}
	first := x.at == e.p
	if first && e.s.kin != a.Local {
		c.violate("contract", "request %d goes to process %d: local is %v", x.id, e.far.p.id, a.Local)
	}
	if !first && !(e.s.kin && a.Local) {
		c.violate("contract", "request %d, which came over a link, goes on from process %d to process %d", x.id, e.p.id, e.far.p.id)
	}
	for _, h := range x.hops {
		first = first || h.to == e.p && h.from.node != e.p.node
	}
	if !first {
		c.violate("contract", "request %d, which came from a process of its node, goes on from process %d to process %d", x.id, e.p.id, e.far.p.id)
	}
}

// noteAsk sees it arrive.
func (c *cluster) noteAsk(to *sessionEnd, a relay.Ask) {
	if x := c.request(a.Remote); x != nil {
		x.hops = append(x.hops, hop{to.far.p, to.p})
	}
}

// judges is the owner's judgement of a request that came over a link.
func (x *request) judges(known bool, readBy time.Duration) {
	w, t := x.home.w, x.t
	if x.judged || x.of != nil && x.of.judged || x.leg != nil && x.leg.judged {
		w.violate("P3", "request %d is judged twice", x.id)
	}
	x.judged = true
	t.settled = 0
	w.noteJudged(t, known)
	if u := t.allowed; u != nil {
		const inSocket = 50 * time.Millisecond
		by := x.readAt + 100*time.Millisecond
		if readBy != 0 {
			by = x.home.clock.world(readBy) + time.Microsecond
		}
		if u.sentAt > by+inSocket {
			t.allowed, t.next = nil, nil // it was asked for after all this
		} else if u.fedAt > x.readAt+inSocket {
			t.failed = true // it may be taken for that
		}
	}
}

// ownerSettles is the outcome there.
func (x *request) ownerSettles(e event.CancelSettled) {
	w, t := x.home.w, x.t
	x.ownerSettled, x.owner = true, e.Outcome
	t.settledAt, t.outcome, t.settled = w.now, e.Outcome, 1
	w.checkOutcome(t, e)
}

// open is true while the owner is at it.
func (x *request) open() bool {
	return x.judged && !x.ownerSettled || x.leg != nil && x.leg.open()
}

// release is the end of the client's connection.
func (x *request) release(p *process) {
	if x.lost {
		return
	}
	if x.released++; x.released > 1 {
		p.w.violate("P3", "request %d is released twice", x.id)
		return
	}
	x.releasedAt = p.c.now
	x.early = x.passed && !x.ownerReleased
	if x.of != nil {
		x.heardSoon("")
		return
	}
	x.t.released = 1
	x.home.w.after(x.home.w.between(x.home.w.k.minDelay, x.home.w.k.maxDelay), x.t.done)
}

// settle is the outcome where it was read.
func (x *request) settle(p *process, e event.CancelSettled) {
	c := p.c
	switch {
	case x.lost:
		return
	case x.settledAt != 0:
		p.w.violate("P3", "request %d is settled twice, now as %s", x.id, e.Outcome)
		return
	case x.released == 0:
		p.w.violate("P3", "request %d is settled as %s before it is released", x.id, e.Outcome)
	}
	x.settledAt = c.now
	if !x.open() {
		x.t.settled = 1
		if !x.judged && (x.leg == nil || !x.leg.judged) {
			x.t.settledAt, x.t.outcome = c.now, e.Outcome
		}
	}
	x.checkSettled(p, e)
}

func (x *request) checkSettled(p *process, e event.CancelSettled) {
	c := p.c
	if x.of != nil && x.judged && p == x.home {
		return // it is the owner's
	}
	switch e.Outcome {
	case event.Forwarded:
		if e.There == event.Failed && x.owner != e.There && x.mayFail(p) {
			break // who passed it on to the process that has the key could not
		}
		if x.leg != nil && e.There != event.Forwarded || x.leg == nil && (!x.ownerSettled || x.owner != e.There) {
			c.violate("P3", "request %d is settled as %s at its owner: settled %v, as %s", x.id, e.There, x.ownerSettled, x.owner)
		}
		if x.early {
			c.violate("P3", "request %d: its client was let go before its owner had done so", x.id)
		}
	case event.UnknownKey, event.Forged, event.Malformed:
		if x.passed && x.releasedAt < c.now && !(x.ownerSettled && x.owner == e.Outcome) { // else it is released with the outcome
			c.violate("P3", "request %d was released at %v by who had carried it out, and is settled as %s now", x.id, x.releasedAt, e.Outcome)
		}
		if x.t.why != wrongKey && !x.gone() {
			c.violate("P2", "request %d with the key of %s of process %d is settled as %s", x.id, x.t.client.name(), x.home.id, e.Outcome)
		}
	case event.Failed:
		if !x.mayFail(p) {
			c.violate("P2", "request %d failed after %v: %s", x.id, c.now-x.readAt, e.Reason)
		}
	case event.Throttled:
		x.checkThrottled(p, e)
	default:
		c.violate("P3", "request %d is settled as %s where it was read", x.id, e.Outcome)
	}
}

// gone is true when nobody has its key any more.
func (x *request) gone() bool {
	c := x.t.client
	return x.home.dead || x.home.ended || c.gone() || c.departed || c.conn == nil || c.conn.over || c.conn.closing
}

// grace is how long a request waits for a link that is not there, where it was not written.
const grace = 2 * time.Second

// toldIn is by when an outcome is told at the latest where there is a link: that another one is silent is found out by the second
// ping after its last answer, and the request goes to and fro once more.
const toldIn = 2*time.Second + 100*time.Millisecond

// mayFail is true where the way to the owner was not there, for long enough.
func (x *request) mayFail(p *process) bool {
	c := p.c
	if x.home.dead || x.home.ended {
		return true
	}
	if x.leg != nil {
		return x.broken
	}
	late := c.now-x.readAt >= c.k.timeout-time.Millisecond
	if x.t.why == wrongKey || x.gone() {
		if c.deserted(p, late) || slices.ContainsFunc(x.hops, func(h hop) bool { return c.deserted(h.to, late) }) {
			return true
		}
	}
	for _, h := range x.hops { // those of its node wait for each other
		if late && h.to.node == x.home.node && h.to != x.home && !c.well(h.to, x.home) {
			return true
		}
	}
	if p.node == x.home.node {
		return late && !c.well(p, x.home)
	}
	if x.ownerSettled && c.now-x.t.settledAt > toldIn && c.well(p, x.home) {
		return false // it had all the time to be told
	}
	switch {
	case c.plain[p.node][x.home.node] == relay.Never && !c.linked(p, x.home.node, false) && c.now-max(p.alone[x.home.node], x.readAt) >= grace-time.Millisecond:
		return true
	case late:
		return !c.linked(p, x.home.node, true) || p.broke[x.home.node] >= x.readAt
	}
	return false
}

// deserted is true where another process of a process' node may have been asked for a key that nobody has, and could not say so.
func (c *cluster) deserted(p *process, late bool) bool {
	return slices.ContainsFunc(c.procs, func(o *process) bool {
		return o != p && o.node == p.node && (o.dead || o.ended || late && !c.well(p, o))
	})
}

// answered is true when each request has its outcome that was read by a process, or by any.
func (c *cluster) answered(p *process) bool {
	for _, x := range c.asked {
		if !x.local && x.settledAt == 0 && (p == nil || x.at == p) {
			return false
		}
	}
	return c.guessed(p)
}

// checkAnswered asks the same at the very end.
func (c *cluster) checkAnswered() {
	for _, x := range c.asked {
		if !x.local && (x.settledAt == 0 || x.released != 1) {
			c.violate("P3", "request %d was released %d times, and settled at %v", x.id, x.released, x.settledAt)
		}
	}
	if !c.guessed(nil) {
		c.violate("P3", "there are guesses without an outcome")
	}
}
