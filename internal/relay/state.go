package relay

import "time"

// State is what is known of a peer, or of another process of this node.
type State struct {
	Node        uint16
	Kin         bool
	Incarnation uint64 // 0: there is no link
	Up          bool
	Since       time.Duration // up or down
	RoundTrip   time.Duration // of the last ping; 0: none yet
	LastError   string        // why the link went down the last time
	// Requests since the start: those of our clients for that node, what became of them, and those that it passed on to us.
	Open, Asked, Answered, Failed, Throttled, Arrived uint64
}

// States tells of all peers as configured, then of the other processes of this node: the oldest link first, then those whose link is broken.
func (r *Relay) States() []State {
	var all []State
	for _, p := range r.peers {
		s := State{
			Node: p.Node, Since: p.downSince, LastError: p.lastError,
			Open: uint64(p.inside + p.held), Asked: p.asked, Answered: p.answered, Failed: p.failed, Throttled: p.throttled, Arrived: p.arrived,
		}
		for _, l := range r.links {
			if !l.far.Kin && l.far.Node == p.Node && !l.cut {
				s.Up, s.Since, s.RoundTrip, s.Incarnation = true, l.since, l.clock.roundTrip(), l.far.Incarnation
			}
		}
		all = append(all, s)
	}
	for _, l := range r.links {
		if l.far.Kin && !l.cut {
			all = append(all, State{Node: l.far.Node, Kin: true, Incarnation: l.far.Incarnation, Up: true, Since: l.since, RoundTrip: l.clock.roundTrip()})
		}
	}
	for _, s := range r.siblings {
		if r.linkOf(s.incarnation) == nil {
			all = append(all, State{Node: r.cfg.Node, Kin: true, Since: s.downSince, LastError: s.lastError})
		}
	}
	return all
}
