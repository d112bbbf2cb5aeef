package demo

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// watcher is connected to PostgreSQL itself, and sees there what its servers do.
type watcher struct{ *client }

// servers are the server processes that have a client, the watcher's own left out: Cancello's, all of them.
func (w *watcher) servers(ctx context.Context) ([]string, error) {
	return w.column(ctx, `SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY pid`)
}

// running are the server processes that run exactly this query now.
func (w *watcher) running(ctx context.Context, sql string) ([]string, error) {
	return w.column(ctx, `SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query = `+quote(sql))
}

// awaitRunning waits until a query runs, and says in which server process.
func (w *watcher) awaitRunning(ctx context.Context, sql string) (string, error) {
	again := time.NewTicker(3 * time.Millisecond)
	defer again.Stop()
	for {
		pids, err := w.running(ctx, sql)
		if err != nil {
			return "", err
		}
		if len(pids) == 1 {
			return pids[0], nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return "", fmt.Errorf("PostgreSQL never ran %q: %w", sql, context.Cause(ctx))
		}
	}
}

// closeGate makes queries that pass the gate wait in PostgreSQL until openGate.
func (w *watcher) closeGate(ctx context.Context) error {
	return w.command(ctx, fmt.Sprintf("SELECT pg_advisory_lock(%d)", gateLock))
}

func (w *watcher) openGate(ctx context.Context) error {
	return w.command(ctx, fmt.Sprintf("SELECT pg_advisory_unlock(%d)", gateLock))
}

// gateLock is an advisory lock: who holds a server takes it shared.
const gateLock = 17

// throughGate is a query of a client's that runs until the gate is opened, and then gives its name.
func throughGate(c *client) string {
	return fmt.Sprintf("SELECT %s FROM pg_advisory_xact_lock_shared(%d)", quote(c.name), gateLock)
}

func (w *watcher) command(ctx context.Context, sql string) error {
	_, err := w.column(ctx, sql)
	return err
}

func (w *watcher) column(ctx context.Context, sql string) ([]string, error) {
	a := w.ask(ctx, sql)
	if a.err != nil || a.code != "" {
		return nil, fmt.Errorf("the watcher asked PostgreSQL and got %s", a)
	}
	var values []string
	for _, row := range a.rows {
		values = append(values, row[0])
	}
	return values, nil
}

// quote makes a string literal.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
