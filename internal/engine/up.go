package engine

import "cancello/internal/session"

// prefix is how much of a new buffer is copied behind a cut message to see the rest of its names; as much as is there
// already where that is more, so that a Parse that has to be seen whole is not looked at for every few bytes.
const prefix = 256

// clientData takes bytes from a client: at once, or for later if it waits.
func (e *Engine) clientData(c *client, b Buf) {
	if c.departed() {
		return
	}
	if c.passes() {
		e.passUp(c, b)
		return
	}
	c.pool.tally.Received += uint64(len(b.Bytes))
	c.wakes(e.now)
	c.hears(e.now)
	c.quietAt = e.now
	if c.waits() {
		e.stash(c, b.Bytes)
		return
	}
	off := 0
	for len(c.pending) > 0 && off < len(b.Bytes) && !c.waits() {
		n := min(max(prefix, len(c.pending)), len(b.Bytes)-off)
		e.stash(c, b.Bytes[off:off+n])
		off += n
		e.takePending(c)
	}
	if off < len(b.Bytes) && !c.departed() && !c.waits() {
		off += e.pump(c, Buf{Bytes: b.Bytes[off:], ID: b.ID}, b, off)
	}
	if off < len(b.Bytes) && !c.departed() {
		e.stash(c, b.Bytes[off:])
	}
	if s := c.srv; s != nil && s.phase == leased && !c.held && (c.sess.Settled() || c.sess.Doubtful()) {
		e.settle(s) // its server had answered before the end of this message, of COPY data, came
	}
	e.afterInput(c)
}

// takePending takes what it can of the bytes that were kept.
func (e *Engine) takePending(c *client) {
	p := c.pending
	c.pending = nil
	n := e.pump(c, Buf{Bytes: p}, Buf{}, 0)
	if n < len(p) && !c.departed() {
		c.pending = append(p[:0], p[n:]...)
		return
	}
	c.pending = nil
	e.spare.put(p)
}

// stash keeps bytes of a client that cannot be taken yet.
func (e *Engine) stash(c *client, p []byte) {
	if c.pending == nil {
		c.pending = e.spare.take()
	}
	c.pending = append(c.pending, p...)
}

// afterInput pauses a client that waits and lets one go on that does not.
func (e *Engine) afterInput(c *client) {
	switch {
	case c.gone:
		return
	case c.waits():
		e.pause(&c.link, pauseWait)
	default:
		e.resume(&c.link, pauseWait)
	}
	if c.srv != nil {
		e.balance(&c.srv.link, &c.link)
	}
	e.attend(c)
}

// proceed takes up what a client had to wait with.
func (e *Engine) proceed(c *client) {
	if c.place.Waits() || c.login != 0 {
		return
	}
	c.held = false
	if len(c.pending) > 0 && !c.departed() {
		e.takePending(c)
	}
	e.afterInput(c)
}

// mayBegin tells whether a new unit of c may be sent at once.
func (c *client) mayBegin() bool {
	return c.srv != nil && c.srv.phase == leased && c.srv.fences == 0 && !c.condemned && !c.unrestored()
}

// pump takes bytes from a client until they are used up or something has to be waited for, and returns how many it took.
// They are data.Bytes, which are lent.Bytes from base on; or memory of our own where lent is zero.
func (e *Engine) pump(c *client, data, lent Buf, base int) int {
	off := 0
	for off < len(data.Bytes) {
		n, v := c.sess.Up(data.Bytes[off:], c.mayBegin())
		switch v {
		case session.Pass:
			e.toServer(c, data.Bytes[off:off+n], lent, base+off)
		case session.More:
			return off
		case session.Begin:
			if !e.begin(c) {
				return off
			}
		case session.Hold:
			c.held = true
			return off
		case session.Insert, session.Instead:
			e.toServer(c, c.sess.Out(), Buf{}, 0)
		case session.Answer:
			e.say(c, c.sess.Out())
			e.ends(c)
		case session.Terminate:
			e.terminate(c)
			return len(data.Bytes)
		case session.Broken:
			e.fatal(c, c.sess.Err())
			return len(data.Bytes)
		}
		off += n
	}
	return off
}

// begin finds out whether a new unit may be sent, and asks for a server where there is none.
func (e *Engine) begin(c *client) bool {
	if c.srv == nil && !c.condemned {
		return e.ask(c)
	}
	c.held = true
	return false
}

// toServer sends a client's bytes to the server that it holds; p is lent.Bytes from at on, or our own.
func (e *Engine) toServer(c *client, p []byte, lent Buf, at int) {
	s := c.srv
	if s == nil || len(p) == 0 {
		return
	}
	s.lastWrite = e.now
	e.clockIn(c)
	c.countMessages()
	if lent.Bytes != nil {
		e.forward(&s.link, lent, at, len(p))
		return
	}
	e.send(&s.link, p)
}
