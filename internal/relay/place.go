package relay

import (
	"fmt"
	"slices"

	"cancello/internal/event"
)

// A key of four bytes proves nothing before its owner has compared it. It is asked for at once all the same, since it may be
// true, but in a place: a node's asks have MaxAsks of them, of which keys of four bytes have three quarters, and those from
// one source half. So whoever guesses is in the way of nobody else, and of a key that its MAC proves least of all. Where there is no
// place an ask waits for one, in its source's line; the lines take turns. When a line is full, those whose sender has gone make
// room, and then the next one is refused.

// places is what is taken of a node's.
type places struct {
	inside  int // asks that have one
	guesses int // of these, with keys of four bytes
	held    int // that wait for one
}

// guessable is how many asks with keys of four bytes may have places at a time, and bySource those from one source, which
// may have as many more wait.
func (c Config) guessable() int { return max(1, 3*c.MaxAsks/4) }
func (c Config) bySource() int  { return max(1, c.MaxAsks/2) }

// enter gives an ask a place, has it wait for one, or refuses it.
func (r *Relay) enter(a *ask) bool {
	if len(a.req.Key) != shortKey {
		if r.traffic(a).inside >= r.cfg.MaxAsks {
			r.throttle(a)
			return false
		}
		r.take(a)
		return true
	}
	a.source = r.sources.find(whence{address(a.req.Remote), a.node}, r.now)
	for {
		switch {
		case len(a.source.line) == 0 && r.mayEnter(a):
			r.take(a)
			return true
		case r.mayWait(a):
			r.hold(a)
			return false
		case !r.makeRoom(a):
			r.throttle(a)
			return false
		}
	}
}

// mayEnter says whether there is a place for an ask with a key of four bytes and, where it would be dialed for, a token.
func (r *Relay) mayEnter(a *ask) bool {
	p, s := &r.traffic(a).places, a.source
	if p.inside >= r.cfg.MaxAsks || r.goesPlain(a) && !s.hasToken(r.now) {
		return false
	}
	return p.guesses < r.cfg.guessable() && s.taken(r.now) < r.cfg.bySource() || r.bug == BugGuessersFirst
}

// mayWait says whether there is room for one in the line of its source, and in all.
func (r *Relay) mayWait(a *ask) bool {
	return len(a.source.line) < r.cfg.bySource() && r.traffic(a).held < r.cfg.MaxAsks
}

func (r *Relay) take(a *ask) {
	p := &r.traffic(a).places
	a.placed = true
	p.inside++
	if a.source != nil {
		p.guesses++
		a.source.inside++
	}
}

func (r *Relay) giveBack(a *ask) {
	p := &r.traffic(a).places
	a.placed = false
	p.inside--
	if a.source != nil {
		p.guesses--
		a.source.inside--
	}
}

// hold has an ask wait.
func (r *Relay) hold(a *ask) {
	s := a.source
	a.held = true
	r.traffic(a).held++
	if s.line = append(s.line, a); len(s.line) == 1 {
		r.sources.waiting = append(r.sources.waiting, s)
	}
	r.wake(s.next(r.now))
}

func (r *Relay) unhold(a *ask) {
	s := a.source
	a.held = false
	r.traffic(a).held--
	s.line = slices.DeleteFunc(s.line, func(x *ask) bool { return x == a })
	if len(s.line) == 0 {
		r.sources.waiting = slices.DeleteFunc(r.sources.waiting, func(x *source) bool { return x == s })
	}
}

// leave is the end of an ask: others may have its place, though not at once where it was a guess too many.
func (r *Relay) leave(a *ask) {
	switch {
	case a.held:
		r.unhold(a)
	case a.placed:
		r.giveBack(a)
		if a.nobodys {
			a.source.failed(r.now)
		}
	default:
		return
	}
	r.admit()
}

// pay takes a token for a dial on behalf of a key of four bytes: whether that was right will never be known. If there is none
// the ask goes back into its line.
func (r *Relay) pay(a *ask) bool {
	if a.source == nil || a.source.takeToken(r.now) {
		return true
	}
	r.giveBack(a)
	if r.mayWait(a) {
		r.hold(a)
	} else {
		r.throttle(a)
	}
	r.admit()
	return false
}

// admit lets those in that there are places for: one of each source, then the next of each.
func (r *Relay) admit() {
	if r.admitting {
		return
	}
	r.admitting = true
	defer func() { r.admitting = false }()
	for again := true; again; {
		again = false
		for _, s := range r.sources.waiting {
			if a := s.line[0]; r.mayEnter(a) {
				r.unhold(a)
				if len(s.line) > 0 { // it is behind the others now
					r.sources.waiting = append(slices.DeleteFunc(r.sources.waiting, func(x *source) bool { return x == s }), s)
				}
				r.take(a)
				r.send(a)
				again = true
				break
			}
		}
	}
}

// Gone: nobody waits for a request any more. It is carried out all the same, unless others need its place.
func (r *Relay) Gone(t Ticket) {
	for _, a := range r.line {
		if a.ticket == t && a.in == nil && !a.over {
			a.gone = true
			return
		}
	}
}

// makeRoom refuses an ask that has not been sent and that nobody waits for.
func (r *Relay) makeRoom(a *ask) bool {
	full := r.traffic(a).held >= r.cfg.MaxAsks
	for _, x := range r.line {
		if x.gone && !x.over && x != a && x.source != nil && r.traffic(x) == r.traffic(a) && x.on == nil && !x.written && !x.plain && (full || x.source == a.source) {
			r.throttle(x)
			return true
		}
	}
	return false
}

// throttle refuses an ask.
func (r *Relay) throttle(a *ask) {
	r.traffic(a).throttled++
	reason := fmt.Sprintf("%d requests for node %d are under way", r.traffic(a).inside, a.node)
	if a.source != nil {
		reason += ", and too many from " + a.source.from + " with keys of four bytes"
	}
	r.end(a, event.CancelSettled{Outcome: event.Throttled, Reason: reason})
}
