package main

import (
	"slices"
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		sorted []time.Duration
		p      float64
		want   time.Duration
	}{
		{hundred, 50, 50},
		{hundred, 99, 99},
		{hundred, 100, 100},
		{hundred[:10], 99, 10},
		{hundred[:4], 50, 2},
		{hundred[:3], 50, 2},
		{hundred[:1], 1, 1},
	} {
		if got := percentile(c.sorted, c.p); got != c.want {
			t.Errorf("p%v of %d values is %d, want %d", c.p, len(c.sorted), got, c.want)
		}
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   spread
	}{
		{nil, spread{}},
		{[]float64{3}, spread{3, 3, 3}},
		{[]float64{9, 1, 2}, spread{2, 1, 9}},
		{[]float64{4, 1, 2, 9}, spread{3, 1, 9}},
	} {
		before := slices.Clone(c.values)
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("%v: %v, want %v", c.values, got, c.want)
		}
		if !slices.Equal(before, c.values) {
			t.Errorf("%v was put in order in place", before)
		}
	}
}

// What is compared are pairs, not medians: here each pair says 2, though the medians say 1.
func TestRatios(t *testing.T) {
	got := ratios([]float64{2, 4, 20, 8}, []float64{1, 2, 10, 0, 7})
	if !slices.Equal(got, []float64{2, 2, 2}) {
		t.Errorf("%v", got)
	}
}

// Rounds that one of both is missing in are no pair.
func TestRatiosByRound(t *testing.T) {
	got := ratiosByRound(map[int]float64{0: 2, 1: 5, 2: 8, 4: 1}, map[int]float64{0: 1, 2: 4, 3: 9, 4: 0})
	if !slices.Equal(got, []float64{2, 2}) {
		t.Errorf("%v", got)
	}
}
