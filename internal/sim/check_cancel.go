package sim

import (
	"slices"
	"time"

	"cancello/internal/event"
)

// P1, no stray cancel, is checked where it can be broken:
//
//   - when the engine says go (checkGo): the server's holder must have asked for it, for exactly the unit that is its
//     earliest unfinished one, and the request must not be settled yet; or the holder has gone without Terminate, or
//     was dropped by the engine, and the cancel is Cancello's own;
//   - when something is queued to a server between go and EOF (checkFence, checkOwn, checkHandOn): no other unit, no
//     other client, no statement of Cancello's own;
//   - when a model server raises 57014 (checkRaise): in the unit that the order was for, or in one that had been
//     queued to that server before go (PostgreSQL up to 17 signals twice; the server judges what it was given).
//
// What a request may end is settled when the engine judges it (noteJudged): the client's earliest unfinished unit
// of which 5 bytes were given to the engine, unless a unit of that client ended since the request was read whole.

// noteJudged settles what a request may end, just before the engine judges it.
func (w *World) noteJudged(t *ticket, known bool) {
	c := t.client
	t.judged = w.now
	t.gone = c.conn == nil || c.conn.over || c.conn.closing || c.departed
	t.endedIn = c.ended > 0 && c.toldAt > t.readAt
	for _, u := range c.units {
		if c.fed >= u.start+5 {
			t.inhand = u.serial
			if u.endedAt == 0 && t.allowed == nil {
				t.allowed = u
			}
			if !u.over() && t.next == nil {
				t.next = u
			}
		}
	}
	if t.endedIn || t.why == wrongKey || t.gone {
		t.allowed, t.next = nil, nil
	}
	t.failed = t.allowed != nil && t.allowed.refused
	for _, x := range w.tickets { // the answer may wait for the end of a message that is half queued
		t.failed = t.failed || t.allowed != nil && x.allowed == t.allowed && x.settled > 0 && x.outcome == event.Unqueued
	}
	if known && t.why == wrongKey {
		w.violate("P1", "a wrong key for %s finds a client", c.name())
	}
	if w.trace != nil {
		serial := 0
		if t.allowed != nil {
			serial = t.allowed.serial
		}
		w.tracef("ticket %d is judged: may end unit %d of %s", t.id, serial, c.name())
	}
}

// checkGo judges an order at the moment it goes out.
func (w *World) checkGo(o *order) {
	if o.conn == nil || o.conn.over {
		return
	}
	c := w.meant(o)
	gone := c != nil && c.conn != nil && (c.conn.over || c.conn.closing)
	if s := &o.conn.sees; s.refused && !w.askedFor(c) {
		c = nil
	}
	if c == nil { // its present client sent nothing that tells who it is
		o.unsure = true
		return
	}
	o.client = c
	o.last = o.conn.sees.last
	if o.unit = c.unit(); o.unit != nil {
		o.unit.orders++
		w.checkUpstream(o)
	}
	if gone {
		if !w.askedFor(c) {
			w.checkMourning(c, o)
		}
		return // Cancello's own
	}
	if w.checkDue(c) {
		return
	}
	if w.askedFor(c) {
		for _, t := range w.tickets {
			if t.open() && t.client == c {
				t.wrote++
				o.counted = append(o.counted, t)
			}
		}
		return
	}
	serial := 0
	if o.unit != nil {
		serial = o.unit.serial
	}
	w.violate("P1", "order %d goes to %s during unit %d of %s without a request for that unit", o.id, o.backend.name(), serial, c.name())
}

// meant is who holds the server of an order that goes out: the last one whose bytes told, unless it must be somebody else.
func (w *World) meant(o *order) *client {
	s, a := &o.conn.sees, o.asker
	c := s.holder
	gone := c != nil && c.conn != nil && (c.conn.over || c.conn.closing)
	switch {
	case a != nil && w.askedFor(a):
		if u := c.present(); u == nil || u.queuedTo != o.conn || s.lending { // else that is whom it would end
			return a
		}
	case !w.askedFor(c) && (!gone || s.lending || !s.out.boundary()) && !(c != nil && !gone && w.checkDue(c)):
		if x := w.presumed(); x != nil {
			return x
		}
	}
	return c
}

