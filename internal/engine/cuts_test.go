package engine

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestCuts: how a network cuts the bytes changes nothing. Every script is run as it is, then with every command's bytes
// cut into single ones, then at random places. Each connection is sent the same bytes, and the rest happens in the same
// order; only who is paused and resumed when may differ. Where a lost client's Query is cancelled its own bytes are not
// cut: a Query whose first word was not seen may be a COMMIT, and is not cancelled. Scripts in testdata/cut are about a
// cut and are left out.
func TestCuts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			whole := replay(t, path, func(n int) int { return n })
			if single := replay(t, path, func(int) int { return 1 }); single != whole {
				t.Fatalf("byte by byte: %s", difference(whole, single))
			}
			for seed := range uint64(10) {
				r := rand.New(rand.NewPCG(seed, 7))
				if cut := replay(t, path, func(n int) int { return 1 + r.IntN(min(n, 1+r.IntN(40))) }); cut != whole {
					t.Fatalf("cut with seed %d: %s", seed, difference(whole, cut))
				}
			}
		})
	}
}

// difference is where two accounts part.
func difference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return fmt.Sprintf("line %d:\n%s\ninstead of\n%s", i, bs[i], as[i])
		}
	}
	return "one account is longer"
}

// replay runs a script and returns what happened in each of its worlds: what each connection was sent, then the rest.
func replay(t *testing.T, path string, next func(int) int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lost := strings.Contains(string(text), "settled our own") || strings.Contains(path, "pressure")
	w := newWorld(settings(t, nil))
	w.next, w.cutServers = next, lost
	var all strings.Builder
	datadriven.RunTestFromString(t, string(text), func(t *testing.T, td *datadriven.TestData) string {
		if td.Cmd == "new" || td.Cmd == "setup" {
			all.WriteString(w.account())
			w = newWorld(settings(t, td))
			w.next, w.cutServers = next, lost
		}
		w.run(t, td)
		w.rest = append(w.rest, td.Pos)
		for _, line := range w.log {
			if !strings.Contains(line, " <- ") && !strings.HasPrefix(line, "pause ") && !strings.HasPrefix(line, "resume ") {
				w.rest = append(w.rest, line)
			}
		}
		return td.Expected
	})
	return all.String() + w.account()
}

func (w *world) account() string {
	var lines []string
	for _, c := range w.order {
		lines = append(lines, fmt.Sprintf("%s was sent %q", w.names[c], w.sent[c]))
	}
	return strings.Join(append(lines, w.rest...), "\n") + "\n"
}
