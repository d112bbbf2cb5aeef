package relay

import (
	"slices"
	"time"

	"cancello/internal/event"
)

// AskedHere: one of our clients sent a request with a key of this node that our engine does not know: the other processes of
// this node are asked, the newest first, until one does.
func (r *Relay) AskedHere(now time.Duration, t Ticket, q Request) {
	r.now = now
	r.askKin(t, q, nil)
}

// askKin asks other processes of this node for one of our clients, or for who passed the request on to us.
func (r *Relay) askKin(t Ticket, q Request, in *arrival) {
	a := &ask{ticket: t, req: q, node: r.cfg.Node, in: in}
	r.self.asked++
	if !r.HasKin() || r.bug == BugKinNotAsked {
		r.nobodys(a, event.CancelSettled{Outcome: event.UnknownKey})
		return
	}
	r.begin(a)
}

// nobodys ends a request that no other process of this node was asked for.
func (r *Relay) nobodys(a *ask, e event.CancelSettled) {
	if a.in == nil {
		r.refuse(a.ticket, a.req, 0, e.Outcome, e.Reason)
		return
	}
	e.Remote, e.PID, e.Took = a.req.Remote, a.req.PID, max(0, r.now-a.req.ReadAt)
	r.settleArrival(a.in, e)
}

// kin is the newest link to another process of this node that has not answered yet, of those that are ready.
func (r *Relay) kin(answered []uint64) *link {
	for i := len(r.links) - 1; i >= 0; i-- {
		if l := r.links[i]; l.far.Kin && l.ready() && !l.left && !slices.Contains(answered, l.far.Incarnation) {
			return l
		}
	}
	return nil
}

// sendKin asks the next process of this node; where the link to one is broken it waits for that. If all have answered, the
// key is nobody's.
func (r *Relay) sendKin(a *ask) {
	if l := r.kin(a.tried); l != nil {
		r.write(a, l)
		return
	}
	waits := slices.ContainsFunc(r.siblings, func(s *sibling) bool { return !slices.Contains(a.tried, s.incarnation) })
	switch {
	case waits: // until it is overdue
		r.wake(a.due(r))
	case a.lost != "":
		r.fail(a, "another process of this node was asked, and ended before it told the outcome: "+a.lost)
	default:
		r.traffic(a).answered++
		r.end(a, event.CancelSettled{Outcome: event.UnknownKey})
	}
}

// unknownTo: another process of this node does not know the key of what it was or would be asked.
func (r *Relay) unknownTo(a *ask, incarnation uint64) {
	if !slices.Contains(a.tried, incarnation) {
		a.tried = append(a.tried, incarnation)
	}
	if a.on != nil && a.on.far.Incarnation == incarnation {
		a.on = nil
	}
	r.send(a)
}

// unheard says why a process of this node that may know the key has not told the outcome in time.
func (r *Relay) unheard(a *ask) string {
	for _, s := range r.siblings {
		switch {
		case slices.Contains(a.tried, s.incarnation) || s.lastError == "":
		case a.answeredBy(s.incarnation):
			return "another process of this node was asked, and the link to it broke (" + s.lastError + ") and did not come back within cancel_timeout: what came of it is not known"
		default:
			return "another process of this node may have given the key, and the link to it, which broke (" + s.lastError + "), did not come back within cancel_timeout"
		}
	}
	return "another process of this node did not answer within cancel_timeout"
}

// Finish is AllTold for a process whose last client has left. Where it is true, what other processes of this node ask from now on
// is answered at once: the key is none of ours, and the engine may end before it has said so.
func (r *Relay) Finish(now time.Duration) bool {
	r.finished = r.AllTold(now)
	return r.finished
}

// AllTold tells whether all have their outcome who passed a request on to us and can still be told, also by a link that may
// come back, and all of our clients whose request is passed on.
func (r *Relay) AllTold(now time.Duration) bool {
	r.now = now
	for _, a := range r.line {
		if !a.over && a.in == nil {
			return false
		}
	}
	for _, in := range r.guests {
		if in.over || len(in.askers) == 0 {
			continue
		}
		mayReturn := in.brokeAt != 0 && now < in.brokeAt+grace
		if mayReturn || slices.ContainsFunc(in.askers, func(o Origin) bool { return r.linkOf(o.Incarnation) != nil }) {
			return false
		}
	}
	return true
}
