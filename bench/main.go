// Command bench measures Cancello beside PgBouncer on this machine: both stand before the same PostgreSQL, and each
// is measured right after the other, again and again, because what a shared machine does to one moment it does to
// the next. `make bench` builds Cancello and runs it; ARGS=-quick is for a first look.
//
// Bench side: it may import anything of Cancello, and nothing imports it.
//
// What is measured, for 1, 10 and 50 clients that each ask SELECT 1 as soon as they have the answer to the last one:
//   - CPU of the proxy's process (children too) for each query, by the kernel's accounting
//   - queries per second, and how long an answer took: p50 and p99
//
// What is compared is the median of the pairs' ratios; the lowest and highest pair say what the median is worth.
//
// The load comes from one thread with epoll, one write and one read for each query, so that on two cores it leaves
// one to PostgreSQL and the proxy. Its own CPU is shown, and the answers wait for it: at 50 clients the latency is
// that of the whole machine. "direct" is the same load without a proxy, for scale.
//
// `bench cancel` (`make bench-cancel`) measures cancels instead, of PostgreSQL itself, Cancello and PgBouncer: one at a
// time, a crowd at once, and forged ones; what is lost or hits another is counted, and fails the run where it is
// Cancello's or PostgreSQL's. See cancel.go and what its table says of itself.
//
// Limits: Linux only. SELECT 1 alone: no large rows, no TLS. Prepared statements are left out until both proxies
// can share them: Cancello can't yet, nor can PgBouncer before 1.21.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"cancello/internal/postgres"

	"golang.org/x/sys/unix"
)

// plan is what is to be measured.
type plan struct {
	pairs   int           // rounds in which each proxy is measured once in every cell
	direct  int           // rounds in which the server alone is, too
	took    time.Duration // of one measurement
	warm    time.Duration // before each, not counted
	clients []int
}

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
	}
	return benchQueries(ctx)
}

// benchQueries reads its flags from the command line.
func benchQueries(ctx context.Context) error {
	cancello := flag.String("cancello", "bin/cancello", "the Cancello to measure")
	quick := flag.Bool("quick", false, "half a minute in place of four, and rough; -pairs and -time don't count then")
	jsonFile := flag.String("json", "", "also write every measurement to this file")
	pairs := flag.Int("pairs", 7, "interleaved pairs")
	took := flag.Duration("time", 1700*time.Millisecond, "length of one measurement")
	flag.Parse()

	p := plan{pairs: *pairs, direct: min(3, *pairs), took: *took, warm: 300 * time.Millisecond, clients: []int{1, 10, 50}}
	if *quick {
		p = plan{pairs: 3, direct: 1, took: 500 * time.Millisecond, warm: 100 * time.Millisecond, clients: p.clients}
	}
	if err := checkArgs(p); err != nil {
		return err
	}
	return bench(ctx, p, *cancello, *jsonFile)
}

func checkArgs(p plan) error {
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("what is %q? There are only flags: see -help", flag.Arg(0))
	case p.pairs < 1:
		return errors.New("-pairs must be at least 1")
	case p.took < 50*time.Millisecond:
		return errors.New("-time must be at least 50ms: less measures the start of things")
	}
	return nil
}

// bench sets everything up, measures, and takes it down again.
func bench(ctx context.Context, p plan, cancello, jsonFile string) (err error) {
	install, err := postgres.Find(18)
	if err != nil {
		return err
	}
	cluster, err := postgres.New(ctx, postgres.Options{
		Install: install, Template: true,
		// Nothing of its own to do while it is measured.
		Settings: map[string]string{"autovacuum": "off", "max_connections": "200"},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()

	s, err := openStage(cluster, setup{pool: poolSize, clients: maxClients, sslmode: "disable"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.startCancello(ctx, cancello); err != nil {
		return err
	}
	if err := s.startPgBouncer(ctx); err != nil {
		return err
	}

	r := result{
		Began: time.Now().UTC(), Cores: runtime.NumCPU(), Go: runtime.Version(), PostgreSQL: install.Version,
		PgBouncer: s.bouncerVersion, Pairs: p.pairs, Seconds: p.took.Seconds(), PoolSize: poolSize,
	}
	fmt.Printf("%s. PostgreSQL %s, %d cores; about %s.\n", strings.Join(s.names(), " and "), install.Version, r.Cores, p.length(len(s.proxies)).Round(time.Second))
	if err := measureAll(ctx, p, s, &r); err != nil {
		return err
	}
	fmt.Print(r.table())
	if jsonFile == "" {
		return nil
	}
	out, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(jsonFile, append(out, '\n'), 0o644)
}

// length is how long the plan takes with so many proxies.
func (p plan) length(proxies int) time.Duration {
	measurements := len(scripts) * len(p.clients) * (p.pairs*proxies + p.direct)
	return time.Duration(measurements) * (p.took + p.warm)
}

// measureAll measures every cell in every round. Inside a cell one proxy follows the other at once, and the one that
// begins changes with the round.
func measureAll(ctx context.Context, p plan, s *stage, r *result) error {
	for round := range p.pairs {
		progress("\rround %d of %d", round+1, p.pairs)
		for _, script := range scripts {
			for _, clients := range p.clients {
				for i := range s.proxies {
					target := s.proxies[(i+round)%len(s.proxies)]
					if err := r.measure(ctx, p, target, script, clients); err != nil {
						return err
					}
				}
				if round < p.direct {
					if err := r.measure(ctx, p, s.direct, script, clients); err != nil {
						return err
					}
				}
			}
		}
	}
	progress("\r\033[K")
	return nil
}

// progress is for who watches; a file keeps the result alone.
func progress(format string, args ...any) {
	if _, err := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS); err == nil {
		fmt.Fprintf(os.Stderr, format, args...)
	}
}

// measure adds one measurement to the result.
func (r *result) measure(ctx context.Context, p plan, t target, s script, clients int) error {
	if err := ctx.Err(); err != nil {
		return errors.New("interrupted")
	}
	m, err := measure(t, s, clients, p)
	if err != nil {
		return fmt.Errorf("%s, %s, %d clients: %w%s", t.name, s.name, clients, err, t.lastWords())
	}
	r.Measurements = append(r.Measurements, m)
	return nil
}
