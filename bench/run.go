package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"cancello/internal/postgres"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"
)

// benchPassword is the role's, wherever one is asked for: of a server that listens on this machine while it is measured.
const benchPassword = "bench"

func itoa(n int) string { return strconv.Itoa(n) }

// bench is a run under way.
type bench struct {
	plan
	program  string // Cancello's
	cluster  *postgres.Cluster
	pair     keyPair
	verifier string // of benchPassword
	result   *result
}

// runPlan sets everything up, measures, and takes it down again.
func runPlan(ctx context.Context, p plan, cancello string, install postgres.Install) (r *result, err error) {
	cluster, err := postgres.New(ctx, postgres.Options{
		Install: install, Template: true,
		// Nothing of its own to do while it is measured.
		Settings: map[string]string{"autovacuum": "off", "max_connections": "1200", "checkpoint_timeout": "1h", "max_wal_size": "4GB"},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	r = &result{
		Began: time.Now().UTC(), Plan: p.name, Machine: machine(), Go: runtime.Version(), PostgreSQL: install.Version, Cancello: buildOf(ctx, cancello),
		Versions: map[string]string{}, LoadBefore: loadAverage(), Pairs: p.pairs, Seconds: p.took.Seconds(), PoolSize: poolSize, plan: p,
	}
	b := &bench{plan: p, program: cancello, cluster: cluster, result: r}
	if b.pair, err = selfSigned(); err != nil {
		return nil, err
	}
	if b.verifier, err = prepareServer(ctx, cluster); err != nil {
		return nil, err
	}
	for _, part := range p.parts {
		if err := b.part(ctx, part); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	progress("\r\033[K")
	r.LoadAfter, r.Took = loadAverage(), time.Since(r.Began).Seconds()
	return r, nil
}

// prepareServer makes what the trials need, and says how the role's password is kept.
func prepareServer(ctx context.Context, c *postgres.Cluster) (verifier string, err error) {
	conn, err := pgconn.Connect(ctx, fmt.Sprintf("postgres://%s@%s/%[1]s?sslmode=disable", role, c.Addr()))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	sql := makeSink + "; SET password_encryption = 'scram-sha-256'; ALTER ROLE " + role + " PASSWORD '" + benchPassword + "'; " +
		"SELECT rolpassword FROM pg_authid WHERE rolname = '" + role + "'"
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return "", err
	}
	rows := results[len(results)-1].Rows
	if len(rows) != 1 {
		return "", errors.New("the role has no password")
	}
	return string(rows[0][0]), nil
}

// open starts everybody for a part.
func (b *bench) open(ctx context.Context, p part) (*stage, error) {
	s, err := openStage(b.cluster, p.setup)
	if err != nil {
		return nil, err
	}
	if s.password != "" {
		s.verifier = b.verifier
	}
	if p.tls {
		err = s.encrypt(b.pair)
	}
	for _, start := range []func(context.Context) error{
		func(ctx context.Context) error { return s.startCancello(ctx, b.program) }, s.startPgBouncer, s.startOthers,
	} {
		if err == nil && (p.setup.others || len(s.proxies) < 2) {
			err = start(ctx)
		}
	}
	if err == nil {
		err = s.startSharing(ctx, b.program)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	for name, v := range s.versions {
		b.result.Versions[name] = v
	}
	for _, reason := range s.absent {
		b.result.leave(p.name, reason)
	}
	return s, nil
}

// part measures every trial in every round. Inside a trial one proxy follows the other at once, and the one that begins
// changes with the round.
func (b *bench) part(ctx context.Context, p part) (err error) {
	if p.fresh {
		for round := range b.pairs {
			for _, t := range p.trials {
				if err := b.freshly(ctx, p, t, round); err != nil {
					return err
				}
			}
		}
		return nil
	}
	s, err := b.open(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for round := range b.pairs {
		for _, t := range p.trials {
			if err := b.round(ctx, s, p, t, round); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) freshly(ctx context.Context, p part, t trial, round int) error {
	s, err := b.open(ctx, p)
	if err != nil {
		return err
	}
	return errors.Join(b.round(ctx, s, p, t, round), s.close())
}

// round measures one trial of everybody once.
func (b *bench) round(ctx context.Context, s *stage, p part, t trial, round int) error {
	targets := slices.Clone(s.proxies)
	turn := round % len(targets)
	targets = append(targets[turn:], targets[:turn]...)
	if t.direct && round < b.direct {
		targets = append(targets, s.direct)
	}
	for _, to := range targets {
		if err := ctx.Err(); err != nil {
			return errors.New("interrupted")
		}
		progress("\r\033[K%s: round %d of %d, %s, %s", p.name, round+1, b.pairs, t.name, to.name)
		f, err := t.run(ctx, to, b.pace)
		if err != nil {
			if to.name != "cancello" && to.process != nil { // the others' faults are told, and don't end the run
				b.result.leave(p.name, fmt.Sprintf("%s: %s: %v", to.name, t.name, firstLine(err)))
				continue
			}
			return fmt.Errorf("%s, %s: %w%s", to.name, t.name, err, to.lastWords())
		}
		b.result.Measurements = append(b.result.Measurements, measurement{p.name, t.name, to.name, round, f})
	}
	return nil
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// progress is for who watches; a file keeps the result alone.
func progress(format string, args ...any) {
	if _, err := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS); err == nil {
		fmt.Fprintf(os.Stderr, format, args...)
	}
}
