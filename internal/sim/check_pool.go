package sim

import (
	"strconv"
	"strings"
)

// maxQueue bounds what may wait in one connection's queue (P6): a few receive buffers and what was read late.
const maxQueue = 512 << 10

func (w *World) checkQueue(k *conn) {
	if k.queued > maxQueue {
		w.violate("P6", "%d bytes are queued for %s", k.queued, k.name())
	}
}

// checkPoolSize counts servers dialed and being dialed, of the pools that have just opened one: those that became smaller
// may have too many until their clients are done.
func (w *World) checkPoolSize(dialed [len(clientUsers)]bool) {
	n := w.gate.serversOf()
	for i := range n {
		if dialed[i] {
			w.checkSize(i, n[i])
		}
	}
	w.checkBounds(n, dialed)
}

// checkHandOn sees a server change client (P4): its last answer must have been read to the end, nothing may lie
// beyond, no cancel may be on the wire, no transaction open.
func (w *World) checkHandOn(k *conn, c *client, t tag, began uint64, clean bool) {
	if !k.sees.lending {
		w.checkClean(k, c.name(), clean)
	}
	if o := w.fence(k); o != nil && began > o.goMark {
		w.violate("P1", "%s is handed on to %s (%s) while order %d is on the wire", k.name(), c.name(), t, o.id)
	}
	if old := k.sees.holder; w.keeps(old) {
		w.violate("P4", "%s is handed on to %s while %s is there, in session mode", k.name(), c.name(), old.name())
	}
}

// checkClean sees a lease begin: with a setting of Cancello's own, or with the client's first statement.
func (w *World) checkClean(k *conn, to string, clean bool) {
	if !clean {
		w.violate("P4", "%s is handed on to %s with something unread: last %q %q, more %v", k.name(), to,
			string(k.sees.lastType), string(k.sees.status), k.more)
	}
}

// noteAsync sees the gate read a message that nobody asked for.
func (w *World) noteAsync(k *conn, typ byte, body []byte) {
	n, ok := asyncNumber(typ, body)
	if !ok || n >= len(w.asyncs) {
		return
	}
	a, s := w.asyncs[n], &k.sees
	a.readAt, a.unsure = k.w.now, s.lending
	if s.holder != nil {
		a.holder = s.holder.id
	}
	a.idle = k.backend.sole == nil && s.rested && s.answered >= s.asked && !s.open && !k.w.mayBeFenced(k) && !s.holder.begun()
}

// begun is true when the engine was given part of a unit that has not ended: the client may hold a server already,
// though nothing was queued to it yet.
func (c *client) begun() bool {
	return c != nil && c.ended < len(c.units) && c.fed >= c.units[c.ended].start+5
}

// leasing is true when the client may have held the message's server though nothing of its unit had been queued there.
func (c *client) leasing(a *async) bool {
	for _, u := range c.units {
		if u.fedAt != 0 && u.fedAt <= a.readAt && (u.queuedAt == 0 || u.queuedAt >= a.readAt && u.queuedTo == a.backend.conn) &&
			(u.endedAt == 0 || u.endedAt >= a.readAt) {
			return true
		}
	}
	return false
}

// asyncNumber reads the number that the sim put into a NOTICE or notification.
func asyncNumber(typ byte, body []byte) (int, bool) {
	text := field(body, 'M')
	if typ == 'A' {
		_, rest, _ := cstring(body[min(4, len(body)):])
		text, _, _ = cstring(rest)
	}
	s, ok := strings.CutPrefix(text, "async ")
	n, err := strconv.Atoi(s)
	return n, ok && err == nil
}

// checkAsync sees a client receive such a message (P4).
func (w *World) checkAsync(c *client, n int, a *async) {
	if w.gate == nil {
		if c.peer != a.backend {
			w.violate("P4", "%s reads async %d of a stranger", c.name(), n)
		}
		return
	}
	switch {
	case a.unsure || a.holder == 0: // it was leased to somebody, but to whom?
	case c.leasing(a):
	case a.holder != c.id:
		w.violate("P4", "%s reads async %d, which belongs to client %d", c.name(), n, a.holder)
	case a.idle && w.k.transaction && !w.k.mixed:
		w.violate("P4", "%s reads async %d of a server that had answered everything", c.name(), n)
	}
}
