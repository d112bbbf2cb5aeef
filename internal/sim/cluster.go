package sim

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/key"
	"cancello/internal/relay"
)

// Member is a Machine that belongs to a cluster.
type Member interface {
	Machine
	Unknown(pid uint32, key []byte) bool
	UseKeys(now time.Duration, m *key.Minter)
}

// ClusterOptions say what kind of cluster RunCluster makes.
type ClusterOptions struct {
	Machine func(cfg config.Config, out engine.Outside, m *key.Minter) Member
	Bug     relay.Bug                         // of all relays
	Tune    func(k *ClusterKnobs)             // may change the knobs of the seed
	Member  func(k *Knobs)                    // ... of each process
	Keys    func(now, former []byte) [][]byte // the secrets of a node that mints under one and judges under both; nil: as it should be
	Trace   io.Writer
	Sum     bool
}

// ClusterKnobs are what a seed decides about its cluster. Chances are per opportunity, 0 to 1.
type ClusterKnobs struct {
	nodes              int
	horizon            time.Duration // when the faults stop at the latest
	timeout            time.Duration // cancel_timeout, everywhere
	minDelay, maxDelay time.Duration // of links, one way
	cuts               float64       // per second: links that break
	kinCuts            float64       // per second: links between processes of one node that break
	silent             float64       // of these: one end hears nothing of it
	outage             time.Duration // until they are back, at most
	kills              int           // nodes that are killed
	back               float64       // of these: a new process is started
	late               int           // nodes that start later
	takeovers          int           // processes that take over from another one of their node
	rotates            bool          // the cluster's secret is changed
	slack              float64       // requests that the balancer sends to the node whose they are
	lost               float64       // plain requests that don't get through, or whose end doesn't
	floods             float64       // per second: of guesses
	flood              int           // so many at once
}

// cluster is several processes that pass cancels on to each other: a World each, in one time, with links between them.
type cluster struct {
	*timeline
	seed    uint64
	k       ClusterKnobs
	o       ClusterOptions
	rng     *rand.Rand
	trace   *tracer
	procs   []*process         // in the order of their start
	links   []*session         // that are up, physically
	plain   [][]relay.Fallback // how a node speaks to another
	coming  [][]bool           // connections on their way, by two nodes, the lower one first
	asked   []*request
	guesses []*guess
	secrets [2][]byte // the present one, the other one
	phase   int       // of the rotation: 0 before, 1 both are known, 2 the other one is minted under
	calm    bool
	last    relay.Link
	strange []Violation // of nobody's promise
}

// drawCluster makes the knobs of a seed.
func drawCluster(w *World) ClusterKnobs {
	k := ClusterKnobs{
		nodes:    w.pick(2, 4),
		horizon:  5 * time.Second,
		timeout:  w.between(time.Second, 4*time.Second),
		minDelay: w.between(20*time.Microsecond, time.Millisecond),
		outage:   w.between(50*time.Millisecond, 4*time.Second),
		slack:    0.2 * w.rng.Float64(),
	}
	k.maxDelay = k.minDelay + w.between(0, 3*time.Millisecond)
	if w.chance(0.2) {
		k.maxDelay = w.between(10*time.Millisecond, 200*time.Millisecond)
	}
	if w.chance(0.8) { // a fifth of the clusters is calm from the start
		k.cuts = w.some(0.6, 4)
		k.silent = w.some(0.5, 1)
		if w.chance(0.3) {
			k.kills, k.back = w.pick(1, k.nodes-1), w.rng.Float64()
		}
		if w.chance(0.3) {
			k.late = w.pick(1, k.nodes-1)
		}
		if w.chance(0.4) {
			k.takeovers = w.pick(1, 3)
		}
		k.rotates = w.chance(0.3)
		if k.takeovers > 0 {
			k.kinCuts = w.some(0.5, 4)
		}
	}
	return k
}

