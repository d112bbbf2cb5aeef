package admin

import (
	"context"
	"sync"
	"time"

	"cancello/internal/event"
)

// statsPeriod is what SHOW STATS averages over, PgBouncer's stats_period.
const statsPeriod = time.Minute

// samples are the last two looks at the tallies, one period apart.
type samples struct {
	mu       sync.Mutex
	old, new sample
}

type sample struct {
	at      time.Duration // the engine's time; 0: none was taken
	tallies []event.Tally
}

// Sample takes samples until ctx ends. It is to run in a goroutine of its own; without it averages are 0.
func (c *Console) Sample(ctx context.Context) {
	tick := time.NewTicker(statsPeriod)
	defer tick.Stop()
	for {
		c.sample(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (c *Console) sample(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, questionTime)
	defer cancel()
	s, err := c.gate.Snapshot(ctx)
	if err != nil {
		return // the next one may be had
	}
	c.stats.mu.Lock()
	defer c.stats.mu.Unlock()
	c.stats.old, c.stats.new = c.stats.new, sample{s.Now, s.Tallies}
}

// period is what was counted for an entry between the last two samples, and how long that took; 0 where there are none.
func (s *samples) period(entry string) (old, now event.Tally, length time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.old.at == 0 {
		return old, now, 0
	}
	return s.old.of(entry), s.new.of(entry), s.new.at - s.old.at
}

func (s *sample) of(entry string) event.Tally {
	for _, t := range s.tallies {
		if t.Entry == entry {
			return t
		}
	}
	return event.Tally{}
}
