package main

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sample is a run of the bench plan's simple part.
func sample() *result {
	p := benchPlan()
	p.parts = []part{partQueries(simple, 10), partMany(100)}
	r := &result{Plan: "bench", PostgreSQL: "18.4", Versions: map[string]string{"pgbouncer": "1.18.0"}, Machine: "a machine", LoadBefore: "0.1", LoadAfter: "0.2", PoolSize: 20, Pairs: 3, Seconds: 1.5, plan: p}
	add := func(trial, target string, round int, f figures) {
		r.Measurements = append(r.Measurements, measurement{"simple", trial, target, round, f})
	}
	for i, cpu := range []float64{10, 12, 30} {
		add("simple, 10 clients", "cancello", i, figures{"cpu": cpu, "rate": 1000, "p50": 100, own: 5})
		add("simple, 10 clients", "pgbouncer", i, figures{"cpu": 2 * cpu, "rate": 500 + float64(i), "p50": 200, own: 5})
	}
	add("simple, 10 clients", "direct", 0, figures{"rate": 4000, "p50": 20, own: 5})
	r.leave("simple", "odyssey: it is not here")
	return r
}

func TestTable(t *testing.T) {
	r := sample()
	got := strings.Join(strings.Fields(r.table()), " ")
	for _, want := range []string{
		"simple, 10 clients CPU us/query queries/s p50 us",
		"cancello 12.0 (10.0-30.0) 1000 (1000-1000) 100 (100-100)",
		"pgbouncer 24.0 (20.0-60.0) 501 (500-502)",
		"direct 4000 (4000-4000)", // no CPU: there is no proxy
		"cancello/pgbouncer 0.50 (0.50-0.50) 2.00 (1.99-2.00) 0.50 (0.50-0.50)",
		"pgbouncer 1.18.0", "load average 0.1 before, 0.2 after", "without odyssey: it is not here",
		"took 5.0 us",
		"simple, 10 clients: CPU us/query, to PgBouncer's at most 1.1 0.50 (0.50-0.50) reached",
		"TLS, simple, 10 clients: CPU us/query, to PgBouncer's at most 1 not measured",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, r.table())
		}
	}
}

// A goal that is missed is told as such, and a ratio between trials is of Cancello alone.
func TestVerdicts(t *testing.T) {
	r := sample()
	for i := range r.Measurements {
		if m := &r.Measurements[i]; m.Target == "cancello" {
			m.Figures["cpu"] *= 3
		}
	}
	for round := range 3 {
		r.Measurements = append(r.Measurements,
			measurement{"crowd", "simple, 50 clients", "cancello", round, figures{"rate": 100}},
			measurement{"crowd", "simple, 2000 clients", "cancello", round, figures{"rate": 95}},
			measurement{"prepared", "prepared, 50 clients", "pgbouncer", round, figures{"cpu": 10}},
			measurement{"prepared", "prepared, 50 clients", "cancello", round, figures{"cpu": 9}},
			measurement{"prepared", "prepared, 50 clients", sharing, round, figures{"cpu": 11}})
	}
	words := map[string]string{}
	for _, v := range r.verdicts() {
		words[v.what] = v.figure + " " + v.word
	}
	for what, want := range map[string]string{
		"simple, 10 clients: CPU us/query, to PgBouncer's":                     "1.50 (1.50-1.50) not reached",
		"simple, 2000 clients: queries/s, to that of 50 clients":               "0.95 (0.95-0.95) reached",
		"prepared, 50 clients: CPU us/query, to PgBouncer's":                   "0.90 (0.90-0.90) reached",
		"transaction mode, prepared, 50 clients: CPU us/query, to PgBouncer's": "1.10 (1.10-1.10) not reached",
		"transaction mode, prepared, 10 clients: CPU us/query, to PgBouncer's": "", // nobody was measured
	} {
		if words[what] != want {
			t.Errorf("%s: %q, want %q; there are %v", what, words[what], want, words)
		}
	}
}

// Without PgBouncer there is nothing to divide by, and no line pretends there is.
func TestTableWithoutPgBouncer(t *testing.T) {
	r := sample()
	var left []measurement
	for _, m := range r.Measurements {
		if m.Target != "pgbouncer" {
			left = append(left, m)
		}
	}
	r.Measurements, r.Versions = left, nil
	if got := r.table(); strings.Contains(got, "cancello/pgbouncer") || strings.Contains(got, "0.00") || strings.Contains(got, "NaN") {
		t.Error(got)
	}
}

// A run leaves a page whose pictures are there, each of them well-formed.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	if err := sample().write(dir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "bench.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# Figures of `make bench`", "| cancello | 12.0 (10.0-30.0) |", "## Goals", "](bench-simple-cpu.svg)", "[bench.json](bench.json)", "Without odyssey"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	pictures, _ := filepath.Glob(filepath.Join(dir, "*.svg"))
	if len(pictures) != strings.Count(string(page), ".svg)") || len(pictures) == 0 {
		t.Errorf("%v", pictures)
	}
	for _, name := range pictures {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for d := xml.NewDecoder(strings.NewReader(string(b))); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if !strings.Contains(string(b), "#e09f3e") {
			t.Errorf("%s: PgBouncer is not drawn", name)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "bench.json"))
	if err != nil || !strings.Contains(string(b), `"seconds_each": 1.5`) || !strings.Contains(string(b), `"cpu": 10`) {
		t.Errorf("%v\n%s", err, b)
	}
}

