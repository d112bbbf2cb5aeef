package relay

import (
	"slices"
	"time"

	"cancello/internal/event"
)

// sibling is another process of this node, older or newer than this one, from its first link until it has ended: as long as
// it is there, its clients may hold keys that are not ours, so what nobody else knows waits for a link to it that broke.
// Older ones have the clients that they let in, and to the newer ones belongs what comes to an older one by a connection
// that it had accepted, or by a link of another node.
type sibling struct {
	incarnation uint64
	downSince   time.Duration // when its last link was lost
	lastError   string        // why
	ended       bool          // but its link is still there: what is on the way over it counts
}

// HasKin says whether there is another process of this node to ask.
func (r *Relay) HasKin() bool { return len(r.siblings) > 0 }

func (r *Relay) sibling(incarnation uint64) *sibling {
	for _, s := range r.siblings {
		if s.incarnation == incarnation {
			return s
		}
	}
	return nil
}

// met notes a link to another process of this node.
func (r *Relay) met(incarnation uint64) {
	if r.sibling(incarnation) == nil {
		r.siblings = append(r.siblings, &sibling{incarnation: incarnation})
	}
}

// KinGone: another process of this node has ended, with or without a farewell, and will have no link any more. It may be
// told more than once.
func (r *Relay) KinGone(now time.Duration, incarnation uint64) {
	r.now = now
	s := r.sibling(incarnation)
	switch {
	case s == nil:
	case r.linkOf(incarnation) != nil:
		s.ended = true
	default:
		r.bury(s)
	}
}

// kinLost notes that a link to another process of this node is no good any more.
func (r *Relay) kinLost(incarnation uint64, reason string) {
	s := r.sibling(incarnation)
	if s == nil {
		return
	}
	s.lastError = reason
	if r.linkOf(incarnation) != nil {
		return
	}
	s.downSince = r.now
	if s.ended || r.bug == BugKinForgotten {
		r.bury(s)
	}
}

// bury forgets a process of this node that has ended. Its clients are gone, so what was not asked of it yet is nobody's
// there; what was asked may have been carried out.
func (r *Relay) bury(s *sibling) {
	r.forgetSibling(s)
	for _, a := range r.open() {
		if a.to != nil || a.over {
			continue
		}
		if a.answeredBy(s.incarnation) && !slices.Contains(a.tried, s.incarnation) {
			a.tried = append(a.tried, s.incarnation)
			a.lost = s.lastError
		}
		r.send(a)
	}
}

func (r *Relay) forgetSibling(s *sibling) {
	r.siblings = slices.DeleteFunc(r.siblings, func(x *sibling) bool { return x == s })
}

// Leave says to the other processes of this node that this one ends: they need not wait for it. What they asked and has no
// outcome yet has none that can be told.
func (r *Relay) Leave(now time.Duration) {
	r.now, r.leaving = now, true
	for _, l := range r.links {
		if !l.far.Kin || l.cut {
			continue
		}
		for _, in := range r.guests {
			for _, asker := range in.askers {
				if !in.over && in.answer == nil && asker.Incarnation == l.far.Incarnation {
					r.out.Say(l.id, Settled{ID: asker.ID, Outcome: event.Failed, Reason: "the process that has the key ended before there was an outcome"})
				}
			}
		}
		r.out.Say(l.id, Leaving{})
	}
}

// leaves is another process' farewell: what it has not answered it has not judged.
func (r *Relay) leaves(l *link) {
	if !l.far.Kin {
		return
	}
	l.left = true
	if s := r.sibling(l.far.Incarnation); s != nil {
		r.forgetSibling(s)
	}
	for _, a := range r.open() {
		if a.to == nil && !a.over {
			r.unknownTo(a, l.far.Incarnation)
		}
	}
}
