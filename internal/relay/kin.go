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

// HasKin says whether there is another process of this node to ask.
func (r *Relay) HasKin() bool { return r.kin(nil) != nil }

// askKin asks other processes of this node for one of our clients, or for who passed the request on to us.
func (r *Relay) askKin(t Ticket, q Request, in *arrival) {
	a := &ask{ticket: t, req: q, node: r.cfg.Node, in: in}
	r.self.asked++
	if r.kin(nil) == nil || r.bug == BugKinNotAsked {
		r.nobodys(a, event.CancelSettled{Outcome: event.UnknownKey})
		return
	}
	if r.self.open >= uint64(r.cfg.MaxAsks) {
		r.self.throttled++
		r.nobodys(a, event.CancelSettled{Outcome: event.Throttled, Reason: "too many requests for other processes of this node are under way"})
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

// kin is the newest link to another process of this node that has not been tried.
func (r *Relay) kin(tried []uint64) *link {
	for i := len(r.links) - 1; i >= 0; i-- {
		if l := r.links[i]; l.far.Kin && !l.cut && !slices.Contains(tried, l.far.Incarnation) {
			return l
		}
	}
	return nil
}

// sendKin asks the next process of this node; if it was the last one, the key is nobody's.
func (r *Relay) sendKin(a *ask) {
	if a.over || a.held {
		return
	}
	l := r.kin(a.tried)
	switch {
	case l == nil && a.lost != "":
		r.fail(a, "an earlier process of this node was asked, and its link broke: "+a.lost)
	case l == nil:
		r.traffic(a).answered++
		r.end(a, event.CancelSettled{Outcome: event.UnknownKey})
	case l.ready():
		a.tried = append(a.tried, l.far.Incarnation)
		r.write(a, l)
	}
}

// AllTold tells whether all have their outcome who passed a request on to us and can still be told, and all of our clients
// whose request is passed on.
func (r *Relay) AllTold() bool {
	for _, a := range r.line {
		if !a.over && a.in == nil {
			return false
		}
	}
	for _, in := range r.guests {
		if !in.over && slices.ContainsFunc(in.askers, func(o Origin) bool { return r.linkOf(o.Incarnation) != nil }) {
			return false
		}
	}
	return true
}
