package peer

import (
	"context"
	"fmt"
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/relay"
)

// MaxProcesses is how many processes of one node there may be: one is in service, and the others drain, each with links
// to the others of its node and to the peers.
const MaxProcesses = 24

// maxSessions of one node: one of each process, and one that takes its place. One more ends the oldest.
const maxSessions = 2 * MaxProcesses

// node is one of the peers, on the hub's goroutine.
type node struct {
	config.Peer
	stop    context.CancelFunc // of its dialing
	needed  chan struct{}      // holds one: there is no session that is current; for who dials now
	told    fact               // what was said of it last
	failure string             // why the last dial failed, or the last session ended; empty: nothing has yet
}

// fact is what is known of a peer.
type fact uint8

const (
	nothing fact = iota
	isUp
	isDown
)

// follow has the peers be these.
func (h *Hub) follow(peers []config.Peer) {
	listed := map[uint16]bool{}
	for _, p := range peers {
		listed[p.Number()] = true
		n := h.own.peers[p.Number()]
		if n == nil {
			n = &node{}
			h.own.peers[p.Number()] = n
		} else if n.Peer == p {
			continue
		} else if n.Peer.Address != p.Address || p.Mode == config.PeerDisable {
			h.endSessions(p.Number(), "this node's configuration says another address", func(s *session) bool { return s.dialed })
		}
		if n.stop != nil {
			n.stop()
			n.stop = nil
		}
		n.Peer = p
		if p.Mode == config.PeerDisable {
			n.told = nothing
			continue
		}
		var ctx context.Context
		ctx, n.stop = context.WithCancel(h.ctx)
		needed := make(chan struct{}, 1) // its own: the one that is to end could take a word that is not for it any more
		n.needed = needed
		h.running.Go(func() { h.keepDialing(ctx, p, needed) })
	}
	for number, n := range h.own.peers {
		if listed[number] {
			continue
		}
		if n.stop != nil {
			n.stop()
		}
		delete(h.own.peers, number)
		h.endSessions(number, "it is no peer any more", func(*session) bool { return true })
	}
}

// endSessions ends those of a node that are meant.
func (h *Hub) endSessions(number uint16, reason string, meant func(*session) bool) {
	for _, s := range h.own.sessions {
		if !s.far.Kin && s.far.Node == number && meant(s) {
			s.end(reason)
		}
	}
}

// linked tells whether there is a session with a peer that has not ended.
func (h *Hub) linked(number uint16) bool { return h.hasSession(number, (*session).ended) }

// current tells whether there is one with the process that is in service there, as far as is known.
func (h *Hub) current(number uint16) bool { return h.hasSession(number, (*session).past) }

// hasSession tells whether there is one with a peer that counts.
func (h *Hub) hasSession(number uint16, without func(*session) bool) bool {
	for _, s := range h.own.sessions {
		if !s.far.Kin && s.far.Node == number && !without(s) {
			return true
		}
	}
	return false
}

func (s *session) ended() bool { return isClosed(s.over) }

// past tells whether it has ended, or leads to a process that another one has the place of.
func (s *session) past() bool { return s.ended() || isClosed(s.passed) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// yielded notes that another process has the place of that at the other end: there is to be a link to it, which it may be
// unable to dial itself.
func (h *Hub) yielded(s *session) {
	if isClosed(s.passed) {
		return
	}
	close(s.passed)
	h.need(h.own.peers[s.far.Node])
}

// need wakes who dials a peer.
func (h *Hub) need(n *node) {
	if n == nil {
		return
	}
	select {
	case n.needed <- struct{}{}:
	default:
	}
}

// errSpare is no failure: there is a session to the same process already, which is to be kept.
const errSpare = refusal("there is a link to it already")

// admit lets a session in whose other end has proved itself. The error says why not.
func (h *Hub) admit(s *session) error {
	err := error(refusal("this node stops"))
	h.do(func(now time.Duration) { err = h.judge(now, s) })
	return err
}

func (h *Hub) judge(now time.Duration, s *session) error {
	n := h.own.peers[s.far.Node]
	switch {
	case h.ctx.Err() != nil: // all sessions have been ended
		return refusal("this node stops")
	case s.far.Incarnation == h.set.Incarnation:
		return refusal("that is this very process: correct the peer's address")
	case s.far.Kin && s.far.Node != h.set.Node:
		return refusal(fmt.Sprintf("a process of node %d is none of this node's", s.far.Node))
	case !s.far.Kin && s.far.Node == h.set.Node:
		return refusal(fmt.Sprintf("it says that it is node %d, as this one is: give each node a number of its own", s.far.Node))
	case s.dialed && !s.far.Kin && n != nil && n.Address != s.address:
		return refusal("it was dialed at an address that is no longer its own")
	case !s.far.Kin && n == nil:
		return refusal(fmt.Sprintf("node %d is not among the peers", s.far.Node))
	}
	var oldest *session
	of := 0
	for _, x := range h.own.sessions {
		if x.far.Kin != s.far.Kin || x.far.Node != s.far.Node || x.ended() {
			continue
		}
		if x.far == s.far && x.sure && x.lower() && !s.lower() {
			return errSpare
		}
		if of++; oldest == nil || x.id < oldest.id {
			oldest = x
		}
	}
	h.own.lastLink++
	s.id = h.own.lastLink
	h.own.sessions[s.id] = s
	h.relay.LinkUp(now, s.id, s.far)
	if h.own.yielded && !s.far.Kin {
		s.say(relay.Yielded{})
	}
	if s.dialed {
		h.confirm(s)
	}
	if of >= maxSessions {
		oldest.end("there are too many processes of its node")
	}
	if n != nil && !s.far.Kin {
		h.tell(n, isUp, "", s)
	}
	return nil
}

// confirm ends the sessions in whose place s is, now that it is sure: else the other end could see the end of one before it
// has the other.
func (h *Hub) confirm(s *session) {
	s.sure = true
	for _, x := range h.own.sessions {
		if x != s && x.far == s.far && (x.lower() == s.lower() && x.id < s.id || !x.lower() && s.lower()) {
			x.end("another connection took its place")
		}
	}
}

// left is the end of an admitted session.
func (h *Hub) left(now time.Duration, s *session) {
	delete(h.own.sessions, s.id)
	h.relay.LinkDown(now, s.id, s.reason)
	n := h.own.peers[s.far.Node]
	if n == nil || s.far.Kin {
		return
	}
	if !h.linked(s.far.Node) {
		h.tell(n, isDown, s.reason, s)
	}
	if !h.current(s.far.Node) {
		h.need(n)
	}
}

// undialed notes that a peer could not be reached.
func (h *Hub) undialed(p config.Peer, reason string) {
	if n := h.own.peers[p.Number()]; n != nil && n.Peer == p && !h.linked(p.Number()) {
		h.tell(n, isDown, reason, nil)
	}
}

// tell says of a peer what is new, once.
func (h *Hub) tell(n *node, what fact, reason string, s *session) {
	if what == isDown {
		n.failure = reason
	}
	if n.told == what {
		return
	}
	n.told = what
	if what == isDown {
		h.set.Emit(event.PeerDown{Node: n.Number(), Address: n.Address, Reason: reason})
		return
	}
	h.set.Emit(event.PeerUp{Node: n.Number(), Remote: s.nc.RemoteAddr().String(), Dialed: s.dialed})
}
