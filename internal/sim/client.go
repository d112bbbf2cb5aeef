package sim

import (
	"strconv"
	"time"

	"cancello/internal/engine"
)

// client is one model client: it logs in, asks unit after unit, checks each answer, cancels, and leaves.
type client struct {
	w    *World
	id   int
	user int // of clientUsers
	end  *end
	conn *conn // the gate's side; nil in a direct world
	far  *end  // the other end of its connection
	peer *backend
	v32  bool
	pid  uint32
	key  []byte

	phase   phase
	why     string
	joined  time.Duration
	budget  int  // units it means to ask
	depth   int  // units it has under way at most
	patient bool // waits for the end of its cancels before its next unit
	slow    bool
	leaving departure
	hurried bool // leaves right behind its last unit

	units     []*unit
	answered  int // units whose ReadyForQuery came
	planBlock int // serial of the unit whose BEGIN is open, as far as was asked
	block     byte
	blockID   int
	begunBy   int // serial of the unit whose BEGIN was answered last
	app       string
	setsOpen  int // units under way that set something
	names     int
	listens   bool
	followUp  func(*builder)
	effects   []effect

	outbuf       []byte
	queued       int64 // bytes ever meant to be written
	written      int64 // ... taken by the socket
	inbuf        []byte
	reading      bool
	waking       bool
	cancels      int // cancel requests that have not ended
	fatal        string
	cut          bool // its connection was broken on purpose
	garbage      bool
	badParam     bool // it asked for what must be refused
	startup      startup
	replication  string // "true" or "database": it asks for a server of its own
	unconfigured bool   // its database was not configured when it asked to be let in
	disabled     bool   // ... or disabled
	known        int    // units of which the engine was given enough to begin them
	fed          int64  // bytes the engine was given
	ended        int    // units whose ReadyForQuery the engine has queued
	lastEnd      time.Duration
	toldAt       time.Duration // of its last unit's end, at the earliest
	letIn        time.Duration // the engine admitted it
	given        uint32        // ... with this pid, of which it hears later, perhaps when it has departed and another has it
	fedAt        time.Duration // when the engine was given bytes last
	// mustNotCommit is when the engine said that all from a unit on is rolled back; 0: it did not.
	mustNotCommit time.Duration
	mustNotFrom   int
	killed        bool      // by a command
	commands      []*ticket // CANCEL, as if the client had asked
	departed      bool      // the engine said ClientLeft
	closedAt      time.Duration
}

type phase uint8

const (
	joining phase = iota
	active
	left    // gone by itself
	dropped // closed by the other side
	refused
)

// departure is how a client means to leave.
type departure uint8

const (
	orderly     departure = iota // Terminate, then close
	silentFIN                    // close
	silentRST                    // reset
	deadPath                     // nothing arrives any more
	halfMessage                  // part of a unit, then close
	halfReset                    // part of a unit, then reset
	garbageEnd                   // bytes that are no message
)

func (c *client) name() string { return "c" + strconv.Itoa(c.id) }

func (c *client) inflight() int { return len(c.units) - c.answered }

// newClient makes a client that joins after d.
func (w *World) newClient(d time.Duration) *client {
	c := &client{w: w, id: len(w.clients) + 1, v32: w.chance(0.5), block: 'I', budget: w.pick(1, w.k.units), depth: 1}
	if w.chance(0.35) {
		c.depth = w.pick(2, 4)
	}
	c.patient = w.chance(0.6)
	c.slow = w.chance(w.k.slowReaders)
	switch {
	case w.chance(w.k.vanish):
		c.leaving = departure(w.pick(int(silentFIN), int(halfReset)))
	case w.chance(w.k.misbehave):
		c.leaving = garbageEnd
	default:
		c.hurried = w.chance(0.3)
	}
	if w.k.twoUsers {
		c.user = w.pick(0, 1)
	}
	c.replicates()
	w.clients = append(w.clients, c)
	w.joining++
	w.after(d, c.join)
	return c
}

func (c *client) join() {
	w := c.w
	w.joining--
	var far *end
	c.end, far = w.connect(c, nobody{})
	w.tracef("%s connects", c.name())
	if w.gate != nil {
		w.gate.login(c, far)
		if w.chance(w.k.eager) {
			c.ask()
		}
		if c.leaving != orderly && w.chance(0.1) {
			w.after(w.between(0, 5*time.Millisecond), c.giveUp)
		}
		return
	}
	c.peer = w.pm.fork(far, c.user)
	c.admitted(nil)
}

// admitted lets the client in. The verdict is nil in a direct world.
func (c *client) admitted(v *engine.Verdict) {
	w := c.w
	if c.phase != joining {
		return
	}
	c.phase, c.joined = active, w.now
	if v != nil {
		c.pid, c.key = v.PID, v.Key
		c.checkVerdict(v)
	}
	if c.leaving != orderly && c.leaving != garbageEnd {
		w.after(w.between(0, w.k.horizon/2), c.vanish)
	}
	c.wake()
}

// giveUp leaves while the login is under way.
func (c *client) giveUp() {
	if c.phase != joining {
		return
	}
	c.w.tracef("%s gives up its login", c.name())
	c.phase, c.closedAt = left, c.w.now
	if c.w.chance(0.5) {
		c.end.abort()
	} else {
		c.end.close()
	}
	c.w.gate.giveUp(c)
}

// refuse ends a login that was not let in.
func (c *client) refuse(why string) {
	if c.phase != joining {
		return
	}
	c.phase, c.why = refused, why
	c.end.close()
	c.w.tracef("%s is refused: %s", c.name(), why)
}

// gone is true once nothing more is expected for the client.
func (c *client) gone() bool { return c.phase >= left }

