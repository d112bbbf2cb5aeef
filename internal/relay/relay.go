package relay

import (
	"fmt"
	"time"

	"cancello/internal/event"
)

// Relay is one process's dealings with cancels that are not its clients' or not for them. Create it with New, then
// Configure it.
type Relay struct {
	out Outside
	cfg Config
	now time.Duration
	bug Bug

	peers []*peer
	links []*link // that are up, oldest first
	self  traffic // with other processes of this node

	siblings []*sibling // other processes of this node, in the order that they were met
	finished bool       // this process has no client any more, and has told all their outcome
	leaving  bool       // it ends

	asks   map[uint64]*ask
	line   []*ask // oldest first; those that are over are taken out now and then
	plains map[Ticket]*ask
	lastID uint64

	arrivals map[Origin]*arrival
	byAsker  map[Origin]*arrival // by who asked, and that one's ID
	byTicket map[Ticket]*arrival
	guests   []*arrival // oldest first, as line
	kept     int        // of these
	lastIn   Ticket

	sources   sources
	admitting bool          // admit is at work
	wakeAt    time.Duration // of the Wake that is due
	awake     bool          // one is
}

// peer is another node of the configuration.
type peer struct {
	Peer
	traffic
	downSince time.Duration // when its last link was lost, or it was configured
	lastError string
}

// traffic counts what goes to a node, or comes from it.
type traffic struct {
	places
	asked, answered, failed, throttled, arrived uint64
}

// New returns a Relay that knows no peer. Configure follows.
func New(out Outside) *Relay {
	return &Relay{
		out: out, asks: map[uint64]*ask{}, plains: map[Ticket]*ask{}, arrivals: map[Origin]*arrival{}, byAsker: map[Origin]*arrival{}, byTicket: map[Ticket]*arrival{},
	}
}

// grace is how long a request waits for a link that is not there, from its loss or from its own beginning, whichever is later:
// a node that was away for long may be back already, and its link on its way. It is longer than the longest pause between
// two dials.
const grace = 2 * time.Second

// defaultMaxAsks is Config.MaxAsks where none is given.
const defaultMaxAsks = 1000

// Configure says what holds from now on. What was asked of peers that are none any more fails.
func (r *Relay) Configure(now time.Duration, c Config) {
	r.now = now
	if c.MaxAsks == 0 {
		c.MaxAsks = defaultMaxAsks
	}
	old := r.peers
	r.cfg, r.peers = c, nil
	for _, p := range c.Peers {
		known := find(old, p.Node)
		if known == nil {
			known = &peer{downSince: now}
		}
		known.Peer = p
		r.peers = append(r.peers, known)
	}
	r.admitting = true // what waits for a place of a node that is no peer any more is not to have one of those that fail
	for _, a := range r.open() {
		switch {
		case a.to == nil:
		case r.peer(a.node) == nil:
			r.fail(a, fmt.Sprintf("node %d is no peer any more", a.node))
		case a.on == nil:
			r.send(a)
		}
	}
	r.admitting = false
	r.admit()
	r.wake(now) // limits may be others
}

func (r *Relay) peer(node uint16) *peer { return find(r.peers, node) }

func find(peers []*peer, node uint16) *peer {
	for _, p := range peers {
		if p.Node == node {
			return p
		}
	}
	return nil
}

// Tick does what is due.
func (r *Relay) Tick(now time.Duration) {
	r.now, r.awake = now, false
	r.pingAll()
	for _, a := range r.open() {
		r.overdue(a)
	}
	r.admit()
	r.forget()
	for _, l := range r.links {
		r.wake(l.nextPing)
	}
	for _, a := range r.line {
		if !a.over && r.bug != BugNoLimit {
			r.wake(a.due(r))
		}
	}
	if len(r.guests) > 0 {
		r.wake(now + pingEvery)
	}
	if at, ok := r.sources.next(now); ok {
		r.wake(at)
	}
}

// wake asks for a Tick at that moment, unless there is one before.
func (r *Relay) wake(at time.Duration) {
	at = max(at, r.now+time.Millisecond)
	if r.awake && r.wakeAt <= at {
		return
	}
	r.awake, r.wakeAt = true, at
	r.out.Wake(at)
}

// open is the asks that are not over, oldest first: a copy, since what is done to one may end it.
func (r *Relay) open() []*ask {
	kept := make([]*ask, 0, len(r.asks)+len(r.plains))
	for _, a := range r.line {
		if !a.over {
			kept = append(kept, a)
		}
	}
	clear(r.line[copy(r.line, kept):])
	r.line = r.line[:len(kept)]
	return kept
}

// settled tells how a request of one of our clients ended, and lets it go.
func (r *Relay) settled(t Ticket, e event.CancelSettled) {
	e.Ticket = uint64(t)
	r.out.Emit(e)
}
