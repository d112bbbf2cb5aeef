package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cancello/internal/pgtest"
	"cancello/internal/postgres"
	"cancello/internal/wire"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// All scripts get their row from a real server, from one client and from several.
func TestQueries(t *testing.T) {
	c := pgtest.Start(t, 18)
	p := pace{took: 50 * time.Millisecond, warm: time.Millisecond}
	for _, s := range []*script{simple, extended, prepared, rowsOf(3, 100)} {
		for _, clients := range []int{1, 5} {
			f, err := queries(target{name: "direct", addr: c.Addr()}, s, clients, p)
			if err != nil {
				t.Fatalf("%s, %d clients: %v", s.name, clients, err)
			}
			if f["rate"] <= 0 || f["p50"] <= 0 || f["p99"] < f["p50"] || f["p999"] < f["p99"] || f[own] <= 0 || f["cpu"] != 0 {
				t.Errorf("%v", f)
			}
		}
	}
}

// A wrong answer ends the measurement: a proxy is not fast because it fails.
func TestWrongAnswer(t *testing.T) {
	c := pgtest.Start(t, 18)
	for text, want := range map[string]string{
		"SELECT 1/0":                  "division by zero (22012)",
		"SELECT 1 WHERE false":        "answered with 0 rows",
		"SELECT generate_series(1,2)": "answered with 2 rows",
	} {
		s := &script{name: "wrong", bytes: wire.AppendQuery(nil, text), rows: 1}
		_, err := queries(target{name: "direct", addr: c.Addr()}, s, 1, pace{took: time.Millisecond})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// Every kind of thing is measured once, of Cancello and of whoever else is here. Nothing is said of how it does.
func TestEveryPart(t *testing.T) {
	install, err := postgres.Find(18)
	if err != nil {
		pgtest.Missing(t, "PostgreSQL 18: "+err.Error())
	}
	program := filepath.Join(t.TempDir(), "cancello")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/cancello").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p := quickPlan()
	p.took, p.warm = 50*time.Millisecond, 10*time.Millisecond
	p.parts = []part{
		partQueries(simple, 1, 10), partQueries(prepared, 10), partTLS(10), partLogins(""), partLogins(benchPassword),
		partFlow([]int{kb, mb}, []int{mb}), partIdle(false, time.Millisecond, 50), partIdle(true, time.Millisecond, 20), partDatabases(3, 2, 10),
	}
	p.parts[0].setup.others = true
	r, err := runPlan(context.Background(), p, program, install)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range p.parts {
		for _, trial := range part.trials {
			got := figures{}
			for _, c := range columns {
				if s, ok := r.spread(part.name, trial.name, "cancello", c.key); ok {
					got[c.key] = s.median
				}
			}
			t.Logf("%s, %s: %v", part.name, trial.name, got)
			switch {
			case part.fresh && len(got) != 2: // what a client takes may be nothing, or less
				t.Errorf("%s, %s: %v", part.name, trial.name, got)
			case !part.fresh && (len(got) < 3 || got["rate"]+got["logins"]+got["mb"] <= 0 || got["cpu"]+got["login_cpu"]+got["mb_cpu"] <= 0):
				t.Errorf("%s, %s: %v", part.name, trial.name, got)
			}
		}
	}
	for _, l := range r.Left {
		t.Logf("%s without %s", l.Part, l.Reason)
	}
	if err := r.write(t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestParseKB(t *testing.T) {
	const text = "Name:\tx\nVmHWM:\t   1234 kB\nPss:                 77 kB\n"
	for line, want := range map[string]float64{"VmHWM:": 1234, "Pss:": 77} {
		if got, err := parseKB(text, line); err != nil || got != want {
			t.Errorf("%s %v, %v", line, got, err)
		}
	}
	if _, err := parseKB(text, "VmRSS:"); err == nil {
		t.Error("a line that is not there is read")
	}
}

func TestSizeName(t *testing.T) {
	for n, want := range map[int]string{5: "5 B", kb: "1 KB", 64 * mb: "64 MB", gb: "1 GB"} {
		if got := sizeName(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
