package demo

import (
	"context"
	"fmt"
	"slices"

	"cancello/internal/event"
)

// hit is the second scene: a cancel that hits only its query.
func (t *tour) hit(ctx context.Context) error {
	t.scene("A cancel hits only its query")
	return t.hitOne(ctx, t.clients[0], t.clients[1:crew])
}

// hitOne cancels what the victim runs, while the others go on.
func (t *tour) hitOne(ctx context.Context, victim *client, others []*client) error {
	before, err := t.watcher.servers(ctx)
	if err != nil {
		return err
	}
	sql := fmt.Sprintf("SELECT pg_sleep(30) /* %s */", victim.name)
	asked := victim.begin(ctx, sql)
	pid, err := t.watcher.awaitRunning(ctx, sql)
	if err != nil {
		return err
	}
	t.tell("%s asks for pg_sleep(30), which runs in server process %s. The %s others go on, on what is left.",
		capital(victim.name), pid, digits(len(others)))
	t.tell("Then it cancels with what it got at login: pid %d, which no process here has, and a key of %d bytes. Both are Cancello's.",
		victim.pid, len(victim.key))
	w := gather(ctx, others)
	c, a, err := t.cancelAmid(ctx, w, victim, asked)
	answers, crowdErr := w.disperse()
	switch {
	case err != nil:
		return err
	case crowdErr != nil:
		return crowdErr
	case !a.canceled():
		return fmt.Errorf("%s cancelled its query and got %s", victim.name, a)
	}
	t.seen("%s got %s after %s: %s.", capital(victim.name), a.code, ms(a.came.Sub(c.sent)), a.message)
	t.seen("The %s others finished unharmed: %s answers meanwhile, no error.", digits(len(others)), number(answers))
	after, err := t.watcher.servers(ctx)
	if err != nil {
		return err
	}
	if !slices.Equal(before, after) {
		return fmt.Errorf("the servers were %v and are now %v: a cancel is no reason to lose one", before, after)
	}
	t.seen("Server process %s lives on. Cancello's outcome: %s, sent %s, over after %s.", pid, c.Outcome, times(c.Sends), ms(c.Took))
	return nil
}

// cancelAmid cancels in the middle of a crowd, and lets the crowd go on for a while.
func (t *tour) cancelAmid(ctx context.Context, w *crowd, victim *client, asked question) (cancelled, answer, error) {
	if err := w.round(ctx, 2); err != nil {
		return cancelled{}, answer{}, err
	}
	c, err := t.cancel(ctx, victim)
	if err == nil {
		err = c.want(event.Cancelled)
	}
	if err != nil {
		return c, answer{}, err
	}
	a := asked.wait(ctx)
	return c, a, w.round(ctx, 2)
}

// digits is a small number in words.
func digits(n int) string {
	words := []string{"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"}
	if n < len(words) {
		return words[n]
	}
	return fmt.Sprint(n)
}

// capital begins a sentence.
func capital(s string) string { return string(s[0]-'a'+'A') + s[1:] }
