package unit

import "testing"

// TestQueue: a queue gives back what was put in, in order, whatever it has held before.
func TestQueue(t *testing.T) {
	for _, depth := range []int{1, 15, 16, 17, 33, 5000} {
		var q Queue
		next, want := 0, 0
		entry := func(i int) Entry { return Entry(i%int(CopyEnd)) + 1 }
		for round := range 3 * depth { // the ring turns: two in, one out, until it is deep enough
			q.Push(entry(next))
			next++
			if q.Len() < depth {
				q.Push(entry(next))
				next++
			}
			if round%2 == 0 {
				if got := q.Pop(); got != entry(want) {
					t.Fatalf("depth %d: entry %d is %d, want %d", depth, want, got, entry(want))
				}
				want++
			}
		}
		for i := range q.Len() {
			if q.At(i) != entry(want+i) {
				t.Fatalf("depth %d: at %d is %d, want %d", depth, i, q.At(i), entry(want+i))
			}
		}
		if q.Len() != next-want || q.Head() != entry(want) {
			t.Fatalf("depth %d: %d entries, want %d", depth, q.Len(), next-want)
		}
		q.Set(q.Len()-1, Query|Ours)
		for q.Len() > 1 {
			q.Pop()
		}
		if q.Pop() != Query|Ours || q.Len() != 0 || q.Head() != None {
			t.Fatalf("depth %d: the last one was not the one that was set", depth)
		}
	}
}

// TestQueueRests: an empty queue owns no large ring.
func TestQueueRests(t *testing.T) {
	var q Queue
	fill := func() {
		for range 5000 {
			q.Push(Sync)
		}
	}
	fill()
	for q.Len() > 0 {
		q.Pop()
	}
	if len(q.buf) > 1024 {
		t.Errorf("emptied it owns %d entries", len(q.buf))
	}
	fill()
	q.Reset()
	if q.Len() != 0 || len(q.buf) > 1024 {
		t.Errorf("reset it holds %d entries and owns %d", q.Len(), len(q.buf))
	}
	q.Push(Bind)
	if q.Pop() != Bind {
		t.Error("a reset queue does not work")
	}
}

// TestQueueAllocs: a client of the usual depth costs nothing.
func TestQueueAllocs(t *testing.T) {
	q := new(Queue)
	if n := testing.AllocsPerRun(100, func() {
		for range 16 {
			q.Push(Parse)
		}
		for range 16 {
			q.Pop()
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestEntry(t *testing.T) {
	e := Parse | Ours | Failing
	if e.Kind() != Parse || !e.Has(Ours) || !e.Has(Ours|Failing) || e.Has(Unnamed) || e.Has(Ours|Unnamed) {
		t.Errorf("%08b", e)
	}
	for k, want := range map[Entry]bool{
		None: false, Parse: true, Bind: true, Describe: true, Execute: true, Close | Unnamed: true,
		Sync: false, MaybeSync: false, Query: false, Function: false, CopyEnd: false,
	} {
		if k.Extended() != want {
			t.Errorf("%d: Extended is %v", k, k.Extended())
		}
	}
	if CopyEnd >= Unnamed {
		t.Error("kinds run into flags")
	}
}
