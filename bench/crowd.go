package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	// follow is what everybody of the crowd asks when it is over, while requests may still be under way: nothing may
	// hit it. watch is what the watchers ask all the time.
	follow = "SELECT pg_sleep(0.02)"
	watch  = "SELECT pg_sleep(0.05)"
)

// crowd is many clients of one target, and watchers whose queries nobody cancels.
type crowd struct{ people, watchers []*holder }

// crowds logs everybody in once, and then lets the targets take turns.
func (b *cancelBench) crowds(ctx context.Context, s *stage) error {
	all := map[string]crowd{}
	defer func() {
		for _, c := range all {
			leaveAll(c.people)
			leaveAll(c.watchers)
		}
	}()
	for _, t := range everybody(s, 0) {
		progress("\r\033[K%d at once: logging in to %s", b.plan.crowd, t.name)
		people, err := holdAll(t, inClear, b.plan.crowd)
		if err != nil {
			return err
		}
		all[t.name] = crowd{people: people}
		watchers, err := holdAll(t, inClear, b.plan.watchers)
		if err != nil {
			return err
		}
		all[t.name] = crowd{people, watchers}
	}
	for round := range b.plan.rounds {
		for _, t := range everybody(s, round) {
			if ctx.Err() != nil {
				return errors.New("interrupted")
			}
			progress("\r\033[K%d at once: round %d of %d, %s", b.plan.crowd, round+1, b.plan.rounds, t.name)
			f, err := all[t.name].burst()
			if err != nil {
				return err
			}
			f.Target = t.name
			b.result.add(f)
		}
	}
	return nil
}

// forEach does the same for all at once. The error is that of one.
func forEach(all []*holder, do func(i int, h *holder) error) error {
	failed := make(chan error, len(all))
	var wg sync.WaitGroup
	for i, h := range all {
		wg.Go(func() {
			if err := do(i, h); err != nil {
				failed <- err
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// burst has everybody's query begin, cancels all of them at once, and says how long it took until the last had its
// error.
func (c crowd) burst() (cancelFigure, error) {
	strays := make([]int, len(c.people))
	endings := make([]ending, len(c.people))
	requests := make([]net.Conn, len(c.people))
	err := forEach(c.people, func(i int, h *holder) (err error) {
		strays[i], err = h.begin()
		return err
	})
	if err != nil {
		return cancelFigure{}, err
	}
	enough := make(chan struct{})
	watched := make([]int, len(c.watchers))
	watching := make(chan error, 1)
	go func() {
		watching <- forEach(c.watchers, func(i int, h *holder) error { return h.watch(enough, &watched[i]) })
	}()

	began := time.Now()
	err = forEach(c.people, func(i int, h *holder) (err error) {
		if requests[i], err = h.cancel(); err == nil {
			endings[i], err = h.end()
		}
		return err
	})
	if err == nil {
		err = forEach(c.people, func(i int, h *holder) error { return h.unharmed(follow, &strays[i]) })
	}
	for _, conn := range requests {
		if conn != nil {
			awaitEnd(conn)
		}
	}
	close(enough)
	if err = errors.Join(err, <-watching); err != nil {
		return cancelFigure{}, err
	}
	return tally(began, endings, append(strays, watched...)), nil
}

// tally is what became of a burst.
func tally(began time.Time, endings []ending, strays []int) cancelFigure {
	f := cancelFigure{Part: partCrowd, Cancels: len(endings)}
	for _, e := range endings {
		if e.code == "" {
			f.Lost++
			continue
		}
		f.All = max(f.All, microseconds(e.at.Sub(began))/1000)
	}
	for _, n := range strays {
		f.Stray += n
	}
	return f
}

// unharmed runs a query that nobody cancels, and counts it if it was.
func (h *holder) unharmed(sql string, strays *int) error {
	if err := h.ask(sql); err != nil {
		return err
	}
	e, err := h.end()
	if e.code == cancelled {
		*strays++
	}
	return err
}

func (h *holder) watch(enough <-chan struct{}, strays *int) error {
	for {
		select {
		case <-enough:
			return nil
		default:
		}
		if err := h.unharmed(watch, strays); err != nil {
			return err
		}
	}
}
