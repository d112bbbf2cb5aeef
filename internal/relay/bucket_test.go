package relay

import (
	"fmt"
	"testing"
	"time"
)

// A flood from everywhere: memory has a bound, and costs no more for each than a few looks.
func TestBucketsAreBounded(t *testing.T) {
	var s buckets
	now := time.Hour
	for i := range 3 * maxBuckets {
		b := s.find(source{from: fmt.Sprint(i)}, now)
		b.tokens--
	}
	if len(s.of) != maxBuckets || len(s.line) != maxBuckets || s.crowd == nil {
		t.Fatalf("%d buckets, %d in line", len(s.of), len(s.line))
	}
	now += time.Minute // all are full again
	for i := range maxBuckets / 2 {
		s.find(source{from: fmt.Sprint("later", i)}, now).tokens--
	}
	if b := s.find(source{from: "one more"}, now); b == s.crowd || len(s.of) > maxBuckets {
		t.Errorf("%d buckets, and no room for another source", len(s.of))
	}
}

func TestAddress(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:40009":         "192.0.2.7",
		"[::ffff:192.0.2.7]:1":    "192.0.2.7",
		"[2001:db8::1]:5":         "2001:db8::/64",
		"[2001:db8:0:0:5::1]:6":   "2001:db8::/64",
		"[2001:db8:0:1::1]:7":     "2001:db8:0:1::/64",
		"unix:/run/cancello.sock": "unix:/run/cancello.sock",
		"@":                       "@",
	} {
		if got := address(remote); got != want {
			t.Errorf("%s: %s, want %s", remote, got, want)
		}
	}
}
