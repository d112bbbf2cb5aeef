package proxy

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryIsGivenBackWhenABurstIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		freed := 0
		d := newTidy(func() { freed++ })
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); d.follow(ctx) }()
		come := func(n int) {
			for range n {
				d.note()
			}
		}
		after := func(d time.Duration, want int, what string) {
			t.Helper()
			time.Sleep(d) // sleeps: in the bubble's time, which takes none
			synctest.Wait()
			if freed != want {
				t.Fatalf("%s: memory was given back %d times, want %d", what, freed, want)
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
		if most := 3 + 3600/burstLeast; freed > most {
			t.Errorf("memory was given back %d times for a trickle, want at most %d", freed, most)
		}
		cancel()
		<-ended
	})
}