// open is true while a request waits for its outcome and the unit that it may end is its client's next to end.
func (t *ticket) open() bool {
	c := t.client
	if t.judged == 0 || t.settled != 0 || t.allowed == nil {
		return false
	}
	if c.unit() != t.allowed && t.next != nil && t.next == c.present() {
		t.allowed = t.next
	}
	return c.unit() == t.allowed || c.present() == t.allowed
}

// askedFor is true when a client asked for its present unit to be cancelled.
func (w *World) askedFor(c *client) bool {
	for _, t := range w.tickets {
		if t.client == c && t.open() {
			return true
		}
	}
	return false
}

// presumed is who must be meant by an order where the server's bytes do not tell: the present unit of a client that
// asked has been queued in part, or has no tag. If it went to a stranger, checkRaise will see it.
func (w *World) presumed() *client {
	for _, t := range w.tickets {
		if t.open() && t.allowed.queuedTo == nil {
			return t.client
		}
	}
	return nil
}

// fence is the order on the wire to a server, if any.
func (w *World) fence(k *conn) *order {
	for _, o := range w.gate.wire {
		if o.conn == k && o.onWire {
			return o
		}
	}
	return nil
}

// mayBeFenced tells whether the engine may keep a server still for an order.
func (w *World) mayBeFenced(k *conn) bool {
	return slices.ContainsFunc(w.gate.wire, func(o *order) bool { return o.conn == k && (o.onWire || w.now <= o.upTill) })
}

// checkUpstream sees an order go out for a unit: to where that runs, whichever host is next.
func (w *World) checkUpstream(o *order) {
	if at := o.unit.queuedTo; at != nil && !at.over && at.backend.host != o.backend.host {
		w.violate("P1", "order %d goes to %s at %s, and unit %d of %s runs at %s", o.id, o.backend.name(), o.backend.host, o.unit.serial, o.client.name(), at.backend.host)
	}
}

// checkFence sees a unit that is new on its server.
func (w *World) checkFence(k *conn, c *client, t tag, began uint64) {
	o := w.fence(k)
	if o == nil {
		return
	}
	if began <= o.goMark {
		o.last = max(o.last, t.unit) // part of it had gone before
		return
	}
	if o.unit != nil && o.client == c && t.unit == o.unit.serial {
		return
	}
	w.violate("P1", "unit %d of %s goes to %s while order %d is on the wire", t.unit, c.name(), k.name(), o.id)
}

// checkOwn sees a Query of Cancello's own on its way to a server.
func (w *World) checkOwn(k *conn, body []byte, began uint64) {
	if o := w.fence(k); o != nil && began > o.goMark {
		w.violate("P1", "Cancello's own %s goes to %s while order %d is on the wire", brief(body), k.name(), o.id)
	}
}

// checkRaise sees a model server raise 57014.
func (w *World) checkRaise(b *backend, s *signal) {
	t := b.curTag
	var u *unit
	if t.client > 0 && t.unit <= len(w.clients[t.client-1].units) && t.unit > 0 {
		u = w.clients[t.client-1].units[t.unit-1]
		u.raisedAt = w.now
	}
	o := s.order
	if o == nil {
		return // direct: as PostgreSQL does
	}
	if o.unsure && u != nil {
		u.orders++ // now it is known whose that was
	}
	stray := ""
	switch {
	case u == nil:
		stray = "a statement of Cancello's own"
	case o.unsure:
	case o.client != u.c:
		stray = "a stranger's " + t.String()
	case o.unit != nil && u.serial != o.unit.serial && u.serial > o.last:
		stray = t.String() + ", which was sent behind it"
	case o.unit != nil && u.serial < o.unit.serial:
		stray = t.String() + ", which had ended"
	}
	if stray != "" {
		w.strays++
		w.violate("P1", "order %d for %s ends %s on %s", o.id, clientName(o.client), stray, b.name())
	}
}

