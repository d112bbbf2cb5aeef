package app

import (
	"context"

	"cancello/internal/admin"
	"cancello/internal/config"
	"cancello/internal/event"
)

// gate is what the console sees of an App.
type gate struct{ a *App }

var _ admin.Gate = gate{}

// Config is the configuration in force. It waits for a reload that is under way.
func (g gate) Config() config.Config {
	g.a.reloading.Lock()
	defer g.a.reloading.Unlock()
	return g.a.config
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
