package app

import (
	"context"
	"time"

	"cancello/internal/admin"
	"cancello/internal/config"
	"cancello/internal/event"
)

// gate is what the console sees of an App.
type gate struct{ a *App }

var _ admin.Gate = gate{}

// Config is the configuration in force. It waits for a reload that is under way.
func (g gate) Config() config.Config {
	return g.a.configInForce()
}

// Snapshot tells what the pools are like.
func (g gate) Snapshot(ctx context.Context) (event.Snapshot, error) { return g.a.Snapshot(ctx) }

// Clients lists the clients.
func (g gate) Clients(ctx context.Context) ([]event.ClientState, error) {
	return ask(ctx, g.a, g.a.engine.Clients)
}

// Servers lists the server connections.
func (g gate) Servers(ctx context.Context) ([]event.ServerState, error) {
	return ask(ctx, g.a, g.a.engine.Servers)
}

// Pause gives no server of a database away any more.
func (g gate) Pause(ctx context.Context, database string) (bool, error) {
	return about(ctx, g.a, database, g.a.engine.Pause)
}

// Pausing tells how far that is.
func (g gate) Pausing(ctx context.Context, database string) (event.Pausing, error) {
	return about(ctx, g.a, database, g.a.engine.Pausing)
}

// Resume undoes it.
func (g gate) Resume(ctx context.Context, database string) (bool, error) {
	return about(ctx, g.a, database, g.a.engine.Resume)
}

// Reconnect has the servers of a database opened anew.
func (g gate) Reconnect(ctx context.Context, database string) (bool, error) {
	return about(ctx, g.a, database, g.a.engine.Reconnect)
}

// Kill pauses a database and lets its clients go.
func (g gate) Kill(ctx context.Context, database string) (bool, error) {
	return about(ctx, g.a, database, g.a.engine.Kill)
}

// KillClient lets one client go.
func (g gate) KillClient(ctx context.Context, pid uint32) (bool, error) {
	return about(ctx, g.a, pid, g.a.engine.KillClient)
}

// CancelClient cancels what one client runs.
func (g gate) CancelClient(ctx context.Context, pid uint32) (event.Asked, error) {
	return about(ctx, g.a, pid, g.a.engine.CancelClient)
}

// Disable lets no new client in to a database.
func (g gate) Disable(ctx context.Context, database string) (bool, error) {
	return about(ctx, g.a, database, g.a.engine.Disable)
}

// Enable undoes it.
func (g gate) Enable(ctx context.Context, database string) (bool, error) {
	return about(ctx, g.a, database, g.a.engine.Enable)
}

// about asks or tells the engine something about one thing.
func about[N, T any](ctx context.Context, a *App, name N, what func(time.Duration, N) T) (T, error) {
	return ask(ctx, a, func(now time.Duration) T { return what(now, name) })
}

// Reload reads the configuration anew.
func (g gate) Reload() error { return g.a.Reload() }

// Set changes one setting until the next reload.
func (g gate) Set(key, value string) error { return g.a.Set(key, value) }

// Drain begins a drain.
func (g gate) Drain() { g.a.Drain() }

// Stop asks for the end: see App.StopAsked.
func (g gate) Stop() { g.a.once.asked.Do(func() { close(g.a.stopAsked) }) }