// RunCluster draws a cluster from a seed, runs it to its end and judges it.
func RunCluster(seed uint64, o ClusterOptions) Result {
	w := newWorld(seed^0x2545f491, Knobs{}, nil)
	c := &cluster{timeline: w.timeline, seed: seed, o: o, rng: w.rng, k: drawCluster(w)}
	c.drawGuesser()
	if o.Tune != nil {
		o.Tune(&c.k)
	}
	if o.Trace != nil || o.Sum {
		c.trace = &tracer{to: o.Trace}
	}
	for i := range c.secrets {
		c.secrets[i] = binary.BigEndian.AppendUint64([]byte{byte(i), 's', 'e', 'c', 'r', 'e', 't'}, seed)
	}
	c.coming = make([][]bool, c.k.nodes)
	for i := range c.coming {
		c.coming[i] = make([]bool, c.k.nodes)
	}
	c.drawPlain()
	c.tracef("cluster of seed %d: %+v %v", seed, c.k, c.plain)
	for node := range c.k.nodes {
		if node < c.k.late {
			c.at(c.now+c.between(0, c.k.horizon/2), func() { c.start(uint16(node), nil) })
			continue
		}
		c.start(uint16(node), nil)
	}
	c.startFaults()
	c.startGuesser()
	c.run()
	r := Result{Seed: seed, Events: c.ran, Virtual: c.now - time.Hour, Violations: c.strange}
	for _, p := range c.procs {
		r.Violations = append(r.Violations, p.w.violations...)
		p.w.addTo(&r)
	}
	if c.trace != nil {
		r.Sum = c.trace.sum
	}
	return r
}

func (c *cluster) tracef(format string, args ...any) {
	if c.trace != nil {
		c.trace.line(stamp(c.now) + sprintf(format, args...) + "\n")
	}
}

// violate notes a broken promise that is no single process'.
func (c *cluster) violate(rule, format string, args ...any) {
	if len(c.strange) < 8 {
		c.strange = append(c.strange, Violation{rule, c.now, sprintf(format, args...)})
		c.tracef("!!! %s %s", rule, c.strange[len(c.strange)-1].Text)
	}
}

func (c *cluster) chance(p float64) bool { return p > 0 && c.rng.Float64() < p }

func (c *cluster) between(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + time.Duration(c.rng.Int64N(int64(hi-lo)+1))
}

// newest is the process of a node that new connections go to; nil: none runs.
func (c *cluster) newest(node uint16) *process {
	for i := len(c.procs) - 1; i >= 0; i-- {
		if p := c.procs[i]; p.node == node {
			if p.dead || p.ended {
				return nil
			}
			return p
		}
	}
	return nil
}

// broken is true when going on makes no sense.
func (c *cluster) broken() bool {
	if c.ran > maxEvents && len(c.strange) == 0 {
		c.violate("P5", "a million events have passed: something spins")
	}
	if c.ran > maxEvents {
		return true
	}
	if c.trace != nil && c.trace.to != nil {
		return false
	}
	found := len(c.strange) > 0
	for _, p := range c.procs {
		found = found || len(p.w.violations) > 0
	}
	return found
}

// all is true when something holds of each process that lives.
func (c *cluster) all(f func(*World) bool) bool {
	for _, p := range c.procs {
		if !p.dead && !f(p.w) {
			return false
		}
	}
	return true
}

func (c *cluster) quiet() bool { return c.all((*World).quiet) && c.answered(nil) }

// run is the two phases and the drains at the end, as of a single world.
func (c *cluster) run() {
	end := c.now + c.k.horizon
	for !c.broken() && (c.ran%64 != 0 || c.now < end-c.k.horizon/2 || !c.all((*World).finished)) && c.step(end) {
	}
	if c.broken() {
		return
	}
	c.settle()
	limit := c.now + patience
	for before := -1; before != c.ran && c.now < limit && !c.broken() && (before < 0 || !c.quiet()); {
		before = c.ran
		for !c.broken() && (c.ran%64 != 0 || !c.quiet()) && c.step(limit) {
		}
		c.on(10 * time.Second)
	}
	if c.broken() {
		return
	}
	c.checkAnswered()
	for _, p := range c.procs {
		if !p.dead {
			p.w.checkEnd()
			if len(p.w.violations) == 0 && !p.w.draining {
				p.w.gate.drain()
			}
		}
	}
	c.on(40 * time.Second)
	for _, p := range c.procs {
		if !p.dead && !c.broken() {
			p.w.checkDrained()
		}
	}
}

// on lets time pass.
func (c *cluster) on(d time.Duration) {
	for end := c.now + d; !c.broken() && c.step(end); {
	}
}

// settle stops the faults, of the links and of the processes.
func (c *cluster) settle() {
	c.calm = true
	c.tracef("the links are left alone")
	for _, p := range c.procs {
		if !p.dead {
			p.w.settle()
		}
	}
	for a := range c.k.nodes {
		for b := range a {
			c.connect(uint16(b), uint16(a))
		}
	}
}
