package sim

import (
	"math"
	"time"
)

// startFaults lets things happen to the cluster until it is calm.
func (c *cluster) startFaults() {
	for _, kin := range []bool{false, true} {
		rate := c.k.cuts
		if kin {
			rate = c.k.kinCuts
		}
		c.poisson(rate, func() {
			if s := c.links; len(s) > 0 {
				if s := s[c.rng.IntN(len(s))]; s.kin == kin {
					c.cut(s)
				}
			}
		})
	}
	for range c.k.kills {
		c.after(c.between(0, c.k.horizon), func() { c.kill(uint16(c.rng.IntN(c.k.nodes))) })
	}
	if c.k.takeovers > 0 {
		node := uint16(c.rng.IntN(c.k.nodes))
		c.after(c.between(0, c.k.horizon/2), func() { c.takeOver(node, c.k.takeovers) })
	}
	if c.k.rotates {
		at := c.now + c.between(0, c.k.horizon/2)
		const spread = 500 * time.Millisecond
		for phase := 1; phase <= 2; phase++ {
			c.at(at+time.Duration(phase-1)*spread, func() {
				c.phase = phase
				for _, p := range c.procs {
					c.after(c.between(0, spread-time.Millisecond), func() { p.useKeys(phase) })
				}
			})
		}
	}
}

func (c *cluster) poisson(rate float64, f func()) {
	if rate <= 0 {
		return
	}
	d := time.Duration(-math.Log(1-c.rng.Float64()) / rate * float64(time.Second))
	c.after(d, func() {
		if !c.calm {
			f()
			c.poisson(rate, f)
		}
	})
}

// kill ends all processes of a node at once.
func (c *cluster) kill(node uint16) {
	if c.calm || c.newest(node) == nil {
		return
	}
	for _, p := range c.procs {
		if p.node == node && !p.dead && !p.ended {
			p.die()
		}
	}
	if c.chance(c.k.back) {
		c.after(c.between(0, time.Second), func() {
			if !c.calm && c.newest(node) == nil {
				c.start(node, nil)
			}
		})
	}
}

// die ends a process: its clients are gone, and so is all that it knew.
func (p *process) die() {
	c := p.c
	c.tracef("process %d is killed", p.id)
	p.dead = true
	for _, x := range p.w.clients {
		x.phase, x.closedAt = dropped, c.now
	}
	p.w.joining = 0
	for _, s := range c.links {
		for _, e := range s.ends {
			if e.p == p {
				c.cut(s)
			}
		}
	}
	c.goneSoon(p)
	for _, x := range c.asked {
		if x.at == p && x.settledAt == 0 {
			x.giveUp()
		}
	}
}

// takeOver starts a process that takes over from the newest one of a node, and perhaps another one soon after.
func (c *cluster) takeOver(node uint16, times int) {
	old := c.newest(node)
	if old == nil || times == 0 || c.calm {
		return
	}
	c.start(node, old)
	old.retired = true
	c.tracef("process %d has been taken over from", old.id)
	c.after(c.between(0, 10*time.Millisecond), func() {
		if !old.dead && !old.w.draining {
			old.w.gate.drain()
		}
		c.watch(old)
	})
	c.after(c.between(0, 500*time.Millisecond), func() { c.takeOver(node, times-1) })
}

// watch ends a process when its last client has left.
func (c *cluster) watch(p *process) {
	if p.dead {
		return
	}
	told := false
	if p.w.gate.drained > 0 && p.w.quiet() && len(p.judging) == 0 && c.answered(p) {
		p.enter(func(now time.Duration) { told = p.r.Finish(now) })
	}
	if !told {
		c.after(50*time.Millisecond, func() { c.watch(p) })
		return
	}
	c.tracef("process %d ends: its last client has left", p.id)
	p.enter(p.r.Leave)
	p.ended = true
	for _, s := range c.links {
		for _, e := range s.ends {
			if e.p == p {
				c.at(max(c.now, e.far.last)+c.between(0, time.Millisecond), func() { c.downNow(e.far, "it closed the connection") })
			}
		}
	}
	c.goneSoon(p)
}

// goneSoon has the other processes of its node hear that one has ended, in any order with the end of their link.
func (c *cluster) goneSoon(p *process) {
	for _, x := range c.procs {
		if x != p && x.node == p.node && !x.dead && !x.ended {
			c.after(c.between(0, 5*time.Millisecond), func() {
				x.enter(func(now time.Duration) { x.r.KinGone(now, p.incarnation()) })
			})
		}
	}
}
