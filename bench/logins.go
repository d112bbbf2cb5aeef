package main

import (
	"context"
	"net"
	"sync"
	"time"
)

// comers are how many connect at a time.
const comers = 4

// logins connects, asks once and leaves, over and over.
func logins(name string) trial {
	return trial{name: name, run: func(_ context.Context, t target, p pace) (figures, error) {
		if _, err := comeAndGo(t, p.warm); err != nil {
			return nil, err
		}
		before, err := spent(t)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		took, err := comeAndGo(t, p.took)
		if err != nil {
			return nil, err
		}
		lasted := time.Since(began)
		after, err := spent(t)
		if err != nil {
			return nil, err
		}
		n := float64(len(took))
		f := latencies(took)
		f["logins"] = n / lasted.Seconds()
		f["login_cpu"] = microseconds(after.proxy-before.proxy) / n
		return f, nil
	}}
}

// comeAndGo says how long each visit took that ended in the given time.
func comeAndGo(t target, length time.Duration) ([]time.Duration, error) {
	until := time.Now().Add(length)
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	var all sync.WaitGroup
	for i := range comers {
		all.Go(func() {
			var mine []time.Duration
			var err error
			for n := 0; err == nil && (n == 0 || time.Now().Before(until)); n++ {
				began := time.Now()
				if err = visit(t, i*1000+n); err == nil {
					mine = append(mine, time.Since(began))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			if err != nil {
				failed = err
			}
		})
	}
	all.Wait()
	return took, failed
}

// visit is one of them. Each comes from another address of this machine: the ports of one would be used up, since the
// kernel keeps those of closed connections for a minute.
func visit(t target, i int) error {
	v, err := enterFrom(&net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%200))}, t, t.database(i), 4096)
	if err != nil {
		return err
	}
	defer v.leave()
	_, _, err = v.exec(simple.bytes)
	return err
}
