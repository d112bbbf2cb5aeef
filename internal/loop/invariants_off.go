//go:build !invariants

package loop

// onLoop checks that the caller is on the loop's thread, with the build tag invariants.
func (l *Loop) onLoop(string) {}

// reclaim checks that nothing refers to lent memory any more, with the build tag invariants.
func (l *Loop) reclaim([]byte) {}

// mangle makes memory unusable after its lifetime, with the build tag invariants.
func mangle([]byte) {}
