package sim

import (
	"strings"
	"time"

	"cancello/internal/config"
)

// Knobs are what a seed decides about its world. Chances are per opportunity, 0 to 1.
type Knobs struct {
	direct      bool // no gate: clients on servers
	transaction bool // pool_mode is not session
	single      bool // pool_mode is statement
	config      config.Config

	clients int
	units   int // most units of one client
	think   time.Duration
	long    time.Duration // duration of a long statement
	longs   float64       // statements that take so long
	horizon time.Duration // when the faults stop at the latest

	minDelay, maxDelay time.Duration // of the network, one way
	chopped            float64       // connections whose bytes come in pieces
	tinySockets        float64
	readBuffer         int     // of the gate
	latePause          float64 // Data follows a Pause
	turns              float64 // reads whose writes wait for those of others
	slowReaders        float64
	bigRows            float64 // units with results of hundreds of KB

	cancels      float64 // units that their client cancels
	departed     float64 // clients that cancel with their old key after they left
	forged       float64 // cancels with a wrong key, per client
	vanish       float64 // clients that leave without Terminate
	misbehave    float64 // clients that end with garbage or half a message
	crashes      float64 // per second: a server dies
	terminations float64 // per second: a server is terminated
	cuts         float64 // per second: a client's connection is reset
	gossip       float64 // per second: a server says something unasked
	badDials     float64
	badCarries   float64
	drain        float64
	reloads      float64 // per second: other settings
	pauses       float64 // per second: PAUSE and RESUME, or RECONNECT
	hosts        int     // where the database is
	outages      float64 // per second: one of several hosts fails
	moves        float64 // per second: a host has another address
	commands     float64 // per second: CANCEL or KILL_CLIENT
	disables     float64 // per second: DISABLE and ENABLE
	replication  float64 // clients that replicate
	mixed        bool    // pool_mode among them
	eager        float64 // clients that send their first unit with their startup packet
	badParams    float64 // clients that ask for a startup value that the server refuses
	startups     float64 // clients that ask for one that it does not report
	slowTries    float64 // queries of the gate's own that take long

	twoUsers bool // two pools
	bounded  bool // limits of servers in all, of their age, and the like
	crowded  bool // more clients than max_client_conn

	twice, keyless, checks bool
	statement              bool          // servers without a key are cancelled by a statement
	early                  time.Duration // a cancel's connection is closed up to so long before the signal
	spareConns             int           // servers that upstream allows beyond the pool
}

