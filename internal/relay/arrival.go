package relay

import (
	"slices"
	"time"

	"cancello/internal/event"
)

// arrival is one request that another process passed on to us, until that one has the outcome or cannot ask again.
type arrival struct {
	Origin
	askers   []Origin // who wants the answer, and under which ID
	ticket   Ticket
	req      Request
	via      uint16
	local    bool // it goes no further
	until    time.Duration
	released bool
	answer   *Settled // nil: not settled yet
	kept     bool     // all who asked have the answer, but it may come once more, by another way
	over     bool
	brokeAt  time.Duration // when a link to one of the askers was lost last
}

// maxKept is how many requests that all have the answer of are remembered.
const maxKept = 1000

// asked: the other end of a link passes a request on. One that came before, over a link that broke or by another way, is not
// judged again.
func (r *Relay) asked(l *link, m Ask) {
	if r.leaving && l.far.Kin {
		return // who asks takes our farewell for the answer
	}
	asker := Origin{l.far.Incarnation, m.ID}
	origin := m.Origin
	if origin == (Origin{}) {
		origin = asker
	}
	local := m.Local || l.far.Kin
	if in := r.arrivals[origin]; in != nil {
		if local || !in.local || in.answer == nil || in.answer.Outcome != event.UnknownKey {
			in.local = in.local && local
			r.join(in, asker, l)
			return
		}
		r.drop(in) // it was to go no further then
	}
	if p := r.peer(l.far.Node); p != nil {
		p.arrived++
	}
	if r.finished && l.far.Kin {
		r.out.Say(l.id, Settled{ID: m.ID, Outcome: event.UnknownKey})
		return
	}
	if r.guestsOf(origin.Incarnation) >= 2*r.cfg.MaxAsks { // twice: those that wait for Done count, too
		r.out.Say(l.id, Settled{ID: m.ID, Outcome: event.Throttled, Reason: "the owner has too many requests of that node"})
		return
	}
	r.lastIn++
	in := &arrival{Origin: origin, askers: []Origin{asker}, ticket: r.lastIn | arrived, req: m.Request, via: l.far.Node, local: local}
	in.until = r.now + min(max(m.Left, 0), 3*r.cfg.Timeout) + time.Second
	in.req.ReadAt = min(in.req.ReadAt, r.now)
	if r.bug == BugReadOnArrive {
		in.req.ReadAt, in.req.ReadBy = r.now, 0
	}
	r.arrivals[origin], r.byAsker[asker], r.byTicket[in.ticket] = in, in, in
	r.guests = append(r.guests, in)
	r.wake(in.until)
	r.out.Judge(in.ticket, in.req)
}

// join is a request that is here already: who asks is told what is known of it, and what will be.
func (r *Relay) join(in *arrival, asker Origin, l *link) {
	if !slices.Contains(in.askers, asker) {
		in.askers = append(in.askers, asker)
		r.byAsker[asker] = in
		if in.kept {
			in.kept = false
			r.kept--
		}
	}
	r.inform(in, asker, l)
}

// inform tells one that asked what is known.
func (r *Relay) inform(in *arrival, asker Origin, l *link) {
	switch {
	case r.bug == BugToldOnce:
	case in.answer != nil:
		answer := *in.answer
		answer.ID = asker.ID
		r.out.Say(l.id, answer)
	case in.released:
		r.out.Say(l.id, Released{asker.ID})
	}
}

// informAll tells one that has a new link all that may have been lost on another.
func (r *Relay) informAll(l *link) {
	for _, in := range r.guests {
		for _, asker := range in.askers {
			if !in.over && asker.Incarnation == l.far.Incarnation {
				r.inform(in, asker, l)
			}
		}
	}
}

// unasked notes that the link to one that asked is lost.
func (r *Relay) unasked(incarnation uint64) {
	for _, in := range r.guests {
		if slices.ContainsFunc(in.askers, func(o Origin) bool { return o.Incarnation == incarnation }) {
			in.brokeAt = r.now
		}
	}
}

func (r *Relay) guestsOf(incarnation uint64) int {
	n := 0
	if len(r.arrivals) < 2*r.cfg.MaxAsks {
		return 0 // no need to count
	}
	for _, in := range r.guests {
		if in.Incarnation == incarnation && !in.over && !in.kept {
			n++
		}
	}
	return n
}

