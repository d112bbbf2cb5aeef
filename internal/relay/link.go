package relay

import (
	"fmt"
	"time"
)

const (
	pingEvery = time.Second
	// maxUnanswered is how many Pings in a row may be without a Pong: the other end is gone then, or the way to it.
	maxUnanswered = 3
)

// link is one session of a link that is up.
type link struct {
	id       Link
	far      Far
	since    time.Duration
	clock    clock
	nextPing time.Duration
	pings    []time.Duration // unanswered, by when they were sent
	cut      bool            // by us; its end is to be told yet
	left     bool            // the process at the other end has said that it ends
}

// ready says that requests may go over it.
func (l *link) ready() bool { return !l.cut && l.clock.known() }

// silent says that the other end has let a whole interval pass without answering a Ping: its machine may have ended without a
// word, which maxUnanswered tells much later, or is only slow.
func (l *link) silent(now time.Duration) bool {
	return len(l.pings) > 0 && now-l.pings[0] >= pingEvery
}

// LinkUp: a link to another process of the cluster is there. The links that there are to the same one stay as they are.
func (r *Relay) LinkUp(now time.Duration, id Link, far Far) {
	r.now = now
	l := &link{id: id, far: far, since: now}
	r.links = append(r.links, l)
	if far.Kin {
		r.met(far.Incarnation)
	}
	r.ping(l)
	r.informAll(l)
	if r.bug == BugGuess {
		l.clock.add(sample{sent: now, had: now, there: now})
		r.resume(l)
	}
}

// LinkDown: it is gone, for the reason given. What had been asked over it is asked again when there is another; that a
// process of this node has ended is said by Leaving, or by KinGone.
func (r *Relay) LinkDown(now time.Duration, id Link, reason string) {
	r.now = now
	l := r.link(id)
	if l == nil {
		return
	}
	for i, x := range r.links {
		if x == l {
			r.links = append(r.links[:i], r.links[i+1:]...)
			break
		}
	}
	if !l.cut {
		r.lost(l, reason)
	}
	if other := r.linkOf(l.far.Incarnation); other != nil {
		r.informAll(other) // the one that is gone was the newest, perhaps, over which they were told
	}
	for _, a := range r.open() {
		switch {
		case a.over:
		case a.on == l:
			r.broke(a, reason)
		case a.on == nil: // it may have waited for this one's clock
			r.send(a)
		}
	}
}

// lost notes that a link is no good any more.
func (r *Relay) lost(l *link, reason string) {
	r.unasked(l.far.Incarnation)
	if l.far.Kin {
		r.kinLost(l.far.Incarnation, reason)
	}
	if p := r.peer(l.far.Node); p != nil && !l.far.Kin {
		p.lastError = reason
		if !r.linked(l.far.Node) {
			p.downSince = r.now
		}
	}
}

// Heard: a message came over a link.
func (r *Relay) Heard(now time.Duration, id Link, m Message) {
	r.now = now
	l := r.link(id)
	if l == nil || l.cut {
		return
	}
	switch m := m.(type) {
	case Ping:
		r.out.Say(id, Pong{Sent: m.Sent, Clock: now})
	case Pong:
		r.pong(l, m)
	case Ask:
		r.asked(l, m)
	case Released:
		r.ownerReleased(l, m)
	case Settled:
		r.out.Say(id, Done{m.ID})
		r.ownerSettled(l, m)
	case Done:
		r.done(l, m)
	case Leaving:
		r.leaves(l)
	case Yielded: // the link is as good as it was; the driver makes another one
	}
}

func (r *Relay) link(id Link) *link {
	for _, l := range r.links {
		if l.id == id {
			return l
		}
	}
	return nil
}

// linked says whether there is a link to another node, ready or not.
func (r *Relay) linked(node uint16) bool {
	for _, l := range r.links {
		if !l.far.Kin && l.far.Node == node && !l.cut {
			return true
		}
	}
	return false
}

// linkTo is the newest link to another node that is ready, if possible one that is not silent; nil: there is none.
func (r *Relay) linkTo(node uint16) *link {
	var silent *link
	for i := len(r.links) - 1; i >= 0; i-- {
		l := r.links[i]
		switch {
		case l.far.Kin || l.far.Node != node || !l.ready():
		case !l.silent(r.now):
			return l
		case silent == nil:
			silent = l
		}
	}
	return silent
}

func (r *Relay) ping(l *link) {
	l.pings = append(l.pings, r.now)
	l.nextPing = r.now + pingEvery
	r.out.Say(l.id, Ping{r.now})
	r.wake(l.nextPing)
}

// pingAll sends the Pings that are due, and cuts links whose other end is silent.
func (r *Relay) pingAll() {
	for _, l := range r.links {
		switch {
		case l.cut:
			l.nextPing = r.now + pingEvery
		case l.nextPing > r.now:
		case len(l.pings) >= maxUnanswered:
			reason := fmt.Sprintf("%d pings in a row without an answer", len(l.pings))
			l.cut = true
			r.lost(l, reason)
			r.out.Cut(l.id, reason)
		default:
			r.ping(l)
			r.doubt(l)
		}
	}
}

// doubt sends what was asked over a link that is silent over a better one, where there is one.
func (r *Relay) doubt(l *link) {
	if !l.silent(r.now) {
		return
	}
	for _, a := range r.open() {
		if a.on == l {
			r.send(a)
		}
	}
}

// pong takes an answer to one of our Pings; anything else is not believed.
func (r *Relay) pong(l *link, m Pong) {
	for i, sent := range l.pings {
		if sent != m.Sent {
			continue
		}
		l.pings = l.pings[i+1:]
		first := !l.clock.known()
		l.clock.add(sample{sent: sent, had: r.now, there: m.Clock})
		if first {
			r.resume(l)
		}
		return
	}
}

// resume sends what waited for a link, which is ready now, or for an answer over one that is silent.
func (r *Relay) resume(l *link) {
	for _, a := range r.open() {
		if !a.over && a.fits(l) {
			r.send(a)
		}
	}
	r.admit()
}
