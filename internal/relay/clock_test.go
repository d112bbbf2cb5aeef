package relay

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestBoundsHold: whatever two clocks' origins, their drift, and how long pings and pongs take, a moment here lies between
// its bounds there, also one before the first ping.
func TestBoundsHold(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		origin := time.Duration(rng.Int64N(int64(1000*time.Hour))) - 500*time.Hour
		speed := 1 + (rng.Float64()*2-1)*drift/1e6
		there := func(t time.Duration) time.Duration { return origin + time.Duration(float64(t)*speed) }
		var c clock
		now := time.Second
		for range 1 + rng.IntN(20) {
			sent := now
			read := sent + time.Duration(rng.Int64N(int64(50*time.Millisecond)))
			now = read + time.Duration(rng.Int64N(int64(50*time.Millisecond)))
			c.add(sample{sent: sent, had: now, there: there(read)})
			for range 5 {
				at := now + time.Duration(rng.Int64N(int64(20*time.Second))) - 10*time.Second
				if lo, hi := c.notBefore(at), c.notAfter(at); there(at) < lo || there(at) > hi {
					t.Fatalf("%v is %v there, the bounds are %v and %v", at, there(at), lo, hi)
				}
			}
			now += time.Duration(rng.Int64N(int64(time.Second)))
		}
		if len(c.samples) > keptSamples {
			t.Fatalf("%d samples are kept", len(c.samples))
		}
	}
}

// TestBoundsAreNarrow: with a quick ping among the last ones, they are as wide as its way there and back, and the drift.
func TestBoundsAreNarrow(t *testing.T) {
	var c clock
	for i := range 5 {
		way := 40 * time.Millisecond
		if i == 2 {
			way = 200 * time.Microsecond
		}
		at := time.Duration(i) * time.Second
		c.add(sample{sent: at, had: at + way, there: at + way/2})
	}
	at := 5 * time.Second
	if wide := c.notAfter(at) - c.notBefore(at); wide > 7*time.Millisecond {
		t.Errorf("the bounds are %v apart", wide)
	}
}

// TestClockThatStood: one that stood still makes the earlier samples wrong, not the bounds.
func TestClockThatStood(t *testing.T) {
	for _, stood := range []time.Duration{time.Minute, -time.Minute} {
		var c clock
		c.add(sample{sent: 0, had: time.Millisecond, there: time.Hour})
		c.add(sample{sent: time.Second, had: time.Second + time.Millisecond, there: time.Hour + time.Second})
		c.add(sample{sent: 2 * time.Second, had: 2*time.Second + time.Millisecond, there: time.Hour + 2*time.Second - stood})
		if at := 2 * time.Second; c.notBefore(at) > time.Hour+2*time.Second-stood || c.notAfter(at) < time.Hour+2*time.Second-stood {
			t.Errorf("stood for %v: %v to %v", stood, c.notBefore(at), c.notAfter(at))
		}
	}
}
