package proxy

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryIsGivenBackWhenABurstIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var freed atomic.Int64
		d := newTidy(func() { freed.Add(1) })
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); d.follow(ctx) }()
		come := func(n int) {
			for range n {
				d.note()
			}
		}
		after := func(d time.Duration, want int64, what string) {
			t.Helper()
			time.Sleep(d) // sleeps: in the bubble's time, which takes none
			synctest.Wait()
			if n := freed.Load(); n != want {
				t.Fatalf("%s: memory was given back %d times, want %d", what, n, want)
			}
		}
		come(burstLeast - 1)
		after(time.Hour, 0, "fewer than a burst")
		come(1)
		after(2*burstLook, 1, "the last of a burst, and quiet")
		after(time.Hour, 1, "nobody came since")
		for range 100 { // 200 s of coming and going
			come(burstQuiet + 1)
			after(burstLook, 1, "a burst that goes on")
		}
		after(2*burstLook, 2, "its end")
		come(burstLeast)
		after(burstPause/2, 2, "another one, too soon")
		after(burstPause, 3, "another one")
		for range 3600 / 2 { // an hour of one every second: as many as the pause lets through, when they are enough
			come(2)
			time.Sleep(burstLook) // sleeps: as above
		}
		if n, most := freed.Load(), int64(3+3600/burstLeast); n > most {
			t.Errorf("memory was given back %d times for a trickle, want at most %d", n, most)
		}
		cancel()
		<-ended
	})
}
