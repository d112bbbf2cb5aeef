package proxy

import (
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/key"
	"cancello/internal/wire"
)

// cancel tells the engine of a CancelRequest and waits until the client's connection may be closed. Nothing is ever
// sent on it (protocol-flow-canceling-requests). The client's own socket is drained first, so that what it sent
// before the request has been seen when the request is judged.
func (v *visit) cancel(s wire.Startup) {
	p := v.p
	if _, _, ours := key.Split(s.PID); !ours && v.foreign(s) {
		return
	}
	t := engine.Ticket(p.ids.Add(1))
	if user, ended, known := p.guests.cancel(s.PID, s.Key); known {
		settled := event.CancelSettled{
			Outcome: event.Idle, Ticket: uint64(t), Remote: v.remote, User: user, Database: config.Console, PID: s.PID, Took: time.Since(v.began),
		}
		if ended {
			settled.Outcome, settled.Kind = event.Cancelled, "console command"
		}
		p.set.Emit(settled)
		return
	}
	if w := p.sort(s.PID, s.Key); w != oursPerhaps {
		v.nobodys(w)
		return
	}
	r := engine.CancelRequest{PID: s.PID, Key: s.Key, ReadAt: p.loop.Now(), Remote: v.remote}
	released := make(chan struct{})
	if !p.loop.Post(func(now time.Duration) {
		p.own.tickets[t] = released
		if c, ok := p.engine.CancelTarget(r.PID, r.Key); ok {
			p.loop.Drain(c)
		}
		p.engine.CancelRequested(now, t, r)
	}) {
		return
	}
	select {
	case <-released:
	case <-p.ctx.Done():
	}
}
