package sim

import (
	"time"

	"cancello/internal/config"
)

// drawBounds decides how many servers there may be, and how long they live: in a world of its own, so that nothing else of
// the seed's depends on it.
func (k *Knobs) drawBounds(seed uint64) {
	w := newWorld(seed^0x2545f491, Knobs{}, nil)
	cfg := &k.config
	// A world that knows nothing of it shows what does not depend on it.
	if w.chance(0.4) {
		cfg.Pool.Check.Query = ""
		return
	}
	k.bounded = true
	if w.chance(0.5) {
		k.twoUsers = true
	}
	w.otherBounds(cfg)
	if w.chance(0.15) && k.transaction && !k.mixed && !k.single {
		cfg.Pool.Reset = config.Reset{Query: []string{config.DiscardAll, "RESET ALL", "DEALLOCATE ALL"}[w.pick(0, 2)], Always: true}
	}
	cfg.Pool.FastClose = (k.reloads > 0 || k.pauses > 0) && w.chance(0.3)
	if k.crowded && w.chance(0.5) {
		cfg.Pool.Bounds.DBClients, cfg.Pool.MaxClientConn = cfg.Pool.MaxClientConn, 100
	}
	if k.crowded && w.chance(0.3) {
		cfg.Pool.Bounds.UserClients = w.pick(1, 4)
	}
}

// otherBounds draws the limits of servers and what becomes of those at rest.
func (w *World) otherBounds(cfg *config.Config) {
	b := &cfg.Pool.Bounds
	*b = config.Bounds{DBClients: b.DBClients, UserClients: b.UserClients}
	if w.chance(0.5) {
		b.DBServers = w.pick(1, 4)
	}
	if w.chance(0.2) {
		b.UserServers = w.pick(1, 3)
	}
	if w.chance(0.3) {
		b.MinSize = w.pick(1, 3)
	}
	if w.chance(0.3) {
		b.ReserveSize = w.pick(1, 2)
	}
	cfg.Timeouts.Reserve = w.between(time.Millisecond, 2*time.Second)
	cfg.Timeouts.LoginRetry = w.between(100*time.Millisecond, 15*time.Second)
	cfg.Timeouts.ServerLife = w.between(20*time.Millisecond, 20*time.Second)
	if w.chance(0.05) {
		cfg.Timeouts.ServerLife = 0
	}
	cfg.Pool.RoundRobin = w.chance(0.3)
	cfg.Pool.Check = config.Check{Query: config.EmptyQuery, Delay: w.between(time.Millisecond, 2*time.Second)}
	switch {
	case w.chance(0.2):
		cfg.Pool.Check.Query = ""
	case w.chance(0.1):
		cfg.Pool.Check.Delay = 0
	}
}

// serversOf counts the servers of each user that are open or being opened, and closed by nobody yet.
func (g *gate) serversOf() (n [len(clientUsers)]int) {
	n = g.dialing
	for _, k := range g.conns {
		if k != nil && k.server != 0 && !k.closing {
			n[k.backend.user]++
		}
	}
	return n
}

// full tells whether there may be as many servers as all pools together may have, ghosts among them.
func (g *gate) full(user int) bool {
	n, all := g.serversOf(), 0
	for i := range n {
		n[i] += g.ghosts(i)
		all += n[i]
	}
	cfg := &g.settings.live
	database, own := cfg.MaxServers(theDatabase), cfg.MaxUserServers(clientUsers[user])
	return database > 0 && all >= database || own > 0 && n[user] >= own
}

// keptOne tells whether clients may have servers for themselves.
func (w *World) keptOne() bool { return !w.k.transaction || w.k.mixed }

// checkBounds compares numbers of servers with what all pools together may have.
func (w *World) checkBounds(n [len(clientUsers)]int, opened [len(clientUsers)]bool) {
	cfg := &w.gate.settings.live
	all := 0
	for i := range n {
		all += n[i]
		if limit := cfg.MaxUserServers(clientUsers[i]); limit > 0 && n[i] > limit && opened[i] {
			w.violate("P6", "%d servers as %q are open or dialed, max_user_connections is %d", n[i], clientUsers[i], limit)
		}
	}
	if limit := cfg.MaxServers(theDatabase); limit > 0 && all > limit {
		w.violate("P6", "%d servers of the database are open or dialed, max_db_connections is %d", all, limit)
	}
}

