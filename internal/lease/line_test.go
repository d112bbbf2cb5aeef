package lease

import (
	"slices"
	"testing"
)

// TestLine: whoever leaves, first come is first served.
func TestLine(t *testing.T) {
	var l Line[int]
	var places [6]Place[int]
	order := func() (all []int) {
		for p := l.first; p != nil; p = p.next {
			all = append(all, p.who)
			if p.next != nil && p.next.prev != p || p.next == nil && l.last != p {
				t.Fatal("the line is torn")
			}
		}
		if len(all) != l.Len() {
			t.Fatalf("%v is of length %d", all, l.Len())
		}
		return all
	}
	if _, ok := l.First(); ok {
		t.Error("an empty line has a first")
	}
	for i := range places {
		if places[i].Waits() {
			t.Error("waits before it joined")
		}
		l.Join(&places[i], i)
	}
	for _, step := range []struct {
		leave int
		want  []int
	}{
		{0, []int{1, 2, 3, 4, 5}}, // the first
		{3, []int{1, 2, 4, 5}},    // one in the middle
		{5, []int{1, 2, 4}},       // the last
		{5, []int{1, 2, 4}},       // one that has left
	} {
		places[step.leave].Leave()
		if places[step.leave].Waits() {
			t.Errorf("%d waits though it has left", step.leave)
		}
		if got := order(); !slices.Equal(got, step.want) {
			t.Errorf("without %d: %v, want %v", step.leave, got, step.want)
		}
	}
	l.Join(&places[0], 0) // anew: at the end
	if got, want := order(), []int{1, 2, 4, 0}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for i, want := range []int{1, 2, 4, 0} {
		if who, ok := l.At(i); !ok || who != want {
			t.Errorf("behind %d: %d, want %d", i, who, want)
		}
	}
	if who, ok := l.At(4); ok {
		t.Errorf("behind all: %d", who)
	}
	for _, want := range []int{1, 2, 4, 0} {
		if who, ok := l.First(); !ok || who != want {
			t.Errorf("first is %d, want %d", who, want)
		}
		places[want].Leave()
	}
	if l.Len() != 0 || l.first != nil || l.last != nil {
		t.Error("the line is not empty")
	}
}
