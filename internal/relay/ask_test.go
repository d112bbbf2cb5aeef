package relay

import (
	"testing"
	"time"
)

// What failed has failed once, whoever else wants to end it, and nothing of it is held on to.
func TestFailsOnce(t *testing.T) {
	w := &world{t: t, now: time.Hour, pings: map[Link]time.Duration{}}
	w.r = New(w)
	w.r.Configure(w.now, Config{Peers: []Peer{{Node: 1}}, Timeout: time.Second})
	w.r.Asked(w.now, 1, Request{Key: make([]byte, 32), ReadAt: w.now}, 1)
	line := w.r.open()
	w.r.fail(line[0], "once")
	w.r.fail(line[0], "twice")
	if n := w.r.States()[0].Failed; n != 1 || len(w.said) != 2 {
		t.Errorf("%d failed: %q", n, w.said)
	}
	if w.r.open(); w.r.line[:1][0] != nil {
		t.Error("it is held in the tail of the list")
	}
}
