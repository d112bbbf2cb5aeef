package proxy

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// burstLook is how often it is looked whether a burst is over.
	burstLook = 2 * time.Second
	// burstLeast is how many connections make a burst: what fewer leave behind is not worth a collection.
	burstLeast = 200
	// burstQuiet is how many at most come between two looks when it is over.
	burstQuiet = 10
	// burstPause is how long the next one waits at least: where connections come in waves, memory is not given back only
	// to be asked for again.
	burstPause = time.Minute
)

// tidy gives memory back to the system when a burst of connections is over. What logins leave behind is a multiple of
// what their clients keep, and where clients then do nothing nothing would ever be collected.
type tidy struct {
	came  atomic.Int64
	woken chan struct{} // holds one
	free  func()
}

func newTidy(free func()) *tidy { return &tidy{woken: make(chan struct{}, 1), free: free} }

// note counts one connection. It may be called from any goroutine.
func (t *tidy) note() {
	t.came.Add(1)
	select {
	case t.woken <- struct{}{}:
	default:
	}
}

// follow looks until ctx ends. While nobody comes it sleeps.
func (t *tidy) follow(ctx context.Context) {
	var b burst
	tick := time.NewTicker(burstLook)
	defer tick.Stop()
	for {
		select {
		case <-t.woken:
		case <-ctx.Done():
			return
		}
		tick.Reset(burstLook)
		for going := true; going; {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			var over bool
			if over, going = b.look(time.Now(), t.came.Swap(0)); over {
				t.free()
			}
		}
		tick.Stop()
	}
}

// burst is the connections that nothing was done about yet.
type burst struct {
	size  int64
	freed time.Time
}

// look takes in how many connections came since the last look. over: a burst is. going: it has to be looked again even if
// nobody comes.
func (b *burst) look(now time.Time, came int64) (over, going bool) {
	b.size += came
	switch {
	case came > burstQuiet:
		return false, true
	case b.size < burstLeast:
		return false, false
	case now.Sub(b.freed) < burstPause:
		return false, true
	}
	b.size, b.freed = 0, now
	return true, false
}
