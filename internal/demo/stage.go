package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"cancello/internal/app"
	"cancello/internal/config"
	"cancello/internal/postgres"
	"cancello/internal/wire"
)

const (
	role     = "postgres" // the superuser and its database
	poolSize = 2
	crew     = 10 // clients
)

// stage is everything that runs: PostgreSQL, Cancello before it, and who is connected.
type stage struct {
	cluster *postgres.Cluster
	app     *app.App
	ledger  *ledger
	watcher *watcher
	clients []*client
	sent    int // cancels, of all clients
}

// openStage starts it all. After an error nothing is left of it.
func openStage(ctx context.Context, in postgres.Install, template bool) (st *stage, err error) {
	cluster, err := postgres.New(ctx, postgres.Options{Install: in, Template: template})
	if err != nil {
		return nil, err
	}
	st = &stage{cluster: cluster, ledger: newLedger()}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.close())
		}
	}()
	c := config.Default()
	c.Listen = []string{"127.0.0.1:0"}
	c.Databases = []config.Database{{Name: role, Host: cluster.Host(), Port: cluster.Port(), User: role}}
	c.Pool.Mode = config.Transaction
	c.Pool.DefaultSize = poolSize
	st.app, err = app.Start(app.Options{Config: c, Log: slog.New(slog.DiscardHandler), Watch: st.ledger.enter})
	if err != nil {
		return nil, err
	}
	direct, err := connect(ctx, cluster.Addr(), "watcher", wire.V30)
	if err != nil {
		return nil, err
	}
	st.watcher = &watcher{direct}
	for i := range crew {
		if _, err := st.join(ctx, fmt.Sprintf("client %d", i+1), wire.V30); err != nil {
			return nil, err
		}
	}
	return st, nil
}

// addr is where Cancello listens.
func (st *stage) addr() string { return st.app.Addrs()[0].String() }

// join lets one more client connect to Cancello. It leaves with the stage.
func (st *stage) join(ctx context.Context, name string, v wire.Version) (*client, error) {
	c, err := connect(ctx, st.addr(), name, v)
	if err == nil {
		st.clients = append(st.clients, c)
	}
	return c, err
}

// close ends everything and removes it.
func (st *stage) close() error {
	for _, c := range st.clients {
		c.close()
	}
	if st.watcher != nil {
		st.watcher.close()
	}
	if st.app != nil {
		st.app.Stop()
	}
	if err := st.cluster.Stop(); err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	return nil
}

// pause lets time pass, unless the answer comes first: then it is false.
func pause(ctx context.Context, d time.Duration, q question) (bool, error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true, nil
	case a := <-q.done:
		q.done <- a
		return false, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// wait waits for the answer.
func (q question) wait(ctx context.Context) answer {
	select {
	case a := <-q.done:
		return a
	case <-ctx.Done():
		return answer{err: context.Cause(ctx)}
	}
}
