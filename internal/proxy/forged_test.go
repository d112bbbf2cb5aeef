package proxy

import (
	"bytes"
	"testing"

	"cancello/internal/event"
	"cancello/internal/pgtest/fake"
)

// BenchmarkForged is what requests with wrong keys cost here, those who send them included.
func BenchmarkForged(b *testing.B) {
	w := start(b, newScript(), func(s *Settings) { s.Emit = func(event.Event) {} })
	_, long := testMinter.Mint(fake.V32, 7, [12]byte{9})
	long = bytes.Clone(long)
	long[9] ^= 1
	requests := [][]byte{fake.Cancel(testPID, []byte{1, 2, 3, 5}), fake.Cancel(testPID, long)}
	b.ResetTimer()
	for i := range b.N {
		sendCut(b, w.addr(), requests[i%2], 100)
	}
}

// Goroutines of a storm serve the next visits, and not more of them stay than are useful.
func TestFewHandsStay(t *testing.T) {
	w := start(t, newScript())
	for range 3 {
		var all []*fake.Client
		for range 5 * maxHands {
			all = append(all, fake.Dial(t, w.addr()))
		}
		for _, c := range all {
			c.Put(fake.Startup(0x00040000, "user", "u")) // which is refused: callers have no goroutine
		}
		for _, c := range all {
			c.WantError("0A000")
			c.WantEOF()
		}
		until(t, "those whose visit is over wait for another", func() bool { return w.hands.free.Load() == maxHands })
	}
	fake.SendCancel(t, w.addr(), testPID, testKey)
	next(t, w.cancels, "the cancel behind the storm")
}
