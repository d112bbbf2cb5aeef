package event

import (
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	var h Histogram
	for i, b := range Buckets() {
		if i > 0 && b <= Buckets()[i-1] {
			t.Errorf("bucket %d ends at %v, not behind the one before", i, b)
		}
		h.Observe(b) // the end belongs to its bucket
		if h.Counts[i] != 1 {
			t.Errorf("%v is not counted in its own bucket: %v", b, h.Counts)
		}
	}
	h.Observe(time.Hour)
	h.Observe(0)
	if last := h.Counts[len(h.Counts)-1]; last != 1 {
		t.Errorf("an hour is not in the last bucket: %v", h.Counts)
	}
	if h.Counts[0] != 2 || h.Count() != uint64(len(Buckets())+2) {
		t.Errorf("count %d, buckets %v", h.Count(), h.Counts)
	}
	var sum time.Duration
	for _, b := range Buckets() {
		sum += b
	}
	if h.Sum != sum+time.Hour {
		t.Errorf("sum %v, want %v", h.Sum, sum+time.Hour)
	}
}
