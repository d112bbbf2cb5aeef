package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"
)

// pace is how long one measurement takes.
type pace struct {
	took time.Duration
	warm time.Duration // before each, not counted
}

// trial is one thing that is measured of each target.
type trial struct {
	name   string
	direct bool // of the server alone, too
	run    func(ctx context.Context, t target, p pace) (figures, error)
}

// clientsAsk is a number of clients that each ask as soon as they have the answer to the last question.
func clientsAsk(s *script, clients int) trial {
	noun := "clients"
	if clients == 1 {
		noun = "client"
	}
	return trial{
		name:   fmt.Sprintf("%s, %d %s", s.name, clients, noun),
		direct: clients <= 50, // the server alone has a connection for each
		run:    func(_ context.Context, t target, p pace) (figures, error) { return queries(t, s, clients, p) },
	}
}

// queries runs one load. The clients are logged in and every buffer is warm before anything counts.
func queries(t target, s *script, clients int, p pace) (figures, error) {
	l, err := openLoad(t, s, clients)
	if err != nil {
		return nil, err
	}
	defer l.close()
	if _, err := l.run(p.warm); err != nil {
		return nil, err
	}
	before, err := spent(t)
	if err != nil {
		return nil, err
	}
	took, err := l.run(p.took)
	if err != nil {
		return nil, err
	}
	after, err := spent(t)
	if err != nil {
		return nil, err
	}
	f := latencies(l.took)
	n := float64(len(l.took))
	f["rate"], f[own] = n/took.Seconds(), microseconds(after.generator-before.generator)/n
	if t.process != nil {
		f["cpu"] = microseconds(after.proxy-before.proxy) / n
	}
	return f, nil
}

// latencies orders what each took.
func latencies(took []time.Duration) figures {
	slices.Sort(took)
	f := figures{}
	for name, p := range map[string]float64{"p50": 50, "p99": 99, "p999": 99.9} {
		f[name] = microseconds(percentile(took, p))
	}
	return f
}

// cpu is what was spent until a moment.
type cpu struct{ proxy, generator time.Duration }

func spent(t target) (c cpu, err error) {
	if t.process != nil {
		if c.proxy, err = cpuTime(t.pid()); err != nil {
			return cpu{}, err
		}
	}
	c.generator, err = ownTime(os.Getpid())
	return c, err
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
