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
	if !c.ending {
		c.ending = true
		e.ending = append(e.ending, c)
	}
}

// Ending tells whether units have ended whose clients have not been told. The driver asks before it writes.
func (e *Engine) Ending() bool { return len(e.ending) > 0 }

// Told: clients are being told what has ended, and now is a fresh look at the driver's clock. A request that was read before
// now meant what has ended: its sender had not heard of it. Later it may mean what the client began since, even if the
// driver is not done with what it had to do in this turn.
func (e *Engine) Told(now time.Duration) {
	for i, c := range e.ending {
		if c.ending = false; !c.untold {
			c.endedBy = now
		}
		e.ending[i] = nil
	}
	e.ending = e.ending[:0]
}
