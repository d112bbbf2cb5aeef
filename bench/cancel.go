package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strconv"
	"time"

	"cancello/internal/postgres"
)

// cancelPlan is what is to be measured of cancels. Everything is done once in each round.
type cancelPlan struct {
	rounds   int
	each     int           // cancels one at a time, of each target
	crowd    int           // queries that run, and cancels at once
	watchers int           // clients beside the crowd that nobody cancels
	forged   time.Duration // of forged requests, to each target
	only     string        // the part to be measured; empty: all
}

// cancelArgs are the flags of `bench cancel`.
type cancelArgs struct {
	plan          cancelPlan
	cancello, out string
}

func parseCancelArgs(args []string) (cancelArgs, error) {
	a := cancelArgs{plan: cancelPlan{rounds: 11, each: 150, crowd: 200, watchers: 10, forged: 1500 * time.Millisecond}}
	f := flag.NewFlagSet("cancel", flag.ContinueOnError)
	f.StringVar(&a.cancello, "cancello", "bin/cancello", "the Cancello to measure")
	f.StringVar(&a.out, "out", "", "also write every figure, a page and a plot into this folder")
	quick := f.Bool("quick", false, "less than a minute, and rough; -rounds and -cancels don't count then")
	f.IntVar(&a.plan.rounds, "rounds", a.plan.rounds, "interleaved rounds; each gives a pair")
	f.IntVar(&a.plan.each, "cancels", a.plan.each, "cancels in a round, one at a time")
	f.IntVar(&a.plan.crowd, "crowd", a.plan.crowd, "cancels at once on as many running queries")
	f.StringVar(&a.plan.only, "only", "", "one part: clear (with the crowd), TLS or forged")
	if err := f.Parse(args); err != nil {
		return cancelArgs{}, err
	}
	if *quick {
		a.plan.rounds, a.plan.each, a.plan.forged = 3, 30, 400*time.Millisecond
	}
	switch {
	case f.NArg() > 0:
		return cancelArgs{}, fmt.Errorf("what is %q? There are only flags: see -help", f.Arg(0))
	case a.plan.rounds < 1 || a.plan.each < 1:
		return cancelArgs{}, errors.New("-rounds and -cancels must be at least 1")
	case a.plan.only != "" && !slices.Contains([]string{"clear", "TLS", "forged"}, a.plan.only):
		return cancelArgs{}, fmt.Errorf("-only %q: give clear, TLS or forged", a.plan.only)
	case a.plan.crowd < 1 || a.plan.crowd > 1000:
		return cancelArgs{}, errors.New("-crowd must be between 1 and 1000: each is a connection to PostgreSQL by each way")
	}
	return a, nil
}

// benchCancel measures, and shows what it measured also where that is not what was promised: then it fails behind
// the table.
func benchCancel(ctx context.Context, a cancelArgs) (err error) {
	install, err := postgres.Find(18)
	if err != nil {
		return err
	}
	pair, err := selfSigned()
	if err != nil {
		return err
	}
	people := a.plan.crowd + a.plan.watchers
	cluster, err := postgres.New(ctx, postgres.Options{
		Install: install, Template: true,
		Files: map[string][]byte{"server.crt": pair.cert, "server.key": pair.key},
		Settings: map[string]string{
			"autovacuum": "off", "max_connections": strconv.Itoa(3*people + 100),
			"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key",
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()

	r := cancelResult{Began: time.Now().UTC(), Machine: machine(), Go: runtime.Version(), PostgreSQL: install.Version, Cancello: buildOf(ctx, a.cancello), Plan: a.plan.told()}
	r.LoadBefore = loadAverage()
	b := cancelBench{plan: a.plan, program: a.cancello, cluster: cluster, pair: pair, result: &r}
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{{"clear", b.inClear}, {"TLS", b.overTLS}, {"forged", b.forgeries}} {
		if a.plan.only != "" && a.plan.only != part.name {
			continue
		}
		if err := part.run(ctx); err != nil {
			return err
		}
	}
	progress("\r\033[K")
	r.LoadAfter, r.Took = loadAverage(), time.Since(r.Began).Seconds()
	fmt.Print(r.table())
	if a.out != "" {
		if err := r.write(a.out); err != nil {
			return err
		}
	}
	return r.broken()
}

// cancelBench is a run under way.
type cancelBench struct {
	plan    cancelPlan
	program string
	cluster *postgres.Cluster
	pair    keyPair
	result  *cancelResult
}

// open starts both proxies.
func (b *cancelBench) open(ctx context.Context, as setup) (*stage, error) {
	s, err := openStage(b.cluster, as)
	if err != nil {
		return nil, err
	}
	if as.pair != nil {
		err = s.encrypt(*as.pair)
	}
	if err == nil {
		err = s.startCancello(ctx, b.program)
	}
	if err == nil {
		err = s.startPgBouncer(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	b.result.PgBouncer = s.bouncerVersion
	return s, nil
}

// inClear is one at a time, and then the crowd, with pools that have a server for everybody.
func (b *cancelBench) inClear(ctx context.Context) (err error) {
	people := b.plan.crowd + b.plan.watchers
	s, err := b.open(ctx, setup{pool: people + 10, clients: 3 * people, sslmode: "disable"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := b.latency(ctx, s, inClear); err != nil {
		return err
	}
	return b.crowds(ctx, s)
}

// overTLS is one at a time once more, with TLS between the client and the proxy, and the proxy and PostgreSQL.
func (b *cancelBench) overTLS(ctx context.Context) (err error) {
	s, err := b.open(ctx, setup{pool: poolSize, clients: maxClients, sslmode: "require", pair: &b.pair})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return b.latency(ctx, s, withTLS)
}

// everybody are the ways to the server, in an order that turns with the round.
func everybody(s *stage, round int) []target {
	all := append([]target{s.direct}, s.proxies...)
	turn := round % len(all)
	return append(append([]target{}, all[turn:]...), all[:turn]...)
}

// freeAddr is a loopback address that nobody listens on at this moment.
func freeAddr() (string, error) {
	port, err := freePort()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}
