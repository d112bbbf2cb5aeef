package sim

import "time"

// checkEnd asks, once the faults have stopped and time enough has passed, whether everything came to its end (P5,
// P3): every login answered, every client gone, every ticket settled and released, every server clean.
func (w *World) checkEnd() {
	for _, c := range w.clients {
		if !c.gone() {
			serial, kind := 0, "login"
			if c.answered < len(c.units) {
				serial, kind = c.units[c.answered].serial, c.units[c.answered].kind
			}
			w.violate("P5", "%s still waits for unit %d (%s), %v after the faults stopped", c.name(), serial, kind, w.now-w.calmAt)
		}
	}
	w.checkCommits()
	w.checkLimits()
	if w.gate == nil {
		return
	}
	w.checkLong()
	w.checkWaits()
	w.checkKept()
	for i, ok := range w.gate.answers {
		if c := w.gate.logins[i]; !ok && !c.conn.over {
			w.violate("P5", "the login of %s was never answered", c.name())
		}
	}
	for _, t := range w.tickets {
		if t.released != 1 || t.settled != 1 {
			w.violate("P3", "ticket %d was released %d times and settled %d times", t.id, t.released, t.settled)
		}
	}
	for _, k := range w.gate.conns {
		switch {
		case k == nil || k.over || k.closing || !k.adopted:
		case k.client != nil && k.client.phase >= left && !k.end.hole:
			w.violate("P5", "the engine still keeps the connection of %s, who has gone", k.client.name())
		case k.backend != nil && (k.backend.block != 'I' || k.backend.state != bReading):
			w.violate("P8", "%s is kept, %s, in state %q", k.name(), k.backend.state, string(k.backend.block))
		case k.queued > 0:
			w.violate("P5", "%d bytes still wait for %s", k.queued, k.name())
		}
	}
	for _, b := range w.pm.backends {
		if b.block != 'I' && b.state != bRunning && b.conn != nil && b.conn.over && w.now-w.calmAt > time.Minute {
			w.violate("P8", "%s is left alone in state %q", b.name(), string(b.block))
		}
	}
}

// checkDrained follows a drain at the very end: it must be over, and said once.
func (w *World) checkDrained() {
	if w.gate == nil {
		return
	}
	if limit := w.k.config.Timeouts.Shutdown; limit > 0 && w.gate.drained == 1 {
		if over := w.gate.drainedAt - w.gate.drainAt - limit - w.k.config.Cancel.Timeout; over > time.Second {
			w.violate("P5", "a drain took %v longer than shutdown_timeout and cancel_timeout allow", over)
		}
	}
	if w.gate.drained != 1 {
		w.violate("P5", "a drain with no client left ended %d times", w.gate.drained)
	}
}

// feed notes that the engine was given n bytes of the client.
func (c *client) feed(n int) {
	c.fed += int64(n)
	c.fedAt = c.w.now
	for c.known < len(c.units) && c.fed >= c.units[c.known].start+5 {
		c.units[c.known].fedAt = c.w.now
		c.known++
	}
}

// checkWaits asks whether a unit waited for a server longer than query_wait_timeout allows (P5). The limit counts from
// the end of the unit before; a fence and a dial may be waited for besides. A lone Sync has no tag to be seen by.
func (w *World) checkWaits() {
	limit := w.k.config.Timeouts.QueryWait
	if limit == 0 {
		return
	}
	limit += w.k.config.Timeouts.ServerConnect + 2*w.k.config.Cancel.Timeout + time.Second
	for _, c := range w.clients {
		free := time.Duration(0)
		for _, u := range c.units {
			over := w.now
			for _, at := range []time.Duration{u.queuedAt, u.endedAt, c.conn.overAt, c.closedAt} {
				if at != 0 {
					over = min(over, at)
				}
			}
			if u.kind != "nothing" && u.fedAt != 0 && over-max(u.fedAt, free) > limit {
				w.violate("P5", "unit %d of %s (%s) waited %v for a server, query_wait_timeout is %v", u.serial, c.name(), u.kind,
					over-max(u.fedAt, free), w.k.config.Timeouts.QueryWait)
			}
			free = max(free, u.endedAt)
			if u.queuedAt != 0 && u.endedAt == 0 {
				break // what stands behind a unit that runs may be held back until it has been answered
			}
		}
	}
}