// checkAsked sees something go to a server that has rested: if it was silent for longer than server_check_delay, it must
// have been asked whether it is still there. A fence may have kept it since.
func (w *World) checkAsked(k *conn, typ byte, body []byte) {
	check := w.gate.settings.live.Pool.Check
	if _, asked := check.Text(); !asked || check.Delay == 0 || !w.k.transaction || w.k.mixed || w.k.single || k.fenced || k.backend.sole != nil || typ == 'X' || typ == 'Q' && len(body) == 1 {
		return
	}
	if silent := w.since(k.heardAt); silent > check.Delay {
		w.violate("P4", "%s was silent for %v and is handed out without being asked", k.name(), silent)
	}
}

// since is how long ago a moment was, by the gate's own clock.
func (w *World) since(t time.Duration) time.Duration { return w.lasted(t, w.now) }

// lasted is the time between two moments by that clock.
func (w *World) lasted(from, to time.Duration) time.Duration {
	if w.proc == nil {
		return to - from
	}
	return w.proc.clock.here(to) - w.proc.clock.here(from)
}

// takes is how long it takes until so much time has passed by that clock.
func (w *World) takes(d time.Duration) time.Duration {
	if w.proc == nil {
		return d
	}
	return w.proc.clock.world(w.proc.clock.here(w.now)+d) - w.now
}

// checkRetired sees a server told to terminate: nobody may hold it.
func (w *World) checkRetired(k *conn) {
	s := &k.sees
	if k.backend.sole != nil {
		w.checkParted(k)
		return
	}
	if !s.clean(k) {
		w.violate("P8", "%s is told to terminate with something unread or open: last %q %q", k.name(), string(s.lastType), string(s.status))
		return
	}
	if c := s.holder; c != nil && !c.gone() && !c.conn.closing && !c.conn.over {
		for _, u := range c.units {
			if u.queuedTo == k && u.endedAt == 0 {
				w.violate("P8", "%s is told to terminate while unit %d of %s runs", k.name(), u.serial, c.name())
			}
		}
	}
}

// watchHunger looks again and again whether somebody waits for a server though there is room for one, or though there is
// one at rest that another pool can spare.
func (w *World) watchHunger() {
	const often, limit = 20 * time.Millisecond, 1500 * time.Millisecond
	if !w.k.bounded || !w.k.transaction || w.k.mixed || w.k.single {
		return
	}
	var since [len(clientUsers)]time.Duration
	var look func()
	look = func() {
		w.after(often, func() {
			for user := range clientUsers {
				switch why := w.hungers(user); {
				case why == "":
					since[user] = 0
				case since[user] == 0:
					since[user] = w.now
				case w.now-since[user] > limit:
					w.violate("P5", "somebody has waited for %v for a server of %q, though %s", w.now-since[user], clientUsers[user], why)
				}
			}
			look()
		})
	}
	look()
}

// hungers is why a client of the user need not wait.
func (w *World) hungers(user int) (why string) {
	g := w.gate
	if g.paused || w.draining || !g.settings.configured() || w.faults.dials > 0 || g.dialing[user] > 0 {
		return ""
	}
	share, _ := g.settings.live.Share(theDatabase, clientUsers[user])
	n := g.serversOf()
	own := n[user] + g.ghosts(user)
	if limit := g.settings.live.MaxUserServers(clientUsers[user]); own >= share.Size || limit > 0 && own >= limit {
		return ""
	}
	waits := false
	for _, c := range w.clients {
		waits = waits || c.user == user && g.waits(c)
	}
	if !waits {
		return ""
	}
	if !g.full(user) {
		return "there is room for one more"
	}
	for _, k := range g.conns {
		if k != nil && k.server != 0 && !k.closing && k.backend.user != user && k.backend.sole == nil && k.sees.rested && !k.more && w.fence(k) == nil {
			return k.name() + " of another pool is idle"
		}
	}
	return ""
}