func clientName(c *client) string {
	if c == nil {
		return "nobody"
	}
	return c.name()
}

// noteOutcome takes the end of a request, and asks whether it is what really happened (P3), and not a lost one (P2).
func (w *World) noteOutcome(e event.CancelSettled) {
	if e.Ticket == 0 {
		return
	}
	if e.Ticket > uint64(len(w.tickets)) {
		w.violate("contract", "ticket %d is settled but was never asked", e.Ticket)
		return
	}
	t := w.tickets[e.Ticket-1]
	t.settledAt, t.outcome = w.now, e.Outcome
	if t.settled++; t.settled > 1 {
		w.violate("P3", "ticket %d is settled twice, now as %s", t.id, e.Outcome)
		return
	}
	if t.judged == 0 {
		w.violate("P3", "ticket %d is settled as %s before it was judged", t.id, e.Outcome)
		return
	}
	w.checkOutcome(t, e)
}

// checkOutcome compares an outcome with what the sim saw.
func (w *World) checkOutcome(t *ticket, e event.CancelSettled) {
	u := t.allowed
	said := e.Outcome
	nobody := said == event.Idle || said == event.UnknownKey || said == event.Finished || said == event.Forged || said == event.Malformed
	switch {
	case t.why == wrongKey:
		if said != event.UnknownKey && said != event.Forged && said != event.Malformed {
			w.violate("P3", "ticket %d with a wrong key is settled as %s", t.id, said)
		}
		return
	case t.gone:
		if !nobody && said != event.Disconnected && said != event.Late && said != event.Failed || said == event.Forged {
			w.violate("P1", "ticket %d with the key of %s, who has gone, is settled as %s", t.id, t.client.name(), said)
		}
		return
	case u == nil && t.endedIn && !nobody:
		w.violate("P1", "ticket %d is settled as %s for unit %d, but a unit of %s ended since it was read", t.id, said, e.Unit, t.client.name())
	case u == nil && !nobody:
		w.violate("P3", "ticket %d had no unit to end and is settled as %s", t.id, said)
	case u != nil && !(t.failed && said == event.Idle) && (said == event.Idle || said == event.UnknownKey || said == event.Forged || said == event.Malformed):
		w.violate("P2", "ticket %d for unit %d of %s (%s), which waited or ran, is settled as %s", t.id, u.serial, t.client.name(), u.kind, said)
	case u != nil && !t.failed && said == event.Finished && t.settledAt == t.judged && w.proc == nil && u.kind != "hidden begin":
		// From another process it comes with bounds of when it was read; a block that statement mode undoes has ended.
		w.violate("P2", "ticket %d for unit %d of %s (%s) counts for what ended before it was read", t.id, u.serial, t.client.name(), u.kind)
	case u == nil && (said == event.UnknownKey || said == event.Forged || said == event.Malformed):
		w.violate("P3", "ticket %d with a good key is settled as %s", t.id, said)
	}
	if u == nil {
		return
	}
	switch said {
	case event.SQL, event.Cancelled:
		if w.k.statement != (said == event.SQL) {
			w.violate("P3", "ticket %d is settled as %s", t.id, said)
		}
		if u.raisedAt == 0 && u.told != "57014" || u.orders == 0 {
			w.violate("P3", "ticket %d is settled as cancelled, but nothing ended unit %d with 57014 after a send", t.id, u.serial)
		}
	case event.Unqueued:
		if u.queuedTo != nil {
			w.violate("P3", "ticket %d is settled as unqueued, but unit %d had been sent to %s", t.id, u.serial, u.queuedTo.name())
		}
	case event.Late, event.Swallowed:
		if u.orders == 0 && u.kind != "lone begin" { // which is not sent as it is, so nobody knows whose it is
			w.violate("P3", "ticket %d is settled as %s, but nothing was sent", t.id, said)
		}
	case event.Finished:
		if t.wrote > 0 && w.alone(t) {
			w.violate("P3", "ticket %d is settled as finished, but it was sent", t.id)
		}
	case event.Disconnected:
		if !w.pm.keyless && w.faults.carries == 0 && !t.client.gone() && !t.client.departed && !t.client.cut {
			w.violate("P3", "ticket %d is settled as disconnected, but the server had a key", t.id)
		}
	case event.Failed:
		if w.faults.carries == 0 && w.faults.servers == 0 {
			w.violate("P2", "ticket %d failed (%s), but nothing was broken", t.id, e.Reason)
		}
	}
}

