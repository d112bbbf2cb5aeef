package relay

import (
	"fmt"
	"slices"
	"time"

	"cancello/internal/event"
)

// ask is one request that another process is to carry out, until its outcome.
type ask struct {
	id     uint64
	ticket Ticket
	req    Request
	began  time.Duration
	node   uint16
	to     *peer    // nil: other processes of this node
	in     *arrival // it came over a link, and the answer goes back there; nil: it is one of our clients'

	tried []uint64 // incarnations of this node that do not know its key, or have ended
	lost  string   // why one of those could not be heard to the end

	source   *source  // where its key has four bytes
	held     bool     // it waits for a place
	placed   bool     // it has one
	gone     bool     // its sender has gone
	on       *link    // that it was written to
	written  bool     // to this link, or to one that is gone
	wrote    []uint64 // the incarnations at the other end of those
	plain    bool     // it went as a plain CancelRequest
	nobodys  bool     // its key of four bytes was
	released bool
	by       uint64 // the incarnation that said so, if one did
	over     bool
}

// Asked: one of our clients sent a request for another node, which its MAC says, or nothing where the key has four bytes.
func (r *Relay) Asked(now time.Duration, t Ticket, q Request, node uint16) {
	r.now = now
	if node == r.cfg.Node {
		r.askKin(t, q, nil)
		return
	}
	p := r.peer(node)
	if p == nil {
		r.refuse(t, q, 0, event.UnknownKey, fmt.Sprintf("node %d is no peer", node))
		return
	}
	p.asked++
	r.begin(&ask{ticket: t, req: q, node: node, to: p})
}

// refuse ends a request that is asked of nobody.
func (r *Relay) refuse(t Ticket, q Request, owner event.Peer, o event.Outcome, reason string) {
	r.out.Release(t, len(q.Key) == shortKey && o == event.UnknownKey)
	r.settled(t, event.CancelSettled{
		Outcome: o, Remote: q.Remote, PID: q.PID, Took: max(0, r.now-q.ReadAt), Owner: owner, Reason: reason,
	})
}

// begin is the beginning of an ask: it gets an id and, where there is one, a place.
func (r *Relay) begin(a *ask) {
	r.lastID++
	a.id, a.began = r.lastID, r.now
	r.asks[a.id] = a
	r.line = append(r.line, a)
	if len(r.line) > 64 && len(r.line) > 2*len(r.asks) {
		r.open()
	}
	r.wake(a.due(r))
	if r.enter(a) {
		r.send(a)
	}
}

func (r *Relay) traffic(a *ask) *traffic {
	if a.to != nil {
		return &a.to.traffic
	}
	return &r.self
}

// undelivered is until when an ask may be on its way to its owner, and unanswered until when its outcome is waited for.
func (a *ask) undelivered(r *Relay) time.Duration { return a.began + r.cfg.Timeout }
func (a *ask) unanswered(r *Relay) time.Duration  { return a.began + 3*r.cfg.Timeout }

// hopeless is until when a link to another node is waited for, where there is none and the ask was written to none.
func (a *ask) hopeless() time.Duration { return max(a.to.downSince, a.began) + grace }

// due is when an ask has to be looked at again.
func (a *ask) due(r *Relay) time.Duration {
	if a.on != nil || a.plain {
		return a.unanswered(r)
	}
	if a.to != nil && !a.written && !a.held && a.hopeless() > r.now && !r.linked(a.node) {
		return min(a.undelivered(r), a.hopeless())
	}
	return a.undelivered(r)
}

// fits says whether a link is one that the ask may go over.
func (a *ask) fits(l *link) bool {
	return l.far.Kin == (a.to == nil) && (l.far.Kin || l.far.Node == a.node)
}

// send sends an ask if there is a way; if there will be none it fails.
func (r *Relay) send(a *ask) {
	if a.over || a.held || a.plain {
		return
	}
	if a.on != nil {
		r.sendAgain(a)
		return
	}
	if a.to == nil {
		r.sendKin(a)
		return
	}
	l := r.linkTo(a.node)
	switch {
	case r.goesPlain(a):
		if !r.pay(a) {
			return
		}
		a.plain = true
		r.plains[a.ticket] = a
		r.out.Plain(a.ticket, a.node, a.req)
		if r.bug == BugReleaseEarly {
			r.release(a)
		}
	case l != nil:
		r.write(a, l)
	case a.written || r.linked(a.node): // until it is overdue
	case r.now >= a.hopeless():
		r.fail(a, noLink(a.to))
	default:
		r.wake(a.due(r))
	}
}

// sendAgain sends an ask whose answer a silent link owes over a better one. Two links to a node go to two of its processes,
// one of which may have ended without a word; if it has not, they ask each other, and carry the request out once. Processes of one
// node hear at once of each other's end.
func (r *Relay) sendAgain(a *ask) {
	if a.to == nil || !a.on.silent(r.now) {
		return
	}
	if l := r.linkTo(a.node); l != nil && !l.silent(r.now) {
		r.write(a, l)
	}
}

// goesPlain says whether an ask goes as a plain CancelRequest, as things are.
func (r *Relay) goesPlain(a *ask) bool {
	if a.to == nil {
		return false
	}
	return a.to.Plain == Always || a.to.Plain == WithoutIt && (!a.written || r.bug == BugPlainAgain) && !r.linked(a.node)
}

func noLink(p *peer) string {
	if p.lastError == "" {
		return fmt.Sprintf("there is no link to node %d", p.Node)
	}
	return fmt.Sprintf("there is no link to node %d: %s", p.Node, p.lastError)
}

