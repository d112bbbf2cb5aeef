package main

import (
	"os"
	"slices"
	"time"
)

// measurement is one target under one load for a moment.
type measurement struct {
	Target    string  `json:"target"`
	Script    string  `json:"script"`
	Clients   int     `json:"clients"`
	Queries   int     `json:"queries"`
	CPU       float64 `json:"cpu_us_per_query"` // of the proxy; 0 for direct
	Rate      float64 `json:"queries_per_second"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
	Generator float64 `json:"generator_cpu_us_per_query"`
}

// measure runs one load. The clients are logged in and every buffer is warm before anything counts.
func measure(t target, s script, clients int, p plan) (measurement, error) {
	l, err := openLoad(t.addr, role, role, s, clients)
	if err != nil {
		return measurement{}, err
	}
	defer l.close()
	if _, err := l.run(p.warm); err != nil {
		return measurement{}, err
	}
	before, err := spent(t)
	if err != nil {
		return measurement{}, err
	}
	took, err := l.run(p.took)
	if err != nil {
		return measurement{}, err
	}
	after, err := spent(t)
	if err != nil {
		return measurement{}, err
	}
	n := len(l.took)
	each := func(d time.Duration) float64 { return microseconds(d) / float64(n) }
	slices.Sort(l.took)
	return measurement{
		Target: t.name, Script: s.name, Clients: clients, Queries: n,
		CPU: each(after.proxy - before.proxy), Generator: each(after.generator - before.generator),
		Rate: float64(n) / took.Seconds(), P50: microseconds(percentile(l.took, 50)), P99: microseconds(percentile(l.took, 99)),
	}, nil
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