// alone is true for the only request for its unit: with several, one may be settled though another's order went out.
func (w *World) alone(t *ticket) bool {
	for _, x := range w.tickets {
		if x != t && x.allowed == t.allowed {
			return false
		}
	}
	return true
}

// check57014 sees a client told that its unit was cancelled.
func (c *client) check57014(u *unit) {
	w := c.w
	if w.gate == nil || u.raisedAt != 0 || u.mustFail == "57014" || w.mayEnd(u) {
		return
	}
	w.violate("P1", "unit %d of %s (%s) is answered 57014 without a request for it", u.serial, c.name(), u.kind)
}

// mayEnd tells whether a client's request, or a command, was for a unit: for itself, or for one before it that waited and
// would have begun a transaction, when this one was there already.
func (w *World) mayEnd(u *unit) bool {
	for _, list := range [][]*ticket{u.c.commands, w.tickets} {
		for _, t := range list {
			if t.client == u.c && t.allowed != nil && (t.allowed == u || t.allowed.begins && t.allowed.serial < u.serial && u.serial <= t.inhand) {
				return true
			}
		}
	}
	return false
}

// checkLong is P2 for a long statement: where a request for it was judged while it ran, it must not run on to its
// end long after that.
func (w *World) checkLong() {
	slack := 2*w.k.config.Cancel.Timeout + 4*w.k.config.Cancel.Resend + time.Second
	for _, t := range w.tickets {
		u := t.allowed
		if u == nil || !u.long || u.ranTill == 0 || u.queuedTo != nil && u.queuedTo.over && u.queuedTo.overAt <= t.settledAt || t.outcome == event.Failed || t.outcome == event.Disconnected || t.outcome == event.Swallowed && w.faults.carries > 0 {
			continue
		}
		if u.kind != "query" && u.kind != "batch" || len(u.items) > 6 || u.raisedAt != 0 {
			continue
		}
		if since := u.ranTill - max(t.judged, u.ranAt); since > slack {
			w.violate("P2", "unit %d of %s ran %v after ticket %d was judged, settled as %s", u.serial, u.c.name(), since, t.id, t.outcome)
		}
	}
}

// noteRun and noteRan note when a client's unit ran on a server.
func (w *World) noteRun(t tag) {
	if u := w.unitOf(t); u != nil && u.ranAt == 0 {
		u.ranAt = w.now
	}
}

func (w *World) noteRan(t tag) {
	if u := w.unitOf(t); u != nil {
		u.ranTill = w.now
	}
}

// noteCopyFail notes a COPY that its client, or the engine for it, ended: PostgreSQL says 57014 to that, too.
func (w *World) noteCopyFail(t tag) {
	if u := w.unitOf(t); u != nil {
		u.raisedAt = w.now
	}
}

func (w *World) unitOf(t tag) *unit {
	if t.client < 1 || t.client > len(w.clients) {
		return nil
	}
	c := w.clients[t.client-1]
	if t.unit < 1 || t.unit > len(c.units) {
		return nil
	}
	return c.units[t.unit-1]
}

// checkCarries sees how many CancelRequests are on their way at once.
func (w *World) checkCarries() {
	n := 0
	last := w.gate.wire[len(w.gate.wire)-1]
	for _, o := range w.gate.wire {
		if !o.done && !o.sql && !last.sql && (o.backend == nil || last.backend == nil || o.backend.host == last.backend.host) {
			n++
		}
	}
	if most := w.gate.settings.live.Cancel.PerUpstream; n > most {
		w.violate("P6", "%d orders on their way, max_cancels_per_upstream is %d", n, most)
	}
}
