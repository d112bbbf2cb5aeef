package sim

import (
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"cancello/internal/event"
	"cancello/internal/key"
	"cancello/internal/relay"
)

// A guesser sends requests with keys of four bytes that are nobody's, many at once, to any node for any other, and does not
// wait for what comes of them. Each has one outcome all the same (P3), and no request with a key that its MAC proves is
// refused for them (P2): see checkThrottled.

// guess is one of these. Its ticket is not in the line of requests'.
type guess struct {
	at       *process
	released bool
	outcome  event.Outcome
	settled  bool
}

const (
	firstGuess  = relay.Ticket(1 << 61)
	guesserFrom = "192.0.2.9:"
	// fewPlaces is MaxAsks where somebody guesses: few, so that a flood is no more than a few hundred guesses.
	fewPlaces = 40
)

// drawGuesser decides whether there is one, in a world of its own, so that nothing else of the seed's depends on it.
func (c *cluster) drawGuesser() {
	w := newWorld(c.seed^0x1d872b41, Knobs{}, nil)
	if w.chance(0.3) {
		c.k.floods, c.k.flood = 1+5*w.rng.Float64(), w.pick(10, 200)
	}
}

// maxAsks is that of all relays; 0 is as many as it has by itself.
func (c *cluster) maxAsks() int {
	if c.k.floods > 0 {
		return fewPlaces
	}
	return 0
}

// startGuesser has it send its floods until the faults stop.
func (c *cluster) startGuesser() {
	if c.k.floods == 0 {
		return
	}
	rng := newWorld(c.seed^0x51ed270b, Knobs{}, nil).rng
	c.poisson(c.k.floods, func() {
		p := c.newest(uint16(rng.IntN(c.k.nodes)))
		node := uint16(rng.IntN(c.k.nodes))
		if p == nil || node == p.node {
			return
		}
		c.tracef("%d guesses for node %d at process %d", c.k.flood, node, p.id)
		for range c.k.flood {
			c.guesses = append(c.guesses, &guess{at: p})
			t := firstGuess + relay.Ticket(len(c.guesses)-1)
			q := relay.Request{
				PID: 1<<30 | uint32(node)<<20 | rng.Uint32N(key.Slots), Key: binary.BigEndian.AppendUint32(nil, rng.Uint32()),
				ReadAt: p.clock.here(c.now), Remote: guesserFrom + strconv.Itoa(len(c.guesses)),
			}
			p.post(func(now time.Duration) {
				p.r.Asked(now, t, q, node)
				p.r.Gone(t)
			})
		}
	})
}

// guess is the one of a ticket; nil: that is none of theirs.
func (c *cluster) guess(t relay.Ticket) *guess {
	if t.Arrived() || t&firstGuess == 0 {
		return nil
	}
	return c.guesses[t&^firstGuess]
}

func isGuess(remote string) bool { return strings.HasPrefix(remote, guesserFrom) }

// judgeGuess is the owner's answer to a guess.
func (p *process) judgeGuess(t relay.Ticket) {
	p.c.after(p.c.between(0, 200*time.Microsecond), func() {
		p.post(func(now time.Duration) { p.r.Unknown(now, t) })
	})
}

// plainGuess carries a guess in clear, and nobody learns whether it was right.
func (p *process) plainGuess(t relay.Ticket) {
	p.c.after(p.c.between(p.c.k.minDelay, 3*p.c.k.maxDelay), func() {
		p.post(func(now time.Duration) { p.r.PlainDone(now, t, "") })
	})
}

func (g *guess) release(p *process) {
	if g.released || g.at != p {
		p.w.violate("P3", "a guess is released twice, or by a process that did not read it")
	}
	g.released = true
}

func (g *guess) settle(p *process, e event.CancelSettled) {
	if g.settled || !g.released {
		p.w.violate("P3", "a guess is settled twice, or before it is released")
	}
	g.settled, g.outcome = true, e.Outcome
	switch {
	case e.Outcome == event.Forwarded && e.There != event.Forwarded && e.There != event.Failed, e.Outcome == event.Forged, e.Outcome == event.Malformed:
		p.w.violate("P3", "a guess is settled as %s, there %s", e.Outcome, e.There)
	}
}

// guessed is true when all guesses that a process read have their outcome, or all that any did that lives.
func (c *cluster) guessed(p *process) bool {
	for _, g := range c.guesses {
		if !g.settled && !g.at.dead && !g.at.ended && (p == nil || g.at == p) {
			return false
		}
	}
	return true
}

// checkThrottled judges a request of a client's that is refused: one whose key proves itself only where as many of these were
// about as have places to themselves, and another one only where it waited for a way that was broken, in which guesses stand as
// well.
func (x *request) checkThrottled(p *process, e event.CancelSettled) {
	if len(x.key) > 4 && p.c.proven(x.readAt) < fewPlaces/4 || len(x.key) == 4 && !x.mayFail(p) {
		p.c.violate("P2", "request %d with a key of %d bytes is throttled after %v: %s", x.id, len(x.key), p.c.now-x.readAt, e.Reason)
	}
}

// proven counts the requests whose key proves itself and which had no outcome at some time since then.
func (c *cluster) proven(since time.Duration) (n int) {
	for _, x := range c.asked {
		if len(x.key) > 4 && x.at != nil && (x.settledAt == 0 || x.settledAt >= since) {
			n++
		}
	}
	return n
}
