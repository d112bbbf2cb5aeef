package main

import (
	"math"
	"slices"
	"time"
)

// percentile is the smallest value that at least p of a hundred values do not exceed (nearest rank). sorted is
// sorted and not empty, p is above 0.
func percentile(sorted []time.Duration, p float64) time.Duration {
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}

// spread is a median and what it is the median of, at its ends.
type spread struct{ median, low, high float64 }

// spreadOf orders its own copy. No values make zeros.
func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	v := slices.Sorted(slices.Values(values))
	mid := len(v) / 2
	median := v[mid]
	if len(v)%2 == 0 {
		median = (v[mid-1] + v[mid]) / 2
	}
	return spread{median, v[0], v[len(v)-1]}
}

// ratios divides pair by pair. A pair without its second value is left out.
func ratios(a, b []float64) []float64 {
	var r []float64
	for i := range min(len(a), len(b)) {
		if b[i] != 0 {
			r = append(r, a[i]/b[i])
		}
	}
	return r
}

// ratiosByRound divides round by round. One that either is missing in, or that has nothing to divide by, is left out.
func ratiosByRound(a, b map[int]float64) []float64 {
	var r []float64
	for round, v := range a {
		if w, ok := b[round]; ok && w != 0 {
			r = append(r, v/w)
		}
	}
	return r
}