// wake makes the client look for something to do, soon.
func (c *client) wake() {
	if c.waking || c.phase != active {
		return
	}
	c.waking = true
	d := c.w.between(0, 40*time.Microsecond)
	if c.inflight() == 0 {
		d = c.w.between(0, c.w.k.think)
	}
	c.w.after(d, func() { c.waking = false; c.act() })
}

// act sends what may be sent now: the next part of a unit, a new unit, or goodbye.
func (c *client) act() {
	if c.phase != active || c.fatal != "" {
		return
	}
	if n := len(c.units); n > 0 && len(c.units[n-1].parts) > 0 {
		c.sendParts(c.units[n-1])
		if len(c.units[n-1].parts) > 0 {
			return
		}
	}
	if c.inflight() >= c.depth || c.followUp != nil && c.inflight() > 0 {
		return
	}
	if c.patient && c.cancels > 0 {
		return
	}
	over := len(c.units) >= c.budget || c.w.calm
	if over && (c.planBlock != 0 || c.block != 'I') && (c.w.calm || len(c.units) < c.budget+6) && c.leaving == orderly {
		over = false // finish the transaction first
		if c.w.calm && c.inflight() > 0 {
			return
		}
	}
	if over {
		c.finish()
		return
	}
	u := c.ask()
	c.planCancels(u)
	if c.hurried && len(c.units) == c.budget && len(u.parts) == 0 && c.planBlock == 0 && c.block == 'I' {
		c.say(message(nil, 'X', ""))
		c.w.tracef("%s leaves in a hurry", c.name())
		c.leave()
		return
	}
	c.wake()
}

// ask sends the next unit.
func (c *client) ask() *unit {
	u := c.compose()
	c.units = append(c.units, u)
	if u.setsApp {
		c.setsOpen++
	}
	u.start, u.sentAt = c.queued, c.w.now
	if c.w.trace != nil {
		c.w.tracef("%s asks unit %d: %s", c.name(), u.serial, u.kind)
	}
	c.sendParts(u)
	return u
}

// sendParts sends what of a unit may go out now.
func (c *client) sendParts(u *unit) {
	for len(u.parts) > 0 {
		p := u.parts[0]
		if u.failed == "" && u.pos < p.after {
			return
		}
		if p.pause > 0 {
			u.parts[0].pause = 0
			u.pausedTo = c.w.now + p.pause
			c.w.after(p.pause, c.act)
		}
		if c.w.now < u.pausedTo {
			return
		}
		u.parts = u.parts[1:]
		if p.onlyIf && u.failed != "" && !u.copying {
			continue
		}
		c.say(p.bytes)
	}
	u.end = c.queued
}

// say queues bytes towards the socket.
func (c *client) say(p []byte) {
	c.queued += int64(len(p))
	c.outbuf = append(c.outbuf, p...)
	c.room()
}

func (c *client) room() {
	if c.phase > left {
		return
	}
	n := c.end.write(c.outbuf)
	c.written += int64(n)
	c.outbuf = c.outbuf[n:]
	if len(c.outbuf) == 0 && c.phase == left && c.leaving == orderly {
		c.end.close()
	}
}

// finish is what the client does when it has asked all it wanted.
func (c *client) finish() {
	switch {
	case c.leaving == garbageEnd && !c.garbage:
		c.spoil()
	case c.leaving != orderly && !c.w.calm: // vanish has its own time
	case c.garbage:
	case c.inflight() == 0:
		if c.leaving != orderly {
			c.vanish()
			return
		}
		c.say(message(nil, 'X', ""))
		c.w.tracef("%s leaves", c.name())
		c.leave()
	}
}

// leave ends the client's own part; what it has written still goes out.
func (c *client) leave() {
	c.phase = left
	c.closedAt = c.w.now
	if len(c.outbuf) == 0 {
		c.end.close()
	}
	c.planDeparted()
}

// spoil sends what no server can read; both sides must then come to an end.
func (c *client) spoil() {
	w := c.w
	c.garbage = true
	w.tracef("%s sends garbage", c.name())
	switch w.pick(0, 3) {
	case 0:
		c.say([]byte{0xff, 0, 0, 0, 4})
	case 1:
		c.say([]byte{'Q', 0, 0, 0, 3})
	case 2:
		c.say([]byte{'S', 0x7f, 0xff, 0xff, 0xff})
	case 3:
		c.say([]byte{'p', 0, 0, 0, 8, 'x', 0, 0, 0})
	}
}

// vanish leaves without Terminate.
func (c *client) vanish() {
	w := c.w
	if c.phase != active {
		return
	}
	if c.leaving == halfMessage || c.leaving == halfReset {
		if n := len(c.units); n == 0 || len(c.units[n-1].parts) == 0 {
			u := c.compose()
			c.units = append(c.units, u)
			u.start, u.sentAt = c.queued, w.now
			p := u.parts[0].bytes
			n := w.rng.IntN(len(p) + 1)
			if len(p) > 5 && w.chance(0.4) {
				n = len(p) - 5 // all but a Sync, perhaps
			}
			c.say(p[:n])
			if n == len(p) && len(u.parts) == 1 {
				u.parts, u.end = nil, c.queued
			}
			w.tracef("%s sends part of unit %d: %s", c.name(), u.serial, u.kind)
		}
	}
	w.tracef("%s vanishes (%d)", c.name(), c.leaving)
	c.phase = left
	c.closedAt = w.now
	c.outbuf = nil
	switch c.leaving {
	case silentRST, halfReset:
		c.end.abort()
	case deadPath:
		c.end.vanish(w.between(100*time.Millisecond, 3*time.Second))
	default:
		c.end.shutdown()
		c.end.close()
	}
	c.planDeparted()
}
