//go:build !race && !invariants

package main

import "testing"

// No work allocates once more for a query than the committed budget allows. The race detector and the invariants tag
// allocate for themselves, so it is not asked with them.
func TestTurnsAllocate(t *testing.T) {
	then, err := load("budget.json")
	if err != nil {
		t.Fatal(err)
	}
	const slack = 0.5 // for what the runtime allocates meanwhile; `make check` looks more closely
	for _, w := range works {
		n, err := runTurns(w, 600)
		if err != nil {
			t.Errorf("%s: %v", w.name, err)
			continue
		}
		if most := then.Queries[w.name].Allocations; n > most+slack {
			t.Errorf("%s: %.2f allocations for each query, the budget is %.2f", w.name, n, most)
		}
	}
}
