package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const questions = 10 // of each client in the first scene

// share is the first scene: ten clients on two servers.
func (t *tour) share(ctx context.Context) error {
	t.scene("Ten clients on two servers")
	t.tell("Ten clients ask %d questions each, all at once. PostgreSQL needs 10 ms for each.", questions)
	began := time.Now()
	servedBy := make([][]string, len(t.clients))
	errs := make([]error, len(t.clients))
	var all sync.WaitGroup
	for i, c := range t.clients {
		all.Go(func() { servedBy[i], errs[i] = c.interview(ctx) })
	}
	all.Wait()
	took := time.Since(began)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	t.seen("%d answers in %s, each to the client that had asked.", len(t.clients)*questions, ms(took))

	var pids []string
	byBoth := 0
	for _, served := range servedBy {
		slices.Sort(served)
		served = slices.Compact(served)
		if len(served) == poolSize {
			byBoth++
		}
		pids = append(pids, served...)
	}
	slices.Sort(pids)
	pids = slices.Compact(pids)
	servers, err := t.watcher.servers(ctx)
	if err != nil {
		return err
	}
	if len(servers) != poolSize || len(pids) != poolSize {
		return fmt.Errorf("the answers came from the server processes %s, and PostgreSQL has %s: there should be %d",
			strings.Join(pids, ", "), strings.Join(servers, ", "), poolSize)
	}
	whom := digits(byBoth) + " of the ten clients"
	if byBoth == len(t.clients) {
		whom = "all ten clients"
	}
	t.seen("PostgreSQL saw two connections, server processes %s. Both served %s.", strings.Join(servers, " and "), whom)
	return nil
}

// interview asks the questions, and says which server process answered each.
func (c *client) interview(ctx context.Context) ([]string, error) {
	var pids []string
	for n := range questions {
		want := fmt.Sprintf("%s, question %d", c.name, n+1)
		a := c.ask(ctx, fmt.Sprintf("SELECT %s, pg_backend_pid() FROM pg_sleep(0.01)", quote(want)))
		if got, ok := a.value(); !ok || got != want || len(a.rows[0]) != 2 {
			return nil, fmt.Errorf("%s asked its question %d and got %s", c.name, n+1, a)
		}
		pids = append(pids, a.rows[0][1])
	}
	return pids, nil
}
