package relay

import (
	"fmt"
	"testing"
	"time"
)

// A flood from everywhere: memory has a bound, and costs no more for each than a few looks.
func TestSourcesAreBounded(t *testing.T) {
	var s sources
	now := time.Hour
	for i := range 3 * maxSources {
		s.find(whence{from: fmt.Sprint(i), node: uint16(i % 2)}, now).tokens--
	}
	if len(s.line) != maxSources || len(s.of) != maxSources+2 {
		t.Fatalf("%d sources, %d in line", len(s.of), len(s.line))
	}
	if many := s.find(whence{from: "one more"}, now); many.from != "" || many.tokens >= 0 {
		t.Errorf("%q has %d tokens, and should be one with many", many.from, many.tokens)
	}
	now += time.Hour // all are full again
	for i := range maxSources / 2 {
		s.find(whence{from: fmt.Sprint("later", i)}, now).tokens--
	}
	if one := s.find(whence{from: "one more"}, now); one.from != "one more" || len(s.line) > maxSources {
		t.Errorf("%d sources, and no room for another one", len(s.line))
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
