package app

import (
	"context"
	"net"
	"net/http"
	"time"

	"cancello/internal/admin"
	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/takeover"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// scrapeTime bounds a scrape's wait for the loop.
const scrapeTime = 5 * time.Second

// listenHTTP serves health and metrics where they were asked for.
func (a *App) listenHTTP(o Options) (err error) {
	if o.Config.HTTP == "" {
		return nil
	}
	registry := a.sink.Registry(o.Version, func() (event.Snapshot, bool) {
		ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
		defer cancel()
		s, err := a.Snapshot(ctx)
		return s, err == nil
	})
	addr := config.HTTPAddr(o.Config.HTTP)
	ln, _ := a.succession.sockets.Take(takeover.RoleHTTP, o.Config.HTTP, "tcp", addr)
	a.http, err = admin.Listen(addr, ln, admin.Checks{
		Alive:    func(ctx context.Context) error { return a.proxy.Do(ctx, func(time.Duration) {}) },
		Draining: a.proxy.Draining,
		Metrics:  http.Handler(promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})),
		Scarce:   a.proxy.Scarce,
		Log:      o.Log,
	})
	return err
}

// HTTPAddr is where health and metrics are served, with the real port where it was 0; nil for nowhere.
func (a *App) HTTPAddr() net.Addr {
	if a.http == nil {
		return nil
	}
	return a.http.Addr()
}

// Snapshot tells what the pools are like, and what happened since the start.
func (a *App) Snapshot(ctx context.Context) (event.Snapshot, error) {
	s, err := ask(ctx, a, func(now time.Duration) event.Snapshot {
		s := a.engine.Snapshot(now)
		for i := range s.Upstreams {
			u := &s.Upstreams[i]
			u.Sides = a.proxy.SideConnections(u.Host, u.Port)
		}
		return s
	})
	if err != nil {
		return s, err
	}
	return a.addPeers(ctx, a.addPredecessors(s))
}

// ask asks the engine something, on the loop.
func ask[T any](ctx context.Context, a *App, question func(now time.Duration) T) (T, error) {
	answer := make(chan T, 1)
	if err := a.proxy.Do(ctx, func(now time.Duration) { answer <- question(now) }); err != nil {
		var none T
		return none, err
	}
	return <-answer, nil
}
