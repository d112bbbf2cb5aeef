package sim

// checkCommits compares, at the end, what was committed with what each client was told and had asked:
//
//   - nothing is committed twice;
//   - what a client was told is committed is, and what it was told failed is not (08007 says nothing);
//   - what direct rolls back, we roll back: an insert outside a block may be committed only if the client had written
//     the end of its Query or its Sync, an insert inside a block only by that client's own COMMIT, written whole;
//   - what a client left behind whole before an orderly Terminate is committed, where nothing was broken.
func (w *World) checkCommits() {
	count := make(map[tag]int)
	last := make(map[tag]commit)
	for _, m := range w.db.commits {
		count[m.tag]++
		last[m.tag] = m
		if count[m.tag] == 2 {
			w.violate("P8", "%s is committed twice", m.tag)
		}
		w.checkCommit(m)
	}
	for _, c := range w.clients {
		for _, e := range c.effects {
			n := count[e.tag]
			switch {
			case e.fate == mustCommit && n == 0:
				w.violate("P8", "%s was told that %s is committed, but it is not", c.name(), e.tag)
			case e.fate == mustNot && n > 0:
				w.violate("P8", "%s was told that %s failed, but it was committed at %v by %s", c.name(), e.tag, last[e.tag].at, last[e.tag].by)
			}
		}
		w.checkOrderly(c, count)
	}
}

// checkCommit asks whether a direct connection could have committed this.
func (w *World) checkCommit(m commit) {
	u := w.unitOf(m.tag)
	if u == nil {
		w.violate("P4", "%s was committed but never asked", m.tag)
		return
	}
	c := u.c
	if m.block {
		by := w.unitOf(m.by)
		switch {
		case by == nil || by.c != c:
			w.violate("P8", "%s was committed by %s, which is not its client's", m.tag, m.by)
		case by.start+int64(by.commitLen) > c.written:
			w.violate("P8", "%s was committed by %s, which its client never finished sending", m.tag, m.by)
		}
		return
	}
	if u.end < 0 || u.end > c.written {
		w.violate("P8", "%s was committed, but its client left before it had sent the end of unit %d (%s)", m.tag, u.serial, u.kind)
	}
	if u.blockUnit != 0 && w.db.begun(c.id, u.blockUnit) && !w.db.closed(c.id, u.blockUnit) {
		w.violate("P8", "%s was committed alone, out of the transaction begun by unit %d", m.tag, u.blockUnit)
	}
}

// checkOrderly is trap A9: Query, Terminate and close commit.
func (w *World) checkOrderly(c *client, count map[tag]int) {
	if c.phase != left || c.leaving != orderly || w.faults != (faultCount{}) || w.draining || w.pm.keyless {
		return
	}
	if w.k.config.Timeouts.QueryWait > 0 || w.k.config.Limits.Query > 0 || w.k.config.Limits.Transaction > 0 || c.written != c.queued || w.gate != nil && c.fed != c.queued || w.gate == nil && c.peer.endRead != c.queued {
		return
	}
	if c.killed || w.gate == nil && w.k.cancels > 0 {
		return
	}
	for _, u := range c.units[c.answered:] {
		if u.mustFail != "" || c.block == 'E' || u.failed != "" || u.blockUnit != 0 || u.raisedAt != 0 || w.mayEnd(u) {
			continue
		}
		for _, t := range u.effects {
			if count[t] == 0 {
				w.violate("P8", "%s left in order, but %s (%s), sent whole before, was not committed", c.name(), t, u.kind)
			}
		}
	}
}
