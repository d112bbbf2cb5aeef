package proxy

import (
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/key"
	"cancello/internal/wire"
)

// cancel carries a CancelRequest out and waits until the client's connection may be closed. Nothing is ever sent on it
// (protocol-flow-canceling-requests).
func (v *visit) cancel(s wire.Startup) {
	p := v.p
	if _, _, ours := key.Split(s.PID); !ours && v.foreign(s) {
		return
	}
	if user, ended, known := p.guests.cancel(s.PID, s.Key); known {
		settled := event.CancelSettled{
			Outcome: event.Idle, Ticket: p.ids.Add(1), Remote: v.remote, User: user, Database: config.Console, PID: s.PID, Took: time.Since(v.began),
		}
		if ended {
			settled.Outcome, settled.Kind = event.Cancelled, "console command"
		}
		p.set.Emit(settled)
		return
	}
	r := engine.CancelRequest{PID: s.PID, Key: s.Key, ReadAt: p.loop.Now(), Remote: v.remote}
	if p.carryOut(p.ctx, r, v.began, false) {
		v.hold()
	}
}
