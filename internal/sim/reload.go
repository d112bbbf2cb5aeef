package sim

import (
	"slices"
	"strings"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
)

// reloads is what the gate knows of the settings in force.
type reloads struct {
	live  config.Config
	place int  // counts the changes of where the database is
	gone  bool // the database was not configured at some time
}

// theDatabase is what clients ask for, nowhere what the one entry is called while that is not configured.
const (
	theDatabase = "d"
	nowhere     = "nowhere"
)

// configured tells whether clients are let in.
func (r *reloads) configured() bool {
	_, ok := r.live.Share(theDatabase, clientUsers[0])
	return ok
}

// startReloads puts other settings in force at random moments.
func (w *World) startReloads() {
	w.poisson(w.k.reloads, func() { w.gate.reload(w.otherSettings()) })
}

// otherSettings are those of the world with some changed: sizes in all ways, limits that are shorter than what the
// checkers go by, and where the database is, if anywhere.
func (w *World) otherSettings() config.Config {
	cfg := w.k.config
	db := cfg.Databases[0]
	switch {
	case w.k.hosts > 1 && w.chance(0.6):
		db.Host = strings.Join(hostNames[w.pick(0, 1):w.k.hosts], ",")
	case w.chance(0.4):
		db.Host = "elsewhere"
	}
	if w.chance(0.15) {
		db.Name = nowhere
	}
	if w.k.mixed {
		db.Mode = config.Give(config.Mode(w.pick(0, 1)))
	}
	if w.chance(0.3) {
		db.PoolSize = config.Give(w.pick(1, 4))
	}
	cfg.Databases = []config.Database{db}
	cfg.Users = nil
	if w.chance(0.3) {
		cfg.Users = []config.User{{Name: clientUsers[w.pick(0, 1)], PoolSize: config.Give(w.pick(1, 4))}}
	}
	cfg.Pool.DefaultSize = w.pick(1, 4)
	cfg.Timeouts.ServerIdle = w.between(5*time.Millisecond, 20*time.Second)
	cfg.Timeouts.ServerGhost = w.between(0, 3*time.Second)
	cfg.Timeouts.QueryWait = w.between(cfg.Timeouts.QueryWait/2, cfg.Timeouts.QueryWait)
	cfg.Cancel.PerUpstream = w.pick(1, cfg.Cancel.PerUpstream)
	if w.k.statement {
		cfg.Cancel.SideSize = w.pick(1, cfg.Cancel.SideSize)
		cfg.Cancel.SideIdle = w.between(0, 100*time.Millisecond)
	}
	if w.k.bounded {
		w.otherBounds(&cfg)
	}
	return cfg
}

// reload puts settings in force.
func (g *gate) reload(cfg config.Config) {
	w, r := g.w, &g.settings
	before := r.live
	r.live = cfg
	if r.configured() {
		// An entry that comes back counts as moved if it is not where it was: a pool may have outlived its absence.
		old := g.places()
		g.at = cfg.Databases[0]
		if !slices.ContainsFunc(g.places(), func(name string) bool { return slices.Contains(old, name) }) {
			r.place++
		}
	} else {
		r.gone = true
	}
	if w.trace != nil {
		for _, c := range config.Diff(&before, &cfg) {
			w.tracef("reload: %s %s -> %s", c.Name, c.Old, c.New)
		}
	}
	g.renewed = w.now
	g.enter(func() { g.m.Reconfigure(w.now, cfg) })
}

// checkPlace sees a server opened: where the database is now, unless it is not configured and those who are in still
// work where it was.
func (g *gate) checkPlace(t engine.Target) {
	if !slices.Contains(g.places(), t.Host) {
		g.w.violate("P8", "a server at %s is opened; the database is at %s", t.Host, g.at.Host)
	}
}

// checkLetIn sees a client let in: not while its database was not configured.
func (g *gate) checkLetIn(c *client) {
	if c.unconfigured {
		g.w.violate("P8", "%s is let in to a database that was not configured when it asked", c.name())
	}
}

// checkKept looks, at the very end, at the servers that are kept: none at a place that the database has left, none over
// the size.
func (w *World) checkKept() {
	var n [len(clientUsers)]int
	for _, k := range w.gate.conns {
		if k == nil || k.over || k.closing || !k.adopted || k.backend == nil {
			continue
		}
		if k.backend.place != w.gate.settings.place || !slices.Contains(w.gate.places(), k.backend.host) {
			w.violate("P8", "%s is kept where the database no longer is", k.backend.name())
		}
		if c := k.backend.sole; c != nil {
			w.violate("P4", "%s is kept, though %s, who replicated from it, has left", k.name(), c.name())
		}
		w.checkAddress(k.backend)
		n[k.backend.user]++
	}
	var all [len(clientUsers)]bool
	for i := range n {
		w.checkSize(i, n[i])
		all[i] = true
	}
	w.checkBounds(n, all)
}

// checkSize compares a number of servers with what a pool may have.
func (w *World) checkSize(user, n int) {
	share, ok := w.gate.settings.live.Share(theDatabase, clientUsers[user])
	if ok && n > share.Size+share.ReserveSize {
		w.violate("P6", "%d servers of %q open or dialed, the pool's size is %d, its reserve %d", n, clientUsers[user], share.Size, share.ReserveSize)
	}
}
