package sim

import (
	"strconv"
	"strings"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/key"
	"cancello/internal/relay"
)

// process is one process of a cluster: a World, a relay, and a clock of its own.
type process struct {
	c     *cluster
	w     *World
	id    int
	node  uint16
	clock crystal
	m     Member
	r     *relay.Relay
	keys  *key.Minter
	inc   [4]byte

	dead    bool // killed
	ended   bool // its last client has left, after another process took over
	retired bool // another process took over: new connections go there
	inside  bool // the relay is running
	posted  time.Duration
	wakes   uint64
	alone   []time.Duration     // since when it has had no link, by node
	broke   []time.Duration     // until when the last time, or when one was cut
	told    map[uint64]bool     // tickets of the relay's that it told the outcome of
	judging map[uint64]*request // what its engine judges for the relay
}

// crystal is a clock: its moment at the beginning, and by how many millionths it is fast.
type crystal struct {
	origin time.Duration
	ppm    float64
}

func (p *process) name() string { return "p" + strconv.Itoa(p.id) }

// here is what it says at a moment of the world's.
func (c crystal) here(t time.Duration) time.Duration {
	t -= time.Hour
	return c.origin + t + time.Duration(float64(t)*c.ppm/1e6)
}

// world is the moment of the world's when it says so.
func (c crystal) world(t time.Duration) time.Duration {
	t -= c.origin
	return time.Hour + time.Duration(float64(t)/(1+c.ppm/1e6))
}

// timed is an engine that lives by a clock of its own. Moments come and go by the world's.
type timed struct {
	Member
	engine.Outside
	clock crystal
}

func (t *timed) Wake(at time.Duration) { t.Outside.Wake(t.clock.world(at) + time.Nanosecond) }

func (t *timed) LoginAsked(now time.Duration, l engine.Login, r engine.Request) {
	t.Member.LoginAsked(t.clock.here(now), l, r)
}

func (t *timed) Data(now time.Duration, c engine.Conn, b engine.Buf) {
	t.Member.Data(t.clock.here(now), c, b)
}

func (t *timed) Sent(now time.Duration, c engine.Conn, n int) {
	t.Member.Sent(t.clock.here(now), c, n)
}

func (t *timed) Closed(now time.Duration, c engine.Conn, err error) {
	t.Member.Closed(t.clock.here(now), c, err)
}

func (t *timed) Dialed(now time.Duration, s engine.Server, c engine.Conn, info engine.ServerInfo) {
	t.Member.Dialed(t.clock.here(now), s, c, info)
}

func (t *timed) DialFailed(now time.Duration, s engine.Server, f engine.Failure) {
	t.Member.DialFailed(t.clock.here(now), s, f)
}

func (t *timed) CancelRequested(now time.Duration, id engine.Ticket, r engine.CancelRequest) {
	if !relay.Ticket(id).Arrived() { // else it is by this clock already
		r.ReadAt = t.clock.here(r.ReadAt)
	}
	t.Member.CancelRequested(t.clock.here(now), id, r)
}

func (t *timed) CancelReady(now time.Duration, o engine.Order) {
	t.Member.CancelReady(t.clock.here(now), o)
}

func (t *timed) CancelDone(now time.Duration, o engine.Order, r engine.Result) {
	t.Member.CancelDone(t.clock.here(now), o, r)
}

func (t *timed) Tick(now time.Duration) { t.Member.Tick(t.clock.here(now)) }

func (t *timed) Resolved(now time.Duration, host string, addrs []string) {
	t.Member.Resolved(t.clock.here(now), host, addrs)
}

func (t *timed) Reconfigure(now time.Duration, c config.Config) {
	t.Member.Reconfigure(t.clock.here(now), c)
}

func (t *timed) Told(now time.Duration, c engine.Conn) { t.Member.Told(t.clock.here(now), c) }

func (t *timed) Drain(now time.Duration) { t.Member.Drain(t.clock.here(now)) }

// start starts a process of a node; after is the one that it takes over from, if any.
func (c *cluster) start(node uint16, after *process) *process {
	p := &process{
		c: c, id: len(c.procs) + 1, node: node, told: map[uint64]bool{}, judging: map[uint64]*request{},
		clock: crystal{c.between(time.Second, 1000*time.Hour), 400*c.rng.Float64() - 200},
	}
	for range c.k.nodes {
		p.alone, p.broke = append(p.alone, c.now), append(p.broke, 0)
	}
	p.inc = [4]byte{byte(p.id), byte(c.seed)}
	seed := c.seed*64 + uint64(p.id)
	k := memberKnobs(seed, c)
	p.w = newWorld(seed, k, c.trace)
	p.w.timeline, p.w.proc = c.timeline, p
	p.keys = key.NewMinter(node, p.inc, c.secretsNow(c.phase)...)
	c.procs = append(c.procs, p)
	c.tracef("process %d of node %d starts: %+v", p.id, node, k)
	p.w.populate(func(cfg config.Config, out engine.Outside, _ uint64) Machine {
		t := &timed{Outside: out, clock: p.clock}
		t.Member = c.o.Machine(cfg, t, p.keys)
		p.m = t.Member
		return t
	})
	p.r = relay.New(p)
	p.r.Sabotage(c.o.Bug)
	var peers []relay.Peer
	for n := range c.k.nodes {
		if uint16(n) != node {
			peers = append(peers, relay.Peer{Node: uint16(n), Plain: c.plain[node][n]})
		}
	}
	p.enter(func(now time.Duration) {
		p.r.Configure(now, relay.Config{Node: node, Peers: peers, Timeout: c.k.timeout, MaxAsks: c.maxAsks()})
	})
	if after != nil {
		for _, x := range c.procs {
			if x != p && x.node == node && !x.dead && !x.ended {
				c.bind(x, p, true)
			}
		}
	}
	for n := range c.k.nodes {
		if uint16(n) != node {
			c.connectSoon(node, uint16(n))
		}
	}
	return p
}

