package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"cancello/internal/event"
)

const (
	lateCancels  = 50
	closeCancels = 100
	closeCrowd   = 4 // enough that a server which gets free is taken at once
	// closeQuery says when it has begun, and has 3 ms to go then.
	closeQuery = "DO $$ BEGIN RAISE NOTICE 'begun'; PERFORM pg_sleep(0.003); END $$"
)

// late is the fourth scene: a late cancel hits nobody.
func (t *tour) late(ctx context.Context) error {
	t.scene("A late cancel hits nobody")
	if err := t.tooLate(ctx, t.clients[0], t.clients[1], t.clients[2]); err != nil {
		return err
	}
	return t.closeCalls(ctx, t.clients[2], t.clients[3:3+closeCrowd])
}

// tooLate cancels for a client that has its answer, while others run on both servers, so also on the one it had.
func (t *tour) tooLate(ctx context.Context, one, two, sender *client) error {
	a := sender.ask(ctx, "SELECT pg_backend_pid()")
	pid, ok := a.value()
	if !ok {
		return fmt.Errorf("%s asked for its server process and got %s", sender.name, a)
	}
	h, err := t.occupy(ctx, one, two)
	if err != nil {
		return err
	}
	heir := slices.Index(h.pids[:], pid)
	if heir < 0 {
		return fmt.Errorf("server process %s, which served %s, is not among those of the pool, %v", pid, sender.name, h.pids)
	}
	heirName := []*client{one, two}[heir].name
	t.tell("%s has its answer, from server process %s, which now runs a query of %s. Only now it cancels, %d times.",
		capital(sender.name), pid, heirName, lateCancels)
	for range lateCancels {
		c, err := t.cancel(ctx, sender)
		if err != nil {
			return err
		}
		if err := c.want(event.Idle, event.Finished); err != nil {
			return err
		}
		if c.Sends != 0 {
			return fmt.Errorf("a late cancel was sent to a server %s", times(c.Sends))
		}
	}
	if err := h.release(ctx); err != nil {
		return err
	}
	t.seen("Nothing was sent, %d times. Both servers' queries went on, and %s and %s had their answers.", lateCancels, one.name, two.name)
	return nil
}

// closeCalls cancels about the moment a query ends, when nobody can know who is first, in the middle of a crowd that
// takes over the server at once.
func (t *tour) closeCalls(ctx context.Context, sender *client, others []*client) error {
	t.tell("Then on purpose at the last moment: %d times it cancels a short query about when it ends, while %s others wait for its server.",
		closeCancels, digits(len(others)))
	w := gather(ctx, others)
	counts, err := t.closeRounds(ctx, sender)
	answers, crowdErr := w.disperse()
	if err != nil {
		return err
	}
	if crowdErr != nil {
		return crowdErr
	}
	t.seen("%s.", counts)
	t.seen("Nobody else was hit: its own next question was answered each time, the others had %s answers.", number(answers))
	return nil
}

// tally counts how close calls ended.
type tally [event.Outcomes]int

// String names what there was.
func (n tally) String() string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{
		{n[event.Cancelled], "hit the query that was meant"},
		{n[event.Late], "came to it too late"},
		{n[event.Finished] + n[event.Idle], "found that it had ended"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return strings.Join(parts, ", ")
}

func (t *tour) closeRounds(ctx context.Context, sender *client) (tally, error) {
	var counts tally
	for i := range closeCancels {
		asked := sender.begin(ctx, closeQuery)
		select {
		case <-asked.begun:
		case <-ctx.Done():
			return counts, context.Cause(ctx)
		}
		// From 2 to 5 ms: before its end, about it, behind it.
		if _, err := pause(ctx, 2*time.Millisecond+time.Duration(i%25)*120*time.Microsecond, asked); err != nil {
			return counts, err
		}
		c, err := t.cancel(ctx, sender)
		if err != nil {
			return counts, err
		}
		a := asked.wait(ctx)
		if a.err != nil || a.code != "" && !a.canceled() {
			return counts, fmt.Errorf("%s cancelled a short query and got %s", sender.name, a)
		}
		if err := c.want(event.Cancelled, event.Late, event.Finished, event.Idle); err != nil {
			return counts, err
		}
		if hit := c.Outcome == event.Cancelled; hit != a.canceled() {
			return counts, fmt.Errorf("%s got %s, and Cancello says that the outcome is %q", sender.name, a, c.Outcome)
		}
		counts[c.Outcome]++
		if err := sender.echo(ctx, i+1, "0"); err != nil {
			return counts, fmt.Errorf("behind its cancel, %w", err)
		}
	}
	return counts, nil
}