// write puts an ask on a link, with its moment as that end's clock has it.
func (r *Relay) write(a *ask, l *link) {
	if r.bug == BugRepeatAnew && a.written {
		delete(r.asks, a.id)
		r.lastID++
		a.id, a.req.ReadAt, a.req.ReadBy = r.lastID, r.now, 0
		r.asks[a.id] = a
	}
	m := Ask{ID: a.id, Request: a.req, Local: a.to == nil, Left: a.unanswered(r) - r.now}
	if a.in != nil {
		m.Origin = a.in.Origin
	}
	m.ReadAt, m.ReadBy = l.clock.notBefore(a.req.ReadAt), l.clock.notAfter(max(a.req.ReadAt, a.req.ReadBy))
	if r.bug == BugBeginsIgnored {
		m.ReadBy = 0
	}
	a.on, a.written = l, true
	if !a.answeredBy(l.far.Incarnation) {
		a.wrote = append(a.wrote, l.far.Incarnation)
	}
	r.out.Say(l.id, m)
	if r.bug == BugReleaseEarly {
		r.release(a)
	}
}

// broke: the link that an ask was written to is gone.
func (r *Relay) broke(a *ask, reason string) {
	a.on = nil
	if a.to != nil && r.bug == BugNoRepeat {
		r.fail(a, reason)
	} else {
		r.send(a)
	}
	if !a.over {
		r.wake(a.due(r))
	}
}

// answeredBy says whether a process may answer the ask: it was written to it, though the answer may come by another link,
// which is not ready yet, and after another process has been asked.
func (a *ask) answeredBy(incarnation uint64) bool {
	return a != nil && slices.Contains(a.wrote, incarnation)
}

// ownerReleased: nothing of the request is on the wire any more.
func (r *Relay) ownerReleased(l *link, m Released) {
	if a := r.asks[m.ID]; a.answeredBy(l.far.Incarnation) {
		if a.by == 0 {
			a.by = l.far.Incarnation
		}
		r.release(a)
	}
}

// ownerSettled: the owner, or who seemed to be it, tells the outcome.
func (r *Relay) ownerSettled(l *link, m Settled) {
	a := r.asks[m.ID]
	if !a.answeredBy(l.far.Incarnation) {
		return
	}
	if a.to == nil && m.Outcome == event.UnknownKey {
		r.unknownTo(a, l.far.Incarnation)
		return
	}
	e := event.CancelSettled{
		Outcome: event.Forwarded, There: m.Outcome, User: m.User, Database: m.Database, Unit: m.Unit, Kind: m.Kind, Sends: m.Sends, Reason: m.Reason,
	}
	switch m.Outcome {
	case event.UnknownKey, event.Forged, event.Malformed, event.Throttled: // it means nobody there, so it does nowhere
		if a.by != 0 && a.by != l.far.Incarnation {
			r.fail(a, fmt.Sprintf("the process of node %d that had carried it out ended before it told the outcome", a.node))
			return
		}
		e.Outcome, e.There = m.Outcome, 0
	}
	r.traffic(a).answered++
	r.end(a, e)
}

// PlainDone: a plain CancelRequest was carried to EOF; failure says why not.
func (r *Relay) PlainDone(now time.Duration, t Ticket, failure string) {
	r.now = now
	a := r.plains[t]
	switch {
	case a == nil:
	case failure != "":
		r.fail(a, failure)
	default:
		r.traffic(a).answered++
		r.end(a, event.CancelSettled{Outcome: event.Forwarded, There: event.Forwarded, Sends: 1, Reason: "as a plain CancelRequest"})
	}
}

// fail ends an ask that came to nothing.
func (r *Relay) fail(a *ask, reason string) {
	if a.over {
		return
	}
	r.traffic(a).failed++
	r.end(a, event.CancelSettled{Outcome: event.Failed, Reason: reason})
}

func (r *Relay) release(a *ask) {
	if a.released {
		return
	}
	a.released = true
	if a.in != nil {
		r.sayReleased(a.in)
		return
	}
	r.out.Release(a.ticket, a.nobodys)
}

// end settles an ask.
func (r *Relay) end(a *ask, e event.CancelSettled) {
	if a.over {
		return
	}
	a.nobodys = a.source != nil && e.Outcome == event.UnknownKey
	if a.in == nil { // else that is said with the outcome
		r.release(a)
	}
	a.over = true
	delete(r.asks, a.id)
	delete(r.plains, a.ticket)
	e.Remote, e.PID, e.Owner, e.Took = a.req.Remote, a.req.PID, event.PeerOf(a.node), max(0, r.now-a.req.ReadAt)
	if a.in != nil {
		r.settleArrival(a.in, e)
	} else {
		r.settled(a.ticket, e)
	}
	r.leave(a)
}

// overdue ends an ask whose time is over.
func (r *Relay) overdue(a *ask) {
	if a.over || r.bug == BugNoLimit {
		return
	}
	switch {
	case a.on != nil || a.plain:
		if r.now >= a.unanswered(r) && a.to == nil {
			r.fail(a, "another process of this node gave no answer in time: what came of it is not known")
		} else if r.now >= a.unanswered(r) {
			r.fail(a, fmt.Sprintf("node %d gave no answer in time: what came of it is not known", a.node))
		}
	case r.now < a.undelivered(r):
		r.send(a)
	case a.held:
		r.throttle(a)
	case a.to == nil:
		r.fail(a, r.unheard(a))
	case a.written:
		r.fail(a, fmt.Sprintf("the link to node %d broke after the request was written, and did not come back within cancel_timeout: what came of it is not known", a.node))
	default:
		r.fail(a, noLink(a.to)+" within cancel_timeout")
	}
}
