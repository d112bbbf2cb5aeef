package demo

import (
	"context"
	"fmt"
	"sync"
)

// crowd are clients that go on asking short questions, one after the other, and look at each answer.
type crowd struct {
	stop    chan struct{}
	running sync.WaitGroup

	mu      sync.Mutex
	answers []int // by client
	err     error // the first that was not as it should be
	changed chan struct{}
}

// gather sets a crowd going.
func gather(ctx context.Context, clients []*client) *crowd {
	w := &crowd{stop: make(chan struct{}), answers: make([]int, len(clients)), changed: make(chan struct{})}
	for i, c := range clients {
		w.running.Go(func() { w.chat(ctx, i, c) })
	}
	return w
}

func (w *crowd) chat(ctx context.Context, i int, c *client) {
	for n := 1; ; n++ {
		select {
		case <-w.stop:
			return
		default:
		}
		if err := c.echo(ctx, n, "0.003"); err != nil {
			w.note(i, err)
			return
		}
		w.note(i, nil)
	}
}

// echo asks a question that takes so many seconds, and is nil if the answer is the right one.
func (c *client) echo(ctx context.Context, n int, seconds string) error {
	want := fmt.Sprintf("%s, question %d", c.name, n)
	a := c.ask(ctx, fmt.Sprintf("SELECT %s FROM pg_sleep(%s)", quote(want), seconds))
	if got, ok := a.value(); !ok || got != want {
		return fmt.Errorf("%s, a bystander, asked its question %d and got %s", c.name, n, a)
	}
	return nil
}

func (w *crowd) note(i int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.answers[i]++
	} else if w.err == nil {
		w.err = err
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// round waits until each of them has had so many more answers.
func (w *crowd) round(ctx context.Context, n int) error {
	w.mu.Lock()
	goal := make([]int, len(w.answers))
	for i := range goal {
		goal[i] = w.answers[i] + n
	}
	w.mu.Unlock()
	for {
		w.mu.Lock()
		err, changed, there := w.err, w.changed, true
		for i := range goal {
			there = there && w.answers[i] >= goal[i]
		}
		w.mu.Unlock()
		if err != nil || there {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// disperse stops them, and says how many answers they had. The error is what one of them met.
func (w *crowd) disperse() (int, error) {
	close(w.stop)
	w.running.Wait()
	sum := 0
	for _, n := range w.answers {
		sum += n
	}
	return sum, w.err
}
