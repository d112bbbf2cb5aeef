// Command budget counts what a query costs Cancello, in figures that are the same whatever else the machine does:
// instructions, by valgrind's callgrind (callgrind.go), and allocations. `make check` has it compare them with budget.json beside it,
// and fails where a query has become dearer; `make budget` writes the file anew.
//
// What is counted is engine and loop with a client and a server at the other ends of socket pairs, all on one thread
// (turns.go); the two ends' own few instructions are among them, the kernel's are not. The instructions of a query are
// the difference between a long run and a short one, so that what is done once is in neither.
//
// Bench side: it may import anything of Cancello, and nothing imports it.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

const (
	// tolerance is by how much the instructions may differ before anybody hears of it: code elsewhere moves and is inlined
	// in another way.
	tolerance = 0.02
	// shortRun and longRun are numbers of queries.
	shortRun, longRun = 400, 2900
	// settled is a number of queries too, of the run whose allocations count.
	settled = 4000
)

// figures are what one query costs.
type figures struct {
	Instructions int     `json:"instructions"`
	Allocations  float64 `json:"allocations"`
}

// budget is the file.
type budget struct {
	Go      string             `json:"go"` // the compiler's version that the instructions are of
	Queries map[string]figures `json:"queries"`
}

func main() {
	if len(os.Args) == 4 && os.Args[1] == "turns" {
		if err := turnsByName(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, "budget:", err)
			os.Exit(1)
		}
		return
	}
	file := flag.String("file", "bench/budget/budget.json", "the committed budget")
	write := flag.Bool("write", false, "write it anew")
	flag.Parse()
	if err := run(*file, *write); err != nil {
		fmt.Fprintln(os.Stderr, "budget:", err)
		os.Exit(1)
	}
}

func run(file string, write bool) error {
	missing := missingPiece()
	if missing != "" && (write || os.Getenv("CI") != "") {
		return errors.New(missing)
	}
	now, err := count(missing == "")
	if err != nil {
		return err
	}
	if write {
		return save(file, now)
	}
	then, err := load(file)
	if err != nil {
		return err
	}
	said, err := compare(then, now)
	fmt.Print(said)
	if missing != "" {
		fmt.Println("skipped: instructions per query:", missing)
	}
	return err
}

// missingPiece is why instructions can't be counted here; empty where they can.
func missingPiece() string {
	if runtime.GOARCH != "amd64" {
		return "the budget is of amd64, this is " + runtime.GOARCH
	}
	if _, err := exec.LookPath("valgrind"); err != nil {
		return "there is no valgrind on PATH (`make pg` installs it)"
	}
	return ""
}

// count counts every work; instructions only where it is asked to.
func count(instructions bool) (budget, error) {
	b := budget{Go: runtime.Version(), Queries: map[string]figures{}}
	for _, w := range works {
		n, err := runTurns(w, settled)
		if err != nil {
			return b, fmt.Errorf("%s: %w", w.name, err)
		}
		b.Queries[w.name] = figures{Allocations: math.Round(n*100) / 100}
	}
	if !instructions {
		return b, nil
	}
	dir, err := os.MkdirTemp("", "budget-")
	if err != nil {
		return b, err
	}
	defer os.RemoveAll(dir)
	var short, long [16]int
	failed := make(chan error, 2*len(works))
	room := make(chan struct{}, runtime.NumCPU())
	var all sync.WaitGroup
	for i, w := range works {
		for n, to := range map[int]*int{shortRun: &short[i], longRun: &long[i]} {
			all.Go(func() {
				room <- struct{}{}
				defer func() { <-room }()
				var err error
				if *to, err = instructionsOf(dir, w.name, n); err != nil {
					failed <- err
				}
			})
		}
	}
	all.Wait()
	select {
	case err := <-failed:
		return b, err
	default:
	}
	for i, w := range works {
		f := b.Queries[w.name]
		f.Instructions = (long[i] - short[i]) / (longRun - shortRun)
		b.Queries[w.name] = f
	}
	return b, nil
}

// instructionsOf runs this very program under callgrind. Nothing there may depend on time: no collection, one thread at a
// time, none of the runtime's signals (which callgrind does not survive).
func instructionsOf(dir, name string, n int) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	out := filepath.Join(dir, fmt.Sprintf("%s-%d", name, n))
	cmd := exec.Command("valgrind", "--tool=callgrind", "--callgrind-out-file="+out, self, "turns", name, strconv.Itoa(n))
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=off", "GODEBUG=asyncpreemptoff=1")
	said, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", cmd, err, said)
	}
	file, err := os.Open(out)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return instructions(file)
}

// turnsByName is what callgrind counts.
func turnsByName(name, number string) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	for _, w := range works {
		if w.name == name {
			_, err := runTurns(w, n)
			return err
		}
	}
	return fmt.Errorf("there is no work %q", name)
}

func load(file string) (budget, error) {
	var b budget
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &b)
	}
	return b, err
}

func save(file string, b budget) error {
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// renew is said wherever the file and the code differ.
const renew = "`make budget` writes the figures anew: do so where the commit says what the cost is for"

// compare shows both, and is an error where a query has become dearer, or is not in the file.
func compare(then, now budget) (string, error) {
	var out strings.Builder
	var dearer []string
	cheaper := false
	fmt.Fprintf(&out, "%-10s %14s %8s %14s %8s\n", "one query", "instructions", "budget", "allocations", "budget")
	for _, w := range works {
		is, was := now.Queries[w.name], then.Queries[w.name]
		fmt.Fprintf(&out, "%-10s %14d %8d %14.2f %8.2f\n", w.name, is.Instructions, was.Instructions, is.Allocations, was.Allocations)
		limit := float64(was.Instructions) * (1 + tolerance)
		switch {
		case was == figures{}:
			dearer = append(dearer, w.name+" is not in the budget")
		case float64(is.Instructions) > limit:
			dearer = append(dearer, fmt.Sprintf("%s takes %d instructions, the budget is %d", w.name, is.Instructions, was.Instructions))
		case is.Instructions > 0 && float64(is.Instructions) < float64(was.Instructions)*(1-tolerance):
			cheaper = true
		}
		if is.Allocations > was.Allocations+allocationSlack {
			dearer = append(dearer, fmt.Sprintf("%s allocates %.2f times, the budget is %.2f", w.name, is.Allocations, was.Allocations))
		}
	}
	if len(dearer) == 0 {
		if cheaper {
			fmt.Fprintf(&out, "some are cheaper than the budget by more than %.0f%%: %s\n", tolerance*100, renew)
		}
		return out.String(), nil
	}
	if then.Go != now.Go {
		dearer = append(dearer, fmt.Sprintf("(the budget is of %s, this is %s)", then.Go, now.Go))
	}
	return out.String(), fmt.Errorf("a query has become dearer than bench/budget/budget.json:\n  %s\n%s", strings.Join(dearer, "\n  "), renew)
}

// allocationSlack is what the runtime itself may allocate meanwhile, of a query.
const allocationSlack = 0.02
