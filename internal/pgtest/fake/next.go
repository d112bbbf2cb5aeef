package fake

import (
	"runtime"
	"testing"
	"time"
)

// Next takes the next value out of c. It fails the test after Patience, with the stack of every goroutine: a test that
// hangs must say what it waited for, and where the others stood.
func Next[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	limit := time.NewTimer(Patience)
	defer limit.Stop()
	select {
	case v = <-c:
	case <-limit.C:
		stacks := make([]byte, 1<<20)
		t.Fatalf("not within %v: %s\n%s", Patience, what, stacks[:runtime.Stack(stacks, true)])
	}
	return v
}
