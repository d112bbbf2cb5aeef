package engine

import "time"

// ends notes that c's last unit has ended. The driver's clock may be some reads old by then: a request that was read in
// between came before this end, whatever the clock says, so what counts for it is the end of the turn (Turned).
func (e *Engine) ends(c *client) {
	c.lastEnd, c.endedBy = e.now, e.now
	if !c.ending {
		c.ending = true
		e.ending = append(e.ending, c)
	}
}

// Turned: what the driver had was handled, and now is a fresh look at its clock. A driver whose events all bear a time of
// their own need not call it.
func (e *Engine) Turned(now time.Duration) {
	for i, c := range e.ending {
		c.endedBy, c.ending = now, false
		e.ending[i] = nil
	}
	e.ending = e.ending[:0]
}
