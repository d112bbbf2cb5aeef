package engine

import (
	"time"

	"cancello/internal/event"
	"cancello/internal/lease"
	"cancello/internal/session"
	"cancello/internal/sqlstate"
	"cancello/internal/wire"
)

// client is one connection from an application, from LoginAsked until nothing of it is left to do: it may outlive its
// connection, because what it had asked for in order is still done, and what it left open is cleaned up.
type client struct {
	link
	sess session.Session
	pool *pool
	srv  *server // leased

	slot   uint32
	pid    uint32
	key    string
	remote string
	door   *door

	login   Login    // 0 once admitted
	arrival *arrival // nil once admitted, for most

	told    *lease.Settings // what it was told its settings are
	start   *lease.Settings // ... when it was let in
	pending []byte          // received and not taken yet: a cut message, or what waits
	place   lease.Place[*client]
	since   time.Duration // when it joined the line

	clock    clock
	lastEnd  time.Duration // when its last unit ended; negative: none has
	endedBy  time.Duration // and not after this; see ends
	inHandAt time.Duration // when the oldest of what it has in hand began to come
	orders   []*order      // not settled yet

	alarm     alarm
	quietAt   time.Duration // it was let in or heard then, or is known to have read since
	limited   uint64        // serial of the unit for which query_timeout counts from limitedAt on
	limitedAt time.Duration
	strain    *strain // nil for most
	ending    int32   // place in engine.ending, from 1; 0: none

	keyed      bool // the key is alive
	resets     bool // a RESET does not lead back to start by itself
	held       bool // pending waits for a fence, for settings, or for answers
	untold     bool // that its last unit has ended waits for the end of a message of its server's
	condemned  bool // its transaction took too long: it is about to be closed, and begins nothing
	notified   bool // it was told that it waits
	terminated bool // it sent Terminate, all before it has been taken
	gone       bool // its connection is closed or closing: nothing can be said to it
	lost       bool // gone without Terminate: what it left open is cancelled and rolled back
	forgotten  bool // nothing of it is left to do
}

// waits tells whether what it sends now is only kept.
func (c *client) waits() bool { return c.held || c.place.Waits() || c.login != 0 }

// departed tells whether nothing new will come from it.
func (c *client) departed() bool { return c.terminated || c.lost }

// keep makes pending what was left of it.
func (c *client) keep(rest []byte) {
	if len(rest) == 0 {
		c.pending = nil
		return
	}
	c.pending = append(c.pending[:0], rest...)
}

// sayError sends an ErrorResponse and what else belongs behind it.
func (e *Engine) sayError(c *client, err sqlstate.Error, more []byte) {
	p := wire.AppendError(nil, err.Severity, err.Code, err.Message, err.Detail, err.Hint)
	e.say(c, append(p, more...))
}

// say sends a client messages of our own, never into the middle of one of its server's.
func (e *Engine) say(c *client, p []byte) {
	if !c.sess.Delay(p) {
		e.send(&c.link, p)
	}
}

// fatal tells a client why it is closed, and closes it. What it left open is treated as lost, also where it had gone
// and what it had sent before was still to be done.
func (e *Engine) fatal(c *client, err sqlstate.Error) { e.fatalFor(c, err, err.Code+" "+err.Message) }

// fatalFor is fatal with a reason of its own for the log, where the error quotes what is the client's alone.
func (e *Engine) fatalFor(c *client, err sqlstate.Error, reason string) {
	if c.gone {
		if !c.departed() {
			e.giveUpOn(c)
		}
		return
	}
	if !c.cutShort() { // within a message nothing can be said
		err.Severity = sqlstate.SeverityFatal
		e.sayError(c, err, nil)
	}
	e.hangUp(c, Flush, reason)
}

// cutShort tells whether the last message to a client has not come to its end.
func (c *client) cutShort() bool {
	if c.passes() {
		return !c.srv.frames.between()
	}
	_, cut := c.sess.Cut()
	return cut
}

// hangUp closes a client's connection.
func (e *Engine) hangUp(c *client, how How, reason string) {
	if c.gone {
		return
	}
	conn := c.conn
	c.pending = nil // also whole units with a Terminate behind them: nobody takes them up
	e.leave(c, reason)
	if conn != 0 {
		e.out.Close(conn, how)
	}
}

// leave takes a client out of everything that its connection held: its key is dead from here on.
func (e *Engine) leave(c *client, reason string) {
	c.gone = true
	c.conn, c.queued = 0, 0
	e.freeSlot(c)
	if c.login == 0 {
		e.out.Emit(event.ClientLeft{PID: c.pid, User: c.pool.name.user, Database: c.pool.name.database, Reason: reason})
	}
	if c.srv != nil {
		e.resume(&c.srv.link, pausePeer)
	}
	if !c.terminated && c.sess.Terminates(c.pending) && c.login == 0 {
		return // all it asked for has come in, and it said so: that is still done
	}
	e.giveUpOn(c)
}

// giveUpOn takes nothing more from a client that is gone, and ends what it left open.
func (e *Engine) giveUpOn(c *client) {
	if !c.terminated {
		c.lost, c.strained().lostAt = true, e.now
		c.pending = nil
	}
	c.place.Leave()
	c.pool.forgetLogin(c)
	c.held = false
	switch {
	case c.passes():
		e.part(c.srv, "its client has left")
	case c.srv != nil:
		e.settle(c.srv)
	}
	e.attend(c)
	e.forget(c)
}

// enter registers a client: it has a slot, and with it a key.
func (e *Engine) enter(c *client) {
	if len(e.freeSlots) > 0 {
		c.slot = e.freeSlots[0]
		e.freeSlots = e.freeSlots[1:]
		e.slots[c.slot] = c
	} else {
		c.slot = uint32(len(e.slots))
		e.slots = append(e.slots, c)
	}
	c.keyed = true
	e.clients++
	e.present++
	c.pool.clients++
	e.census.enter(c.pool.name)
}

func (e *Engine) freeSlot(c *client) {
	if !c.keyed {
		return
	}
	e.clients--
	e.census.leave(c.pool.name)
	c.keyed = false
	if e.bug == BugKeyOutlivesClient {
		return
	}
	e.slots[c.slot] = nil
	e.freeSlots = append(e.freeSlots, c.slot)
}

// forget ends what is left of a client that is gone, once nothing is.
func (e *Engine) forget(c *client) {
	if !c.gone || c.srv != nil || c.place.Waits() || c.forgotten {
		return
	}
	c.forgotten = true
	e.dropAlarm(c)
	c.sess.Forget()
	c.pending = nil
	e.present--
	c.pool.clients--
	e.emptyIfDeserted(c.pool)
	e.watch(c.pool) // servers that it had to keep may go
	e.sweepPool(c.pool)
	e.checkDrained()
}
