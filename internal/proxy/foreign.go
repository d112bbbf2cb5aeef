package proxy

import (
	"context"
	"errors"
	"sync"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/wire"
)

// foreign forwards a CancelRequest that may be for a server whose own key a client holds (client_keys = upstream): its pid
// is none that we give out. False: it is none of those.
func (v *visit) foreign(s wire.Startup) bool {
	d, ok := v.p.config.Load().ForeignKeys()
	if ok {
		v.forward(s, d)
	}
	return ok
}

// forward passes a CancelRequest on as it came, and waits for the end of its connection.
func (v *visit) forward(s wire.Startup, d config.Database) {
	outcome, sends, why := event.Forwarded, 1, ""
	if err := v.p.forward(s, d); err != nil {
		outcome, sends, why = event.Failed, 0, err.Error()
		if broken := (*brokenCancel)(nil); errors.As(err, &broken) {
			sends = 1
		}
	}
	v.p.set.Emit(event.CancelSettled{
		Outcome: outcome, Ticket: v.p.ids.Add(1), Remote: v.remote, PID: s.PID, Sends: sends, Took: time.Since(v.began), Reason: why,
	})
}

// brokenCancel: the request was written, at least in part, and then anything but EOF came.
type brokenCancel struct{}

func (*brokenCancel) Error() string { return "the cancel's connection broke after it was written" }

func (p *Proxy) forward(s wire.Startup, d config.Database) error {
	c := p.config.Load().Cancel
	ctx, cancel := context.WithTimeout(p.ctx, c.Timeout)
	defer cancel()
	if err := p.onWire.enter(ctx, func() int { return p.config.Load().Cancel.PerUpstream }); err != nil {
		return errors.New("could not be delivered within cancel_timeout")
	}
	defer p.onWire.leave()
	at := d.Upstreams()[0] // there is one
	t := engine.Target{Entry: d, Host: at.Host, Port: at.Port, Timeout: c.Timeout}
	raw, encrypted, _, hangUp, err := p.openAnyWay(ctx, t, ofOrders)
	if err != nil {
		return errors.New(failure(t, err).Message)
	}
	defer hangUp()
	nc := raw
	if encrypted != nil {
		nc = encrypted
	}
	ord := &order{timeout: c.Timeout, packet: wire.AppendCancelRequest(nil, s.PID, s.Key)}
	switch ord.send(nc) {
	case engine.NotSent:
		return errors.New("the connection was refused as it was written to")
	case engine.Broken:
		return &brokenCancel{}
	}
	return nil
}

// onWire counts the requests that are being forwarded: those beyond the limit wait.
type onWire struct {
	mu   sync.Mutex
	free sync.Cond
	n    int
}

// enter waits for a place among as many as limit says at the moment; leave gives it back.
func (w *onWire) enter(ctx context.Context, limit func() int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.free.Broadcast()
	})()
	for w.n >= limit() {
		if err := ctx.Err(); err != nil {
			return err
		}
		w.free.Wait()
	}
	w.n++
	return nil
}

func (w *onWire) leave() {
	w.mu.Lock()
	w.n--
	w.mu.Unlock()
	w.free.Signal()
}