// drawKnobs makes the knobs of a seed.
func drawKnobs(seed uint64) Knobs {
	w := newWorld(seed^0x5bd1e995, Knobs{}, nil)
	cfg := config.Default()
	cfg.Databases = []config.Database{{Name: "*", Host: "upstream", Port: 5432}}
	cfg.Pool.DefaultSize = w.pick(1, 3)
	cfg.Pool.MaxClientConn = 100
	cfg.Pool.MaxPreparedStatements = w.pick(1, 5)
	cfg.Timeouts.QueryWait = w.between(2*time.Second, 8*time.Second)
	cfg.Timeouts.ServerConnect = w.between(500*time.Millisecond, 3*time.Second)
	cfg.Timeouts.ServerIdle = w.between(time.Second, 20*time.Second)
	cfg.Timeouts.ServerGhost = w.between(0, 3*time.Second)
	cfg.Cancel.Timeout = w.between(time.Second, 4*time.Second)
	cfg.Cancel.Resend = w.between(20*time.Millisecond, 250*time.Millisecond)
	cfg.Cancel.PerUpstream = w.pick(1, 4)
	k := Knobs{
		transaction: w.chance(0.6),
		clients:     w.pick(2, 10),
		units:       w.pick(3, 16),
		think:       w.between(0, 20*time.Millisecond),
		long:        w.between(20*time.Millisecond, 30*time.Second),
		longs:       0.12,
		horizon:     8 * time.Second,
		minDelay:    w.between(20*time.Microsecond, 200*time.Microsecond),
		maxDelay:    w.between(200*time.Microsecond, 3*time.Millisecond),
		readBuffer:  64 << 10,
		cancels:     0.3 * w.rng.Float64(),
		departed:    0.3,
		forged:      0.1,
		gossip:      w.some(0.5, 20),
		twice:       w.chance(0.5),
		checks:      w.chance(0.5),
		keyless:     w.chance(0.08),
		spareConns:  4,
	}
	if w.chance(0.3) {
		k.cancels = 0.8
	}
	if w.chance(0.3) {
		cfg.Timeouts.QueryWait = 0
	}
	if k.transaction {
		cfg.Pool.Mode = config.Transaction
	}
	if w.chance(0.1) {
		cfg.Timeouts.QueryWait = w.between(20*time.Millisecond, 500*time.Millisecond)
	}
	if w.chance(0.1) {
		cfg.Timeouts.ServerIdle = w.between(5*time.Millisecond, 200*time.Millisecond)
	}
	if w.chance(0.1) {
		cfg.Cancel.Timeout = w.between(50*time.Millisecond, 500*time.Millisecond)
	}
	if w.chance(0.1) {
		cfg.Cancel.Resend = 0
	}
	if w.chance(0.08) {
		k.crowded = true
		cfg.Pool.MaxClientConn = w.pick(1, k.clients)
	}
	k.twoUsers = w.chance(0.2)
	k.eager = w.some(0.3, 0.5)
	k.badParams = w.some(0.1, 0.2)
	if w.chance(0.3) {
		k.readBuffer = w.pick(16, 600)
	}
	k.chopped = w.some(0.5, 1)
	k.tinySockets = w.some(0.2, 0.5)
	k.latePause = w.some(0.5, 0.7)
	k.slowReaders = w.some(0.3, 0.4)
	k.bigRows = w.some(0.1, 0.1)
	if w.chance(0.75) { // a quarter of the worlds is calm from the start
		k.vanish = w.some(0.7, 0.6)
		k.misbehave = w.some(0.2, 0.3)
		k.crashes = w.some(0.2, 3)
		k.terminations = w.some(0.3, 3)
		k.cuts = w.some(0.3, 4)
		k.badDials = w.some(0.3, 0.4)
		k.badCarries = w.some(0.4, 0.5)
		k.drain = w.some(0.1, 1)
		if w.chance(0.15) {
			k.spareConns = -w.pick(0, cfg.Pool.DefaultSize-1)
		}
	}
	k.reloads = w.some(0.3, 6)
	k.mixed = k.reloads > 0 && w.chance(0.4)
	if k.transaction && w.chance(0.2) {
		k.single, k.mixed = true, false
		cfg.Pool.Mode = config.Statement
	}
	k.pauses = w.some(0.2, 4)
	w.drawHosts(&k, &cfg)
	k.startups = w.some(0.6, 1)
	k.slowTries = w.slowTries(&k)
	k.config = cfg
	w.drawLimits(&k)
	k.moves = w.some(0.2, 3)
	w.drawCancels(&k)
	k.drawApart(seed)
	return k
}

// drawApart draws what has worlds of its own to be drawn from, so that nothing else of the seed's depends on it.
func (k *Knobs) drawApart(seed uint64) {
	k.drawBounds(seed)
	k.drawReplication(seed)
	k.drawDisables(seed)
	k.drawTurns(seed)
}

// slowTries is how often a query of the gate's own takes long, where dials do.
func (w *World) slowTries(k *Knobs) float64 {
	if k.badDials == 0 {
		return 0
	}
	return w.some(0.4, 0.3)
}

// drawCancels decides how servers take cancels that are not PostgreSQL.
func (w *World) drawCancels(k *Knobs) {
	c := &k.config.Databases[0].Cancel
	if k.keyless = k.keyless || w.chance(0.04); k.keyless && w.chance(0.6) {
		k.statement = true
		c.Fallback = "sql,disconnect"
		k.config.Cancel.SideSize = w.pick(1, 3)
		k.config.Cancel.SideIdle = w.between(0, 2*time.Second)
		if w.chance(0.3) {
			k.config.Cancel.SideIdle = 0
		}
	}
	if !k.keyless && w.chance(0.1) {
		k.early = w.between(time.Millisecond, 30*time.Millisecond)
		c.Settle = config.Give(k.early + time.Millisecond)
	}
}

// drawHosts decides where the database is.
func (w *World) drawHosts(k *Knobs, cfg *config.Config) {
	k.hosts = 1
	if w.chance(0.3) {
		k.hosts = w.pick(2, len(hostNames))
		k.outages = w.some(0.9, 4)
		db := &cfg.Databases[0]
		db.Host = strings.Join(hostNames[:k.hosts], ",")
		if w.chance(0.5) {
			db.Balance = config.Give(config.InOrder)
		}
	}
}

// some is a number up to most with probability p, else zero.
func (w *World) some(p, most float64) float64 {
	if !w.chance(p) {
		return 0
	}
	return most * w.rng.Float64()
}
