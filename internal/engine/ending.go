package engine

import (
	"math"
	"time"
)

// ends notes that c's last unit has ended. The driver's clock may be some reads old by then, and a request that was read
// since came before this end, whatever that clock says: what counts for it is when the end is told (Told).
func (e *Engine) ends(c *client) {
	c.lastEnd, c.endedBy = e.now, e.now
	if c.untold = c.sess.Delays(); c.untold {
		c.endedBy = math.MaxInt64 // until what is said of it is behind the message that its server has begun
		return
	}
	if c.ending == 0 {
		e.ending = append(e.ending, c)
		c.ending = int32(len(e.ending))
	}
}

// Ending tells whether a unit of the client at c has ended that it has not been told of; for a c of 0, whether there is such a
// client. The driver asks before it writes to c, and when it has written to all.
func (e *Engine) Ending(c Conn) bool {
	if c == 0 {
		return len(e.ending) > 0
	}
	cl := e.peer(c).client
	return cl != nil && cl.ending != 0
}

// Told: the client at c is being told what has ended, and now is a fresh look at the driver's clock. A request that was read
// before now meant what has ended: its sender had not heard of it. Later it may mean what the client began since, even if the
// driver is not done with what it had to do in this turn. A c of 0 stands for all who are left: nothing is written to them.
//
// Between the end of a unit and Told come only Data of connections to which nothing waits to be written, and Sent: what is read
// at a time may be told before any of what becomes of it is written.
func (e *Engine) Told(now time.Duration, c Conn) {
	switch {
	case e.bug == BugEndBeforeTold:
		now = -1
	case e.bug == BugToldTogether && c != 0:
		return
	}
	if c == 0 {
		for _, cl := range e.ending {
			cl.isTold(now)
		}
		clear(e.ending)
		e.ending = e.ending[:0]
		return
	}
	if cl := e.peer(c).client; cl != nil && cl.ending != 0 {
		last := len(e.ending) - 1
		moved := e.ending[last]
		e.ending[cl.ending-1], moved.ending = moved, cl.ending
		e.ending[last] = nil
		e.ending = e.ending[:last]
		cl.isTold(now)
	}
}

func (c *client) isTold(now time.Duration) {
	if c.ending = 0; !c.untold {
		c.endedBy = max(c.endedBy, now)
	}
}
