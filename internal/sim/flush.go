package sim

import (
	"time"

	"cancello/internal/engine"
)

// The limits of Close(Flush), as the program's loop has them.
const (
	drainTime  = time.Second
	drainBytes = 64 << 10
	flushStall = time.Minute // nothing moved between two looks
)

// Close closes a connection; Closed follows.
func (g *gate) Close(c engine.Conn, how engine.How) {
	k := g.find(c)
	if k == nil || k.closing && (how != engine.Now || k.hurry) {
		return
	}
	g.w.tracef("engine: close %s (%d)", k.name(), how)
	if k.client != nil && !k.closing {
		g.w.checkGoodbye(k)
	}
	k.closing = true
	if k.backend != nil {
		k.g.closures[k.backend.user] = append(k.g.closures[k.backend.user], k.w.now)
	}
	k.hurry = how == engine.Now
	if k.adopted {
		k.carryOut()
	}
}

// carryOut begins what Close asked for.
func (k *conn) carryOut() {
	if k.hurry {
		k.w.after(k.w.between(0, 60*time.Microsecond), func() { k.finish(true) })
		return
	}
	k.pumpSoon()
	k.watchFlush()
}

func (k *conn) watchFlush() {
	k.moved = false
	k.w.after(flushStall, func() {
		switch {
		case k.over || k.shut:
		case k.moved:
			k.watchFlush()
		default:
			k.gaveUp = true
			k.finish(true)
		}
	})
}

// linger is the rest of Close(Flush): all sent, then our side shut, then input thrown away for a while.
func (k *conn) linger() {
	if k.over || k.hurry {
		return
	}
	for i := range k.segs {
		if len(k.segs[i].b) > 0 {
			if k.end.rst {
				k.finish(false)
			}
			return
		}
	}
	if !k.shut {
		k.shut = true
		k.end.shutdown()
		k.w.after(drainTime, func() {
			k.gaveUp = k.gaveUp || !k.over && len(k.end.out) > 0
			k.finish(false)
		})
	}
	k.drained += len(k.end.read(len(k.end.in)))
	if k.end.eof || k.end.rst || k.drained >= drainBytes {
		k.finish(false)
	}
}

// finish ends a connection that the engine closed.
func (k *conn) finish(now bool) {
	if k.over {
		return
	}
	if now && len(k.end.out) > 0 && k.w.chance(0.5) {
		k.end.abort()
	} else {
		k.end.close()
	}
	k.tell(nil)
}
