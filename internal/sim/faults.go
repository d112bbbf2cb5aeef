package sim

import (
	"math"
	"time"
)

// startFaults lets things break, each at its own rate, until the world is calm.
func (w *World) startFaults() {
	w.poisson(w.k.gossip, func() {
		if n := len(w.pm.backends); n > 0 {
			w.pm.backends[w.rng.IntN(n)].gossip()
		}
	})
	w.poisson(w.k.terminations, func() {
		if n := len(w.pm.backends); n > 0 {
			w.faults.servers++
			w.pm.backends[w.rng.IntN(n)].fatal("57P01", "terminating connection due to administrator command")
		}
	})
	w.poisson(w.k.crashes, func() {
		if n := len(w.pm.backends); n > 0 {
			w.faults.servers++
			b := w.pm.backends[w.rng.IntN(n)]
			switch w.pick(0, 2) {
			case 0:
				b.end.abort()
			case 1:
				b.end.cut()
				return
			case 2:
				b.end.vanish(w.between(100*time.Millisecond, 2*time.Second))
				return
			}
			b.die("crash")
		}
	})
	w.poisson(w.k.cuts, func() {
		c := w.clients[w.rng.IntN(len(w.clients))]
		if c.phase == active {
			w.faults.cuts++
			c.cut = true
			w.tracef("%s is cut off", c.name())
			c.end.cut()
		}
	})
	if w.gate != nil && w.chance(w.k.drain) {
		w.after(w.between(0, w.k.horizon/2), w.gate.drain)
	}
	if w.gate != nil {
		w.startReloads()
		w.startPauses()
		w.watchHunger()
		w.startCommands()
		w.startDisables()
		w.watchSole()
		w.startOutages()
		w.startMoves()
	}
}

// poisson runs f at random moments, rate times a second on average.
func (w *World) poisson(rate float64, f func()) {
	if rate <= 0 {
		return
	}
	var next func()
	next = func() {
		d := time.Duration(-math.Log(1-w.rng.Float64()) / rate * float64(time.Second))
		w.after(d, func() {
			if !w.calm {
				f()
				next()
			}
		})
	}
	next()
}

// settle stops the faults; clients finish what they are at, and cancel what takes long.
func (w *World) settle() {
	w.calm, w.calmAt = true, w.now
	w.tracef("the faults stop")
	if w.k.reloads > 0 && w.gate != nil {
		w.gate.reload(w.k.config)
	}
	for _, c := range w.clients {
		c.settle()
	}
}

func (c *client) settle() {
	if c.phase == joining || c.gone() {
		return
	}
	if len(c.end.in) > 0 {
		c.arrived()
	}
	c.act()
	c.nag()
}

// nag cancels what a client still waits for, again and again.
func (c *client) nag() {
	if c.phase != active {
		return
	}
	if c.inflight() > 0 && c.cancels == 0 {
		c.cancel(0)
	}
	c.w.after(700*time.Millisecond, c.nag)
}
