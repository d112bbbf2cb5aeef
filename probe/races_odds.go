package probe

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"time"
)

// confidence is that of all bounds: 95 %.
const confidence = 0.95

// bound is the largest share that what was tried n times and never seen can have, with 95 % confidence: about 3/n, the
// rule of three.
func bound(n int) float64 { return 1 - math.Pow(1-confidence, 1/float64(n)) }

// odds words how often something was seen, with what that proves.
func odds(k, n int) string {
	if n == 0 {
		return "never tried"
	}
	if k == 0 {
		return fmt.Sprintf("0 of %d, so with 95 %% confidence fewer than %.2g %%", n, 100*bound(n))
	}
	return fmt.Sprintf("%d of %d (%.2g %%)", k, n, 100*float64(k)/float64(n))
}

// percentile of times: the smallest that p of them do not exceed.
func percentile(times []time.Duration, p float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[max(0, int(math.Ceil(p*float64(len(sorted))))-1)]
}

// milliseconds is a time with one decimal.
func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// Limits of a race: it ends after that time, but not before some tries.
const (
	raceTime  = 10 * time.Second
	raceTries = 5
)

// repeat counts up to n, or to where it takes too long: some proxies keep the connection of a cancel for a second.
func repeat(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		begin := time.Now()
		for i := range n {
			if i >= raceTries && time.Since(begin) > raceTime || !yield(i) {
				return
			}
		}
	}
}
