package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"cancello/internal/event"
)

// tourLimit bounds the scenes; on a quiet machine they take a tenth of it.
const tourLimit = 50 * time.Second

// tour is the demo under way.
type tour struct {
	*screen
	*stage
}

// play shows the scenes. The error is what was seen and is not as promised.
func (t *tour) play(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, tourLimit, fmt.Errorf("the tour did not end within %s", tourLimit))
	defer cancel()
	t.text("Before it stands Cancello, on %s: transaction mode, a pool of %d servers. Ten clients have come.", t.addr(), poolSize)
	for _, scene := range []func(context.Context) error{t.share, t.hit, t.unqueue, t.late, t.longKeys, t.count} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

// count compares what was sent with what Cancello counted: each cancel has one outcome.
func (t *tour) count(context.Context) error {
	var parts []string
	sum := 0
	for o, n := range t.app.Counts() {
		if n > 0 {
			sum += int(n)
			parts = append(parts, fmt.Sprintf("%d %s", n, event.Outcome(o)))
		}
	}
	t.line("")
	if sum != t.sent {
		return fmt.Errorf("%d cancels were sent, and Cancello counted %d outcomes: %s", t.sent, sum, strings.Join(parts, ", "))
	}
	t.text("%s cancels were sent, and each had exactly one outcome: %s.", number(t.sent), strings.Join(parts, ", "))
	return nil
}

// invite says how to go on by oneself.
func (t *tour) invite(stay bool) {
	host, port, _ := strings.Cut(t.addr(), ":")
	psql := fmt.Sprintf(`psql "host=%s port=%s user=%s dbname=%s"`, host, port, role, role)
	t.line("")
	if !stay {
		t.text("At a terminal, without --once, it would stay now, for you to try:")
		t.line("   " + psql)
		t.line("")
		return
	}
	t.text("Now you. In other terminals:")
	t.line("   " + t.style(bold, psql))
	t.text("There, SELECT pg_sleep(60) and press Ctrl-C; or do so in three of them, of which one has to wait.")
	t.text("What becomes of your cancels is said here. Ctrl-C here ends the demo.")
	t.line("")
}

// linger says what becomes of cancels until ctx ends.
func (t *tour) linger(ctx context.Context) error {
	visits := t.ledger.open()
	for {
		select {
		case c := <-visits:
			t.tell("a cancel from %s: %s", c.Remote, verdict(c))
		case err := <-t.app.Failed():
			return err
		case <-ctx.Done():
			t.line("")
			return nil
		}
	}
}

// verdict is an outcome in words.
func verdict(c event.CancelSettled) string {
	words := [event.Outcomes]string{
		event.Cancelled:    "the query was running, and has ended with 57014",
		event.Late:         "the query ended by itself before PostgreSQL acted on it",
		event.Finished:     "the query had ended a moment before, nothing was sent",
		event.Swallowed:    "PostgreSQL was told, and the query runs on",
		event.Idle:         "that client has nothing running, nothing was sent",
		event.Unqueued:     "the query was waiting for a server, and got its 57014 from Cancello",
		event.Disconnected: "the server gave no key, so its connection was closed",
		event.UnknownKey:   "no client has that key, nothing was sent",
		event.Forged:       "the key is forged, nothing was sent",
		event.Malformed:    "it could not be read",
		event.Failed:       "it could not be delivered",
		event.SQL:          "a statement ended the query",
		event.Unsupported:  "its server has no way to be cancelled",
	}[c.Outcome]
	if c.Reason != "" {
		words += " (" + c.Reason + ")"
	}
	return fmt.Sprintf("%s after %s: %s", c.Outcome, ms(c.Took), words)
}
