package relay

import "time"

// A moment of our clock is told to the other end of a link as bounds on its clock. Its clock was read, for a Pong, between
// the moments that we sent the Ping and had the Pong; from there both clocks go on at nearly the same speed.

const (
	// keptSamples is how many of the last Pongs count: the quickest of them gives the narrowest bounds.
	keptSamples = 8
	// drift is by how much, at most, two clocks differ in speed, in millionths: a crystal is good to 50 or so, and a system that
	// follows a time server makes up for what is amiss by up to 500, here in one direction and there in the other.
	drift = 1000
)

// sample is one Ping and its Pong: the other end's clock said there at a moment between sent and had of ours.
type sample struct{ sent, had, there time.Duration }

// clock knows the clock of the other end of a link.
type clock struct{ samples []sample }

// known says whether there is anything to go by.
func (c *clock) known() bool { return len(c.samples) > 0 }

// add takes a sample. Earlier ones that cannot be true if this one is are forgotten: one of the clocks stood still.
func (c *clock) add(s sample) {
	kept := c.samples[:0]
	for _, old := range c.samples {
		if old.notBefore(s.had) <= s.notAfter(s.had) && old.notAfter(s.had) >= s.notBefore(s.had) {
			kept = append(kept, old)
		}
	}
	c.samples = append(kept, s)
	if n := len(c.samples) - keptSamples; n > 0 {
		c.samples = append(c.samples[:0], c.samples[n:]...)
	}
}

// notBefore is a moment there that is not after our moment t; of all that are known, the latest.
func (c *clock) notBefore(t time.Duration) time.Duration {
	best := c.samples[0].notBefore(t)
	for _, s := range c.samples[1:] {
		best = max(best, s.notBefore(t))
	}
	return best
}

// notAfter is a moment there that is not before our moment t; of all that are known, the earliest.
func (c *clock) notAfter(t time.Duration) time.Duration {
	best := c.samples[0].notAfter(t)
	for _, s := range c.samples[1:] {
		best = min(best, s.notAfter(t))
	}
	return best
}

// roundTrip is how long the last Pong took.
func (c *clock) roundTrip() time.Duration {
	if !c.known() {
		return 0
	}
	s := c.samples[len(c.samples)-1]
	return s.had - s.sent
}

func (s sample) notBefore(t time.Duration) time.Duration { return s.there + (t - s.had) - off(t-s.had) }
func (s sample) notAfter(t time.Duration) time.Duration {
	return s.there + (t - s.sent) + off(t-s.sent)
}

// off is by how much two clocks may differ after d.
func off(d time.Duration) time.Duration { return max(d, -d)*drift/1e6 + time.Microsecond }
