package demo

import (
	"context"
	"fmt"
	"time"

	"cancello/internal/event"
)

// waitingTime is how long the third scene's client waits before it loses patience.
const waitingTime = 300 * time.Millisecond

// unqueue is the third scene: a waiting client is cancelled at once.
func (t *tour) unqueue(ctx context.Context) error {
	t.scene("A waiting client is cancelled at once")
	return t.unqueueOne(ctx, t.clients[0], t.clients[1], t.clients[2])
}

// unqueueOne cancels a client that waits because two others hold the servers.
func (t *tour) unqueueOne(ctx context.Context, one, two, waiter *client) error {
	h, err := t.occupy(ctx, one, two)
	if err != nil {
		return err
	}
	t.tell("%s and %s hold both servers with queries that take their time. %s has to wait, and after %s it cancels.",
		capital(one.name), two.name, capital(waiter.name), ms(waitingTime))
	asked := waiter.begin(ctx, "SELECT 'served'")
	waits, err := pause(ctx, waitingTime, asked)
	if err != nil {
		return err
	}
	if !waits {
		return fmt.Errorf("%s did not have to wait: it got %s, though both servers are held", waiter.name, asked.wait(ctx))
	}
	c, err := t.cancel(ctx, waiter)
	if err != nil {
		return err
	}
	if err := c.want(event.Unqueued); err != nil {
		return err
	}
	a := asked.wait(ctx)
	if !a.canceled() {
		return fmt.Errorf("%s cancelled its waiting query and got %s", waiter.name, a)
	}
	t.seen("%s got %s after %s, with both servers still held.", capital(waiter.name), a.code, ms(a.came.Sub(c.sent)))
	if c.Sends != 0 {
		return fmt.Errorf("a cancel for a query that no server had was sent to a server %s", times(c.Sends))
	}
	if err := h.release(ctx); err != nil {
		return err
	}
	t.seen("Outcome: %s. No server was touched: %s and %s had their answers.", c.Outcome, one.name, two.name)
	if got, ok := waiter.ask(ctx, "SELECT 'served'").value(); !ok || got != "served" {
		return fmt.Errorf("%s asked again after its cancel and got %q", waiter.name, got)
	}
	t.seen("%s asked again, and was served.", capital(waiter.name))
	return nil
}

// holders are two clients that hold both servers, in the middle of a query.
type holders struct {
	watcher  *watcher
	one, two *client
	asked    [2]question
	pids     [2]string // of the server processes
}

// occupy makes two clients hold both servers until release.
func (t *tour) occupy(ctx context.Context, one, two *client) (*holders, error) {
	if err := t.watcher.closeGate(ctx); err != nil {
		return nil, err
	}
	h := &holders{watcher: t.watcher, one: one, two: two}
	for i, c := range []*client{one, two} {
		h.asked[i] = c.begin(ctx, throughGate(c))
		var err error
		if h.pids[i], err = t.watcher.awaitRunning(ctx, throughGate(c)); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// release lets their queries end. The error says that one of them was harmed.
func (h *holders) release(ctx context.Context) error {
	for i, c := range []*client{h.one, h.two} {
		pids, err := h.watcher.running(ctx, throughGate(c))
		if err != nil {
			return err
		}
		if len(pids) != 1 || pids[0] != h.pids[i] {
			return fmt.Errorf("the query of %s, whom no cancel was for, does not run any more in server process %s", c.name, h.pids[i])
		}
	}
	if err := h.watcher.openGate(ctx); err != nil {
		return err
	}
	for i, c := range []*client{h.one, h.two} {
		a := h.asked[i].wait(ctx)
		if got, ok := a.value(); !ok || got != c.name {
			return fmt.Errorf("%s, whom no cancel was for, got %s", c.name, a)
		}
	}
	return nil
}