// Unknown answers Judge: our engine does not know the key. Another process of this node may, if the request has not been
// with one already.
func (r *Relay) Unknown(now time.Duration, t Ticket) {
	r.now = now
	in := r.byTicket[t]
	if in == nil {
		return
	}
	if r.bug == BugForwardTwice {
		for _, l := range r.links {
			if !l.far.Kin && l.far.Node != in.via && l.ready() {
				r.begin(&ask{ticket: t, req: in.req, node: l.far.Node, to: r.peer(l.far.Node), in: in})
				return
			}
		}
	}
	if in.local {
		r.settleArrival(in, event.CancelSettled{Outcome: event.UnknownKey, Remote: in.req.Remote, PID: in.req.PID, Took: max(0, r.now-in.req.ReadAt)})
		return
	}
	r.askKin(t, in.req, in)
}

// Released answers Judge: nothing of the request is on the wire any more.
func (r *Relay) Released(now time.Duration, t Ticket) {
	r.now = now
	if in := r.byTicket[t]; in != nil {
		r.sayReleased(in)
	}
}

// Settled answers Judge: the outcome at our own engine. It is told, with the node that the request came by.
func (r *Relay) Settled(now time.Duration, t Ticket, e event.CancelSettled) {
	r.now = now
	if in := r.byTicket[t]; in != nil {
		r.settleArrival(in, e)
	}
}

// sayReleased tells who passed a request on that its client can be let go.
func (r *Relay) sayReleased(in *arrival) {
	if in.released {
		return
	}
	in.released = true
	for _, asker := range in.askers {
		if l := r.linkOf(asker.Incarnation); l != nil {
			r.out.Say(l.id, Released{asker.ID})
		}
	}
}

// settleArrival tells the outcome of a request here, and to who passed it on.
func (r *Relay) settleArrival(in *arrival, e event.CancelSettled) {
	if in.answer != nil {
		return
	}
	e.Via = event.PeerOf(in.via)
	r.settled(in.ticket, e)
	in.released = true
	in.answer = &Settled{
		Outcome: e.Outcome, User: e.User, Database: e.Database, Unit: e.Unit, Kind: e.Kind, Sends: e.Sends, Took: e.Took, Reason: e.Reason,
	}
	if e.Outcome == event.Forwarded { // to a process of this node, which its sender need not know of
		in.answer.Outcome = e.There
	}
	for _, asker := range in.askers {
		if l := r.linkOf(asker.Incarnation); l != nil {
			answer := *in.answer
			answer.ID = asker.ID
			r.out.Say(l.id, answer)
		}
	}
}

// linkOf is the newest link to a process.
func (r *Relay) linkOf(incarnation uint64) *link {
	for i := len(r.links) - 1; i >= 0; i-- {
		if l := r.links[i]; l.far.Incarnation == incarnation && !l.cut {
			return l
		}
	}
	return nil
}

// done: one that asked has the outcome. If it is who read the request, nobody will come back for it, unless it had gone to
// another process of this node as well, which waited for its link to us; if it is not, who read it may.
func (r *Relay) done(l *link, m Done) {
	asker := Origin{l.far.Incarnation, m.ID}
	in := r.byAsker[asker]
	if in == nil || in.answer == nil {
		return
	}
	delete(r.byAsker, asker)
	in.askers = slices.DeleteFunc(in.askers, func(x Origin) bool { return x == asker })
	switch {
	case len(in.askers) > 0:
	case asker == in.Origin && !r.HasKin():
		r.drop(in)
	case in.answer.Outcome == event.UnknownKey: // it may be judged again; who guesses pushes no outcome out that may not
		r.drop(in)
	default:
		in.kept = true
		if r.kept++; r.kept > maxKept {
			r.drop(r.guests[slices.IndexFunc(r.guests, func(x *arrival) bool { return x.kept && !x.over })])
		}
	}
	if len(r.guests) > 64 && len(r.guests) > 2*len(r.arrivals) {
		r.sweep()
	}
}

// drop forgets a request that is over.
func (r *Relay) drop(in *arrival) {
	in.over = true
	if in.kept {
		r.kept--
	}
	delete(r.arrivals, in.Origin)
	delete(r.byTicket, in.ticket)
	for _, asker := range in.askers {
		delete(r.byAsker, asker)
	}
}

// forget drops those whose outcome nobody can come back for.
func (r *Relay) forget() {
	for _, in := range r.guests {
		if !in.over && in.answer != nil && r.now >= in.until {
			r.drop(in)
		}
	}
	r.sweep()
}

func (r *Relay) sweep() {
	kept := r.guests[:0]
	for _, in := range r.guests {
		if !in.over {
			kept = append(kept, in)
		}
	}
	clear(r.guests[len(kept):])
	r.guests = kept
}
