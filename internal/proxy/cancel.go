package proxy

import (
	"context"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/key"
	"cancello/internal/wire"
)

// cancel carries a CancelRequest out and waits until the client's connection may be closed. Nothing is ever sent on it
// (protocol-flow-canceling-requests). It tells whether the request was nobody's and may have been a guess.
func (v *visit) cancel(s wire.Startup) (guess bool) {
	p := v.p
	r := v.cancelRequest(s)
	if p.guestHere(r, v.began) {
		return false
	}
	if _, _, ours := key.Split(s.PID); !ours && v.foreign(s) {
		return false
	}
	return p.carryOut(p.ctx, r, v.began, v)
}

// cancelLook is how often it is looked whether cancels are carried out.
const cancelLook = 5 * time.Millisecond

// AwaitCancels waits until none that was read is being carried out here any more, or ctx ends: those for other processes
// have nobody else who waits for them when the last client has left.
func (p *Proxy) AwaitCancels(ctx context.Context) {
	look := time.NewTicker(cancelLook)
	defer look.Stop()
	for p.carrying.Load() > 0 {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// guestHere carries a request out if it is for a guest of the console, whose pid may look like a foreign server's; false: it
// is for none of them.
func (p *Proxy) guestHere(r engine.CancelRequest, began time.Time) bool {
	settled, known := p.cancelGuest(r)
	if known {
		settled.Ticket, settled.Took = p.ids.Add(1), time.Since(began)
		p.set.Emit(settled)
	}
	return known
}

// cancelGuest ends what a guest of the console waits for; known is false where the request is for none.
func (p *Proxy) cancelGuest(r engine.CancelRequest) (settled event.CancelSettled, known bool) {
	user, ended, known := p.guests.cancel(r.PID, r.Key)
	settled = event.CancelSettled{Outcome: event.Idle, Remote: r.Remote, User: user, Database: config.Console, PID: r.PID}
	if ended {
		settled.Outcome, settled.Kind = event.Cancelled, "console command"
	}
	return settled, known
}