// memberKnobs are those of one process: fewer clients than in a world of its own, who cancel more.
func memberKnobs(seed uint64, c *cluster) Knobs {
	k := drawKnobs(seed)
	k.clients, k.units = 1+k.clients/3, 2+k.units/3
	k.horizon = c.k.horizon
	k.cancels = max(k.cancels, 0.5)
	k.long = min(k.long, 3*time.Second)
	k.drain /= 4
	k.bigRows = 0
	if seed%2 == 0 { // so long that a request that was on its way for some time finds another unit than it was for
		k.think, k.longs = 40*k.think, 0.4
	}
	k.config.Cancel.Timeout = c.k.timeout
	if c.o.Member != nil {
		c.o.Member(&k)
	}
	return k
}

// secretsNow are the secrets that a node has in a phase of the rotation: first the other one is made known to all, then it
// is minted under.
func (c *cluster) secretsNow(phase int) [][]byte {
	now, other := c.secrets[0], c.secrets[1]
	switch phase {
	case 0:
		return [][]byte{now}
	case 1:
		return [][]byte{now, other}
	}
	if c.o.Keys != nil {
		return c.o.Keys(other, now)
	}
	return [][]byte{other, now}
}

// useKeys gives a process the secrets of a phase.
func (p *process) useKeys(phase int) {
	if p.dead || p.ended {
		return
	}
	p.c.tracef("process %d has the secrets of phase %d", p.id, phase)
	p.keys = key.NewMinter(p.node, p.inc, p.c.secretsNow(phase)...)
	p.w.gate.enter(func() { p.m.UseKeys(p.clock.here(p.c.now), p.keys) })
}

// incarnation is what links know a process by.
func (p *process) incarnation() uint64 { return uint64(p.id)<<32 | p.c.seed&0xffffffff }

// enter runs one event through the relay.
func (p *process) enter(f func(now time.Duration)) {
	if p.inside {
		panic("sim: an event inside an event of a relay")
	}
	if p.dead || p.ended {
		return
	}
	p.inside = true
	f(p.clock.here(p.c.now))
	p.inside = false
}

// post runs an event through the relay soon, in order.
func (p *process) post(f func(now time.Duration)) {
	p.posted = max(p.posted, p.c.now+p.c.between(0, 100*time.Microsecond))
	p.c.at(p.posted, func() { p.enter(f) })
}

// away tells the tickets that are none of a world's own requests at its own process.
func away(id engine.Ticket) bool { return id >= 1<<62 }

// spread sends a request to a process, as a balancer does that knows nothing of keys.
func (c *cluster) spread(t *ticket, pid uint32, k []byte, post time.Duration) {
	home := t.client.w.proc
	x := &request{id: len(c.asked) + 1, t: t, home: home, readAt: c.now, pid: pid, key: append([]byte(nil), k...)}
	c.asked = append(c.asked, x)
	at := c.newest(uint16(c.rng.IntN(c.k.nodes)))
	if c.chance(c.k.slack) || at == nil {
		at = c.newest(home.node)
	}
	if p := c.procs[c.rng.IntN(len(c.procs))]; p.retired && !p.dead && !p.ended && c.chance(0.3) {
		at = p // it was accepted there before
	}
	if at == nil {
		x.giveUp()
		return
	}
	x.at = at
	if at != home {
		c.tracef("request %d: ticket %d of process %d is read by process %d", x.id, t.id, home.id, at.id)
	}
	c.after(post, func() { at.take(x) })
}

// take is what a process does with a request: it is judged here, or passed on.
func (p *process) take(x *request) {
	if p.dead || p.ended {
		x.giveUp()
		return
	}
	node, _, _ := key.Split(x.pid)
	q := relay.Request{PID: x.pid, Key: x.key, ReadAt: p.clock.here(x.readAt), Remote: x.remote()}
	switch v := p.keys.Check(x.pid, x.key); {
	case v.Elsewhere() && x.of != nil:
		p.w.violate("contract", "request %d arrives at process %d, and is for node %d", x.id, p.id, node)
	case v.Elsewhere():
		x.passed = true
		p.post(func(now time.Duration) { p.r.Asked(now, x.ticket(), q, node) })
	case p.m.Unknown(x.pid, x.key) && p.r.HasKin():
		x.passed = true
		p.post(func(now time.Duration) { p.r.AskedHere(now, x.ticket(), q) })
	case p == x.home && x.of == nil:
		x.local = true
		p.w.gate.judge(x.t, x.pid, x.key)
	default:
		p.judge(uint64(x.ticket()), x, x.readAt, 0)
	}
}

