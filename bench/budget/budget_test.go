package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every work is done to its end, and is in the committed budget.
func TestTurns(t *testing.T) {
	then, err := load("budget.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(then.Queries) != len(works) {
		t.Errorf("the budget is of %d works, there are %d: `make budget`", len(then.Queries), len(works))
	}
	for _, w := range works {
		if _, ok := then.Queries[w.name]; !ok {
			t.Errorf("%s is not in the budget: `make budget`", w.name)
		}
		if _, err := runTurns(w, 600); err != nil {
			t.Errorf("%s: %v", w.name, err)
		}
	}
}

func TestTurnsFail(t *testing.T) {
	for want, w := range map[string]work{
		"terminating":     {clients: 1, servers: 1, question: `Q "x"`, answer: `E FATAL 57P01 "terminating" | Z I`},
		"unexpected type": {clients: 1, servers: 1, question: `Q "x"`, answer: `? 5`},
	} {
		if _, err := runTurns(w, 10); err == nil {
			t.Errorf("nothing is said of %s", want)
		}
	}
}

func TestCompare(t *testing.T) {
	sample := func(instructions int, allocations float64) budget {
		b := budget{Go: "go1", Queries: map[string]figures{}}
		for _, w := range works {
			b.Queries[w.name] = figures{1000, 1}
		}
		b.Queries["simple"] = figures{instructions, allocations}
		return b
	}
	base := sample(1000, 1)
	for name, c := range map[string]struct {
		now       budget
		want, say string
	}{
		"same":        {now: sample(1000, 1)},
		"within":      {now: sample(1015, 1)},
		"dearer":      {now: sample(1100, 1), want: "simple takes 1100 instructions, the budget is 1000"},
		"allocates":   {now: sample(1000, 2), want: "simple allocates 2.00 times, the budget is 1.00"},
		"cheaper":     {now: sample(800, 1), say: "make budget"},
		"not counted": {now: sample(0, 1)},
	} {
		said, err := compare(base, c.now)
		if (err != nil) != (c.want != "") || err != nil && !(strings.Contains(err.Error(), c.want) && strings.Contains(err.Error(), "make budget")) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(said, "cheaper") != (c.say != "") || !strings.Contains(said, c.say) {
			t.Errorf("%s: %s", name, said)
		}
	}
	other := sample(1100, 1)
	other.Go = "go2"
	if _, err := compare(base, other); err == nil || !strings.Contains(err.Error(), "the budget is of go1, this is go2") {
		t.Error(err)
	}
	if _, err := compare(budget{}, sample(1, 0)); err == nil || !strings.Contains(err.Error(), "simple is not in the budget") {
		t.Error(err)
	}
}

// What is missing is said, and fails where everything must be there.
func TestMissingValgrind(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("CI", "true")
	if err := run("budget.json", false); err == nil || !strings.Contains(err.Error(), "valgrind") {
		t.Error(err)
	}
	t.Setenv("CI", "")
	if err := run("budget.json", true); err == nil {
		t.Error("a budget without instructions is written")
	}
}

func TestFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "b.json")
	want := budget{Go: "go1", Queries: map[string]figures{"x": {5, 0.25}}}
	if err := save(file, want); err != nil {
		t.Fatal(err)
	}
	got, err := load(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