// What the goals are about is measured by the plan that they belong to.
func TestGoalsAreMeasured(t *testing.T) {
	there := map[string]bool{}
	for _, p := range benchPlan().parts {
		for _, t := range p.trials {
			there[p.name+": "+t.name] = true
		}
	}
	for _, g := range goals() {
		if !there[g.part+": "+g.trial] {
			t.Errorf("nobody measures %s: %s", g.part, g.trial)
		}
		if titleOf(g.column) == g.column {
			t.Errorf("there is no column %s", g.column)
		}
	}
}

func TestArgs(t *testing.T) {
	a, err := parseArgs([]string{"-pairs", "2", "-time", "60ms", "-only", "simple,idle", "-out", "x"})
	if err != nil || a.pairs != 2 || a.took != 60*time.Millisecond || len(a.parts) != 2 || a.parts[1].name != "idle" || a.out != "x" || a.plan.name != "bench" {
		t.Errorf("%+v, %v", a, err)
	}
	for words, want := range map[string]string{
		"fast": `what is "fast"?`, "-pairs=-1": "at least 1", "-time=1ms": "at least 50ms", "-only=x": `no part "x"; there are simple`, "-quick -full": "name one",
	} {
		if _, err := parseArgs(strings.Fields(words)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", words, err, want)
		}
	}
	if _, err := parseArgs([]string{"-help"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-help: %v", err)
	}
}

func TestVersions(t *testing.T) {
	for said, want := range map[string]string{
		"PgBouncer 1.18.0\nlibevent 2.1.12-stable\n": "1.18.0",
		"pgpool-II version 4.3.5 (tamahomeboshi)":    "4.3.5",
		"odyssey (version: 1.3 release)":             "1.3",
		"what?":                                      "",
	} {
		if got := parseVersion(said); got != want {
			t.Errorf("%q: %q", said, got)
		}
	}
	for version, want := range map[string]bool{"1.18.0": false, "1.21.0": true, "1.25.2": true, "2.0": true, "x": false} {
		if got := sharesStatements(version); got != want {
			t.Errorf("%s: %v", version, got)
		}
	}
	for _, c := range []struct {
		prepared      bool
		version, want string
	}{{true, "1.18.0", "session"}, {true, "1.25.2", "transaction"}, {true, "", "transaction"}, {false, "1.18.0", "transaction"}} {
		if got := (&stage{setup: setup{prepared: c.prepared}}).mode(c.version); got != c.want {
			t.Errorf("prepared %v, PgBouncer %q: %s", c.prepared, c.version, got)
		}
	}
}

func TestFindPooler(t *testing.T) {
	t.Setenv("PGBOUNCER", "/nowhere/pgbouncer")
	if found, err := pgBouncer.find(); err == nil {
		t.Errorf("one that is not there was found: %s", found)
	}
	t.Setenv("PGBOUNCER", "/bin/sh")
	if found, err := pgBouncer.find(); err != nil || found != "/bin/sh" {
		t.Errorf("%q, %v", found, err)
	}
	if found, err := (pooler{programs: []string{"no-such-pooler"}}).find(); err != nil || found != "" {
		t.Errorf("%q, %v", found, err)
	}
}

// What each pooler is asked for says the same, and what one can't do is said.
func TestCommands(t *testing.T) {
	all := setup{upstream: "127.0.0.1:5432", pool: 20, clients: 100, sslmode: "disable"}
	for name, c := range map[string]struct {
		change func(*setup)
		cannot map[string]bool
	}{
		"plain":     {func(*setup) {}, nil},
		"crowd":     {func(s *setup) { s.clients = 2000 }, map[string]bool{"pgpool": true, "pgagroal": true}},
		"SCRAM":     {func(s *setup) { s.password = "p" }, map[string]bool{"pgagroal": true}},
		"databases": {func(s *setup) { s.databases = 3 }, map[string]bool{"pgpool": true, "pgagroal": true}},
		"prepared":  {func(s *setup) { s.prepared = true }, map[string]bool{"pgagroal": true}},
	} {
		for _, p := range poolers {
			s := &stage{setup: all, dir: t.TempDir()}
			c.change(&s.setup)
			account := os.Geteuid() == 0
			if account && (p.name == "pgpool" || p.name == "pgagroal") && !c.cannot[p.name] {
				continue // they need the account that a cluster has
			}
			args, err := p.command(s, 7777, "1.18.0")
			var reason unable
			if errors.As(err, &reason) != c.cannot[p.name] {
				t.Errorf("%s, %s: %v", name, p.name, err)
			}
			if err != nil || account && p.name != "pgbouncer" && p.name != "odyssey" {
				continue
			}
			text, err := os.ReadFile(args[len(args)-1])
			if err != nil || !strings.Contains(string(text), "7777") {
				t.Errorf("%s, %s: %v\n%s", name, p.name, err, text)
			}
		}
	}
}

// Who is measured differently is told of where it was measured.
func TestHeadingNotesDifferences(t *testing.T) {
	r := &result{}
	r.Versions = map[string]string{"pgbouncer": "1.18.0", "pgagroal": "1.6.0"}
	said := strings.Join(r.heading(), "\n")
	if !strings.Contains(said, "pgagroal leases a server for as long as its client stays") || strings.Contains(said, "odyssey") {
		t.Error(said)
	}
}