// judge hands a request of another process' client, or one that came over a link, to the engine.
func (p *process) judge(id uint64, x *request, readAt, readBy time.Duration) {
	known := p.w.gate.look(x.pid, x.key)
	p.judging[id] = x
	r := engine.CancelRequest{PID: x.pid, Key: x.key, ReadAt: readAt, ReadBy: readBy, Remote: x.remote()}
	f := func() { p.w.gate.m.CancelRequested(p.c.now, engine.Ticket(id), r) }
	if x.home != p {
		if known {
			p.w.violate("P1", "request %d of process %d finds a client of process %d", x.id, x.home.id, p.id)
		}
		p.w.gate.enter(f)
		return
	}
	x.judges(known, readBy)
	p.w.gate.judges(x.t, f)
}

// released and settled are what the engine says of such a request.
func (p *process) released(id engine.Ticket) {
	x := p.judging[uint64(id)]
	switch t := relay.Ticket(id); {
	case x == nil:
		p.w.violate("contract", "ticket %d is released but was never asked", id)
	case t.Arrived():
		x.ownerReleased = true
		p.post(func(now time.Duration) { p.r.Released(now, t) })
	default:
		x.release(p)
	}
}

func (p *process) settled(e event.CancelSettled) {
	x := p.judging[e.Ticket]
	switch t := relay.Ticket(e.Ticket); {
	case x == nil:
		p.w.violate("contract", "ticket %d is settled but was never asked", e.Ticket)
	case t.Arrived():
		delete(p.judging, e.Ticket)
		if x.home == p {
			x.ownerSettles(e)
		}
		p.post(func(now time.Duration) { p.r.Settled(now, t, e) })
	default:
		delete(p.judging, e.Ticket)
		if x.home == p {
			x.ownerSettles(e)
		}
		x.settle(p, e)
	}
}

// request is what its remote address says; nil: it is a guess.
func (c *cluster) request(remote string) *request {
	if isGuess(remote) {
		return nil
	}
	_, n, _ := strings.Cut(remote, ":")
	id, err := strconv.Atoi(n)
	if err != nil || id < 1 || id > len(c.asked) {
		c.violate("contract", "a request comes from %q", remote)
		return nil
	}
	return c.asked[id-1]
}

// Say, Cut, Plain (plain.go), Judge, Release, Emit and Wake are relay.Outside.

func (p *process) Say(l relay.Link, m relay.Message) { p.c.say(p, l, m) }

// Cut ends this end of a link.
func (p *process) Cut(l relay.Link, reason string) { p.c.cutBy(p, l, reason) }

// Judge answers at once or has the engine judge.
func (p *process) Judge(t relay.Ticket, q relay.Request) {
	x := p.c.request(q.Remote)
	if x == nil {
		p.judgeGuess(t)
		return
	}
	p.c.after(p.c.between(0, 200*time.Microsecond), func() {
		switch {
		case p.dead || p.ended:
		case p.m.Unknown(q.PID, q.Key):
			p.post(func(now time.Duration) { p.r.Unknown(now, t) })
		default:
			p.judge(uint64(t), x, q.ReadAt, q.ReadBy)
		}
	})
}

// Release closes the client's cancel connection.
func (p *process) Release(t relay.Ticket, _ bool) {
	if g := p.c.guess(t); g != nil {
		g.release(p)
	} else if x := p.c.asked[t&^(1<<62)-1]; x.at != p || t.Arrived() {
		p.w.violate("contract", "process %d releases ticket %d, which is none of its own", p.id, t)
	} else {
		x.release(p)
	}
}

// Emit takes the outcome of a request: at who read it, or at who it was passed on to.
func (p *process) Emit(e event.Event) {
	s := e.(event.CancelSettled)
	if p.c.trace != nil {
		p.c.tracef("relay %d: %+v", p.id, s)
	}
	if p.told[s.Ticket] {
		p.w.violate("P3", "process %d tells two outcomes of ticket %d", p.id, s.Ticket)
	}
	p.told[s.Ticket] = true
	if t := relay.Ticket(s.Ticket); p.c.guess(t) != nil {
		p.c.guess(t).settle(p, s)
	} else if !t.Arrived() {
		p.c.asked[t&^(1<<62)-1].settle(p, s)
	} else if _, ok := s.Via.Node(); !ok {
		p.w.violate("P3", "process %d tells of ticket %d without the node that it came by", p.id, s.Ticket)
	}
}

// Wake asks for a Tick; a later one replaces it.
func (p *process) Wake(at time.Duration) {
	p.wakes++
	n := p.wakes
	p.c.at(p.clock.world(at)+p.c.between(time.Nanosecond, 200*time.Microsecond), func() {
		if p.wakes == n {
			p.enter(p.r.Tick)
		}
	})
}
