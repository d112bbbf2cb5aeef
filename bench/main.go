// Command bench measures Cancello beside other poolers on this machine: all stand before the same PostgreSQL, and each
// is measured right after the other, again and again, because what a shared machine does to one moment it does to
// the next. `make bench` builds Cancello and runs it for the figures that it is held to (suite.go: benchPlan, goals);
// `make bench-full` for all the rest, beside whoever is found; `make bench-quick` looks at each kind of thing once.
//
// Bench side: it may import anything of Cancello, and nothing imports it.
//
// What is measured, by the files:
//   - queries.go: CPU of the proxy's process (children too) for each query, by the kernel's accounting; queries per
//     second; how long an answer took. load.go, client.go and pipe.go are the load, script.go is what it asks
//   - flow.go: large results and COPY; logins.go: connect, ask, disconnect; memory.go: idle clients
//   - cancel.go: `bench cancel` (`make bench-cancel`), cancels of PostgreSQL itself, Cancello and PgBouncer; what is lost
//     or hits another is counted, and fails the run where it is Cancello's or PostgreSQL's
//   - budget: a command of its own, what a query costs in instructions and allocations
//
// Who is measured: pooler.go, and a file for each. What becomes of it: report.go (a table), page.go (Markdown), plot.go
// (SVG), and JSON with every single measurement.
//
// What is compared is the median of the pairs' ratios; the lowest and highest pair say what the median is worth.
//
// The load comes from one thread with epoll, one write and one read for each query, so that on two cores it leaves
// one to PostgreSQL and the proxy. Its own CPU is shown, and the answers wait for it: at 50 clients the latency is
// that of the whole machine. "direct" is the same load without a proxy, for scale.
//
// Limits: Linux only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"cancello/internal/postgres"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run does what the first word says.
func run(ctx context.Context, args []string) error {
	switch {
	case len(args) > 0 && args[0] == "cancel":
		a, err := parseCancelArgs(args[1:])
		if err != nil {
			return err
		}
		return benchCancel(ctx, a)
	case len(args) == 2 && args[0] == bareName:
		return bare(args[1])
	case len(args) == 2 && args[0] == leanName:
		return lean(args[1])
	}
	a, err := parseArgs(args)
	if err != nil {
		return err
	}
	install, err := postgres.Find(18)
	if err != nil {
		return err
	}
	r, err := runPlan(ctx, a.plan, a.cancello, install)
	if err != nil {
		return err
	}
	fmt.Print(r.table())
	if a.out == "" {
		return nil
	}
	return r.write(a.out)
}

// args are the flags.
type args struct {
	plan
	cancello, out string
}

func parseArgs(list []string) (args, error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	var a args
	f.StringVar(&a.cancello, "cancello", "bin/cancello", "the Cancello to measure")
	f.StringVar(&a.out, "out", "", "also write every measurement, a page and plots into this folder")
	quick := f.Bool("quick", false, "each kind of thing once, in less than two minutes")
	full := f.Bool("full", false, "all that there is, beside whoever is found")
	only := f.String("only", "", "these parts alone, with commas between")
	pairs := f.Int("pairs", 0, "interleaved pairs; 0: as planned")
	took := f.Duration("time", 0, "length of one measurement; 0: as planned")
	if err := f.Parse(list); err != nil {
		return a, err
	}
	switch {
	case *quick && *full:
		return a, errors.New("-quick and -full are two plans: name one")
	case *quick:
		a.plan = quickPlan()
	case *full:
		a.plan = fullPlan()
	default:
		a.plan = benchPlan()
	}
	switch {
	case f.NArg() > 0:
		return a, fmt.Errorf("what is %q? There are only flags: see -help", f.Arg(0))
	case *pairs < 0:
		return a, errors.New("-pairs must be at least 1")
	case *took != 0 && *took < 50*time.Millisecond:
		return a, errors.New("-time must be at least 50ms: less measures the start of things")
	}
	if *pairs > 0 {
		a.pairs = *pairs
	}
	if *took > 0 {
		a.took = *took
	}
	return a, a.choose(*only)
}

// choose leaves out all parts but those named.
func (p *plan) choose(names string) error {
	if names == "" {
		return nil
	}
	var chosen []part
	var known []string
	wanted := map[string]bool{}
	for _, name := range strings.Split(names, ",") {
		wanted[name] = true
	}
	for _, part := range p.parts {
		known = append(known, part.name)
		if wanted[part.name] {
			chosen = append(chosen, part)
			delete(wanted, part.name)
		}
	}
	for name := range wanted {
		return fmt.Errorf("there is no part %q; there are %s", name, strings.Join(known, ", "))
	}
	p.parts = chosen
	return nil
}
