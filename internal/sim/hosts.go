package sim

import (
	"slices"
	"strconv"
	"time"

	"cancello/internal/engine"
)

// The places where the database is, in worlds where there are several.
var hostNames = []string{"upstream", "second", "third"}

// outage is what is wrong with a host.
type outage uint8

const (
	well     outage = iota
	refusing        // nobody listens
	starting        // 57P03
	silent          // nothing comes back
	slow            // it lets in, after long
	outages
)

// host is one place where the database may be, and what the engine was told of it.
type host struct {
	name    string
	now     outage
	good    bool          // the last dial there that ended was let in, or none has ended
	failed  time.Duration // when one was told to have failed last; 0 never
	dialing []*attempt    // under way
	addr    int           // of its addresses, the present one
	told    string        // what the engine was told that is; empty: nothing
}

// attempt is one dial under way.
type attempt struct {
	user int
	at   time.Duration
	good bool // the host was, as far as the engine was told
	sole bool // for a replication client alone
}

// address is where the host is now.
func (h *host) address() string { return h.name + "/" + strconv.Itoa(h.addr) }

// startMoves gives hosts other addresses, of which the engine is told a little later.
func (w *World) startMoves() {
	w.poisson(w.k.moves, func() {
		g := w.gate
		h := g.hostAt(hostNames[w.rng.IntN(w.k.hosts)])
		h.addr++
		w.after(w.between(0, 300*time.Millisecond), func() {
			h.told = h.address()
			w.tracef("host %s is at %s now", h.name, h.told)
			g.renewed = w.now
			g.enter(func() { g.m.Resolved(w.now, h.name, []string{h.told}) })
		})
	})
}

// checkAddress looks at a server that is kept in the end.
func (w *World) checkAddress(b *backend) {
	if h := w.gate.hostAt(b.host); h.told != "" && b.addr != h.told {
		w.violate("P8", "%s is kept at %s, and its host is at %s", b.name(), b.addr, h.told)
	}
}

// hostAt finds or makes what is known of a host.
func (g *gate) hostAt(name string) *host {
	for _, h := range g.hosts {
		if h.name == name {
			return h
		}
	}
	h := &host{name: name, good: true}
	g.hosts = append(g.hosts, h)
	return h
}

// places are the names of where the database is now, or was last.
func (g *gate) places() []string {
	var list []string
	for _, u := range g.at.Upstreams() {
		list = append(list, u.Host)
	}
	return list
}

// startOutages has single hosts fail and come back, where there are several.
func (w *World) startOutages() {
	if w.k.hosts < 2 {
		return
	}
	for _, name := range hostNames[:w.k.hosts] {
		w.gate.hostAt(name)
	}
	w.poisson(w.k.outages, func() {
		h := w.gate.hosts[w.rng.IntN(len(w.gate.hosts))]
		if h.now != well {
			return
		}
		w.faults.dials++
		h.now = outage(w.pick(int(refusing), int(outages)-1))
		w.tracef("host %s fails: %d", h.name, h.now)
		if h.now != slow {
			w.strand(h)
		}
		w.after(w.between(50*time.Millisecond, 6*time.Second), func() {
			w.tracef("host %s is well", h.name)
			h.now = well
		})
	})
	w.everyMoment()
}

// strand ends the sessions of a host that fails.
func (w *World) strand(h *host) {
	for _, b := range slices.Clone(w.pm.backends) {
		if b.host != h.name {
			continue
		}
		w.faults.servers++
		if h.now == silent {
			b.end.vanish(w.between(100*time.Millisecond, 2*time.Second))
			continue
		}
		b.end.abort()
		b.die("its host failed")
	}
}

// failDial tells how a dial to a failing host ends, and when.
func (w *World) failDial(h *host, t engine.Target) (d time.Duration, f engine.Failure, fails bool) {
	if w.calm {
		return 0, f, false
	}
	switch h.now {
	case refusing:
		return w.between(200*time.Microsecond, 5*time.Millisecond), engine.Failure{Message: "connection refused"}, true
	case starting:
		return w.between(time.Millisecond, 10*time.Millisecond), engine.Failure{Refused: true, Code: "57P03", Message: "the database system is starting up"}, true
	case silent:
		return t.Timeout, engine.Failure{Message: "timeout"}, true
	case slow:
		if d = w.between(300*time.Millisecond, 4*time.Second); d >= t.Timeout {
			return t.Timeout, engine.Failure{Message: "timeout"}, true
		}
		return d, f, false
	}
	return 0, f, false
}

// dials notes a dial; ended is to be called when the engine is about to be told how it ended.
func (g *gate) dials(h *host, user int, sole *client) (ended func(good bool)) {
	a := &attempt{user, g.w.now, h.good, sole != nil}
	if g.dialing[user]++; a.sole {
		g.soleDials[user]++
	}
	h.dialing = append(h.dialing, a)
	return func(good bool) {
		if g.dialing[user]--; a.sole {
			g.soleDials[user]--
		}
		h.dialing = slices.DeleteFunc(h.dialing, func(o *attempt) bool { return o == a })
		h.good = good
		if !good {
			h.failed = g.w.now
		}
	}
}

