package sim

import "cancello/internal/engine"

// checkVerdict looks at what a client is told when it is let in.
func (c *client) checkVerdict(v *engine.Verdict) {
	w := c.w
	if int32(v.PID) <= 0 || v.PID&(1<<30) == 0 {
		w.violate("P8", "%s is given pid %d", c.name(), v.PID)
	}
	want := 4
	if c.v32 {
		want = 32
	}
	if len(v.Key) != want {
		w.violate("P8", "%s is given a key of %d bytes, its protocol wants %d", c.name(), len(v.Key), want)
	}
	if c.badParam {
		w.violate("P8", "%s is let in though it asked for what is refused", c.name())
	}
	version := false
	for _, p := range v.Params {
		switch p.Name {
		case "server_version":
			version = true
		case settingNames[setApp]:
			c.app = p.Value
		}
	}
	if !version {
		w.violate("P8", "%s is not told server_version", c.name())
	}
	for _, x := range w.clients {
		if x != c && x.phase == active && x.pid == c.pid && !x.conn.closing && !x.conn.over {
			w.violate("P1", "%s and %s have the same pid", c.name(), x.name())
		}
	}
}

// excuses is true when something was broken, or a limit may have passed, so that a clear error is in order.
func (w *World) excuses() bool {
	f := w.faults
	return f.dials > 0 || f.carries > 0 || f.servers > 0 || w.draining || w.pm.keyless || w.k.config.Timeouts.QueryWait > 0
}

// checkRefusal sees a login refused.
func (w *World) checkRefusal(c *client, code string) {
	if code == "3D000" && w.gate != nil && w.gate.settings.gone {
		return
	}
	if (code == "42704" || code == "22023") && !c.badParam {
		w.violate("P4", "%s is refused with %s, which it gave no reason for", c.name(), code)
	}
	if !w.excuses() && !w.k.crowded && !c.badParam {
		w.violate("P5", "%s is refused with %s for no reason", c.name(), code)
	}
}

// checkFatal sees a client told that its connection ends.
func (c *client) checkFatal(code string) {
	if c.killed {
		return
	}
	if limitCode(code) {
		if code != "57P05" && c.block != 'I' && c.inflight() == 0 {
			c.settleBlock(mustNot)
		}
		return // the engine was seen saying it
	}
	if code == "57P01" && c.w.k.config.Pool.FastClose && c.w.k.bounded && (c.w.keptOne() || c.replication != "") {
		return
	}
	if !c.w.excuses() && !c.garbage && c.w.gate != nil {
		c.w.violate("P5", "%s is told FATAL %s for no reason", c.name(), code)
	}
}

// checkError sees a client told that its unit failed.
func (c *client) checkError(u *unit, code string) {
	w := c.w
	if len(code) != 5 {
		w.violate("P8", "%s reads an error with code %q", c.name(), code)
		return
	}
	switch {
	case code == u.mustFail || u.mustFail == "*":
	case code == "57014":
		c.check57014(u)
	case code == "25P02" && c.block == 'E':
	case code == "26000" && u.kind == "execute" && w.faults.servers > 0:
	case code[:2] == "08" || code[:3] == "57P" || code[:2] == "53" || code[:2] == "58":
		if !w.excuses() {
			w.violate("P5", "unit %d of %s is answered %s for no reason", u.serial, c.name(), code)
		}
	default:
		w.violate("P8", "unit %d of %s (%s) is answered %s", u.serial, c.name(), u.kind, code)
	}
}

// checkClose sees a client's connection end without the client's doing: it must have been told why.
func (c *client) checkClose() {
	w := c.w
	if c.fatal != "" || c.cut || w.gate == nil {
		return
	}
	if k := c.conn; k != nil && (k.gaveUp || !k.sees.out.boundary() || c.slow && k.shut) {
		return // it may have been told, and sent something before it read that
	}
	w.violate("P5", "%s is closed without a word", c.name())
}

// checkGoodbye sees the engine close a client.
func (w *World) checkGoodbye(k *conn) {
	c := k.client
	if c.phase == active && !c.cut && k.sees.out.boundary() && k.sees.lastType != 'F' {
		w.violate("P5", "the engine closes %s without a FATAL", c.name())
	}
}
