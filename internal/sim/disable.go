package sim

import (
	"strings"
	"time"
)

// disabler is what a Machine can be commanded besides: to let nobody new in.
type disabler interface {
	Disable(now time.Duration, database string) bool
	Enable(now time.Duration, database string) bool
}

// drawDisables decides how often the database is closed to newcomers.
func (k *Knobs) drawDisables(seed uint64) {
	k.disables = newWorld(seed^0x6a09e667, Knobs{}, nil).some(0.15, 8)
}

// startDisables disables the database at random moments and enables it again a little later.
func (w *World) startDisables() {
	m, ok := w.gate.m.(disabler)
	if !ok {
		return
	}
	w.poisson(w.k.disables, func() {
		g := w.gate
		if g.disabled {
			return
		}
		w.tracef("disable")
		g.enter(func() { g.disabled = m.Disable(w.now, theDatabase) })
		if !g.disabled {
			if g.settings.configured() {
				w.violate("P8", "the database cannot be disabled")
			}
			return
		}
		w.after(w.between(time.Millisecond, 500*time.Millisecond), func() {
			w.tracef("enable")
			g.disabled = false
			undone := false
			if g.enter(func() { undone = m.Enable(w.now, theDatabase) }); !undone {
				w.violate("P8", "the database was disabled and cannot be enabled")
			}
		})
	})
}

// checkDisabled sees a client let in, or refused with a text, and tells whether that is what is said of a disabled database:
// as that was when it asked.
func (c *client) checkDisabled(in bool, text string) bool {
	said := strings.Contains(text, "is disabled")
	switch {
	case in && c.disabled:
		c.w.violate("P8", "%s is let in to a database that was disabled when it asked", c.name())
	case said && !c.disabled:
		c.w.violate("P5", "%s is told that its database is disabled, which it was not when it asked", c.name())
	}
	return said
}