// lateDial is how long a dial or the answer of a server is waited for, and how long an upstream that failed is left aside at least, as in the
// engine.
const lateDial = 500 * time.Millisecond

// prompt tells whether the engine has no reason to begin elsewhere: the host is up, as far as the engine was told, and no
// dial to it takes long or is from before the last reload.
func (g *gate) prompt(h *host) bool {
	late := func(a *attempt) bool { return g.w.since(a.at) >= lateDial || a.at <= g.renewed }
	return h.good && !slices.ContainsFunc(h.dialing, late)
}

// checkChoice sees a server dialed: not at a host that fails while another is up, unless it is time to try it again, once.
func (g *gate) checkChoice(h *host) {
	if h.good || g.w.since(h.failed) >= lateDial && len(h.dialing) == 0 || h.failed <= g.renewed {
		return
	}
	for _, name := range g.places() {
		if other := g.hostAt(name); other != h && g.prompt(other) {
			g.w.violate("P5", "a server is dialed at %s, which failed %v ago, though %s is up", h.name, g.w.now-h.failed, name)
		}
	}
}

// starved is since when somebody has been waiting for a server of a user though a host is up and there is room.
type starved [len(clientUsers)]time.Duration

// everyMoment looks again and again whether somebody waits for nothing: at most for a dial to a host that failed, begun
// when no other was up.
func (w *World) everyMoment() {
	const often = 20 * time.Millisecond
	const limit = lateDial + 2*often
	w.after(often, func() {
		for user := range clientUsers {
			since := &w.gate.starved[user]
			switch {
			case !w.starves(user):
				*since = 0
			case *since == 0:
				*since = w.now
			case w.now-*since > limit:
				w.violate("P5", "somebody has waited for %v for a server of %q, though a host is up and there is room", w.now-*since, clientUsers[user])
			}
		}
		w.everyMoment()
	})
}

// starves tells whether somebody waits for a server of a user, there is room for one, a host is up, and no server is
// being opened, at what was such a host when that began, as fast as that should go.
func (w *World) starves(user int) bool {
	g := w.gate
	if g.paused || w.draining || !g.settings.configured() {
		return false
	}
	share, _ := g.settings.live.Share(theDatabase, clientUsers[user])
	servers, asked := g.dialing[user], 0
	for _, k := range g.conns {
		if k != nil && k.server != 0 && k.backend.user == user {
			servers++
			if k.sees.checking && w.since(k.sees.checkAt) < lateDial {
				asked++
			}
		}
	}
	if servers+g.ghosts(user) >= share.Size || g.full(user) {
		return false
	}
	up := false
	for _, name := range g.places() {
		h := g.hostAt(name)
		if slices.ContainsFunc(h.dialing, func(a *attempt) bool { return a.user == user && a.good && !a.sole && w.since(a.at) < lateDial }) {
			return false
		}
		up = up || g.prompt(h)
	}
	for _, c := range w.clients {
		if c.user == user && g.waits(c) {
			asked-- // the servers that are asked whether they are still there are for the first, if that does not take long
		}
	}
	return up && asked < 0
}

// ghosts bounds the closed servers that the engine may still count for a pool.
func (g *gate) ghosts(user int) int {
	n := 0
	for _, at := range g.closures[user] {
		if g.w.since(at) <= 3*time.Second {
			n++
		}
	}
	return n
}

// isLending tells whether a server of a user is on its way to somebody, perhaps to try what a login asks for.
func (g *gate) isLending(user int) bool {
	return slices.ContainsFunc(g.conns, func(k *conn) bool {
		return k != nil && k.server != 0 && k.backend.user == user && k.sees.lending && k.sees.trying
	})
}

// waits tells whether a client waits for a server for sure: for what it is told at login, or with a unit that nothing was
// sent of while it holds none.
func (g *gate) waits(c *client) bool {
	for i, other := range g.logins {
		if other == c {
			if !g.answers[i] {
				return c.replication == "" && !c.conn.over && !c.badParam && !c.unconfigured && !g.isLending(c.user)
			}
			break
		}
	}
	u := c.unit()
	if c.phase != active || c.conn == nil || c.conn.over || c.conn.closing || u == nil || u.fedAt == 0 || u.queuedTo != nil || u.over() || u.refused || u.kind == "nothing" || u.kind == "lone begin" {
		return false
	}
	for _, k := range g.conns {
		if k != nil && k.server != 0 && k.backend.user == c.user && (k.sees.holder == c || k.sees.lending) {
			return false
		}
	}
	return c.leaving == orderly && !c.cut && !c.garbage
}
