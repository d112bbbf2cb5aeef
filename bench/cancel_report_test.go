package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func cancelSample() cancelResult {
	r := cancelResult{Machine: "a machine, 2 cores", LoadBefore: "0.10", LoadAfter: "1.90", PostgreSQL: "18.4", PgBouncer: "1.18.0", Plan: toldPlan{Rounds: 3, Each: 50, Crowd: 200}}
	for i := range 3 {
		scale := float64(i + 1) // what a moment does to one it does to the other: the ratio of each pair is the same
		r.add(cancelFigure{Part: partOf(inClear), Target: "direct", Cancels: 50, P50: 100 * scale, P99: 400})
		r.add(cancelFigure{Part: partOf(inClear), Target: "cancello", Cancels: 50, P50: 120 * scale, P99: 400})
		r.add(cancelFigure{Part: partCrowd, Target: "direct", Cancels: 200, All: 20})
		r.add(cancelFigure{Part: partCrowd, Target: "pgbouncer", Cancels: 200, All: 40, Lost: 1, Stray: 2})
		r.add(cancelFigure{Part: partForged, Target: bareName, Cancels: 1000, CPU: 10, Rate: 9000})
		r.add(cancelFigure{Part: partForged, Target: "cancello", Cancels: 1000, CPU: 13, Rate: 9000})
		r.add(cancelFigure{Part: partForged, Target: "pgbouncer", Cancels: 1000, CPU: 5, Rate: 9000})
	}
	return r
}

func TestCancelTable(t *testing.T) {
	r := cancelSample()
	var lines []string
	for line := range strings.Lines(r.table()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	got := strings.Join(lines, "\n") + "\n"
	for _, want := range []string{
		"a machine, 2 cores; load average 0.10 before, 1.90 after",
		"one at a time, in clear, 50 in a round p50 us p99 us lost stray\ndirect 200 (100-300) 400 (400-400) 0 0\ncancello 240 (120-360) 400 (400-400) 0 0\ncancello/direct 1.20 (1.20-1.20) 1.00 (1.00-1.00)\n",
		"pgbouncer 40.0 (40.0-40.0) 3 6\npgbouncer/direct 2.00 (2.00-2.00)\n",
		"PgBouncer carries cancels to PostgreSQL in clear",
		"bare 10.0 (10.0-10.0) 9000 (9000-9000)\ncancello 13.0 (13.0-13.0) 9000 (9000-9000) 0\npgbouncer 5.0 (5.0-5.0) 9000 (9000-9000)\ncancello/bare 1.30 (1.30-1.30)",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "one at a time, TLS") {
		t.Error("a part that was not measured is shown")
	}
	r.PgBouncer = ""
	if got := r.table(); !strings.Contains(got, "no PgBouncer here") || strings.Contains(got, "server_tls_sslmode") {
		t.Error(got)
	}
}

// The page has a table for each part that was measured, and plots of what stands in it.
func TestCancelPage(t *testing.T) {
	r := cancelSample()
	dir := t.TempDir()
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, name := range []string{"cancel.md", "cancel.json", "cancel-latency.svg", "cancel-crowd.svg", "cancel-forged.svg"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	for name, wants := range map[string][]string{
		"cancel.md": {
			"## One at a time, in clear, 50 in a round\n\n| | p50 us | p99 us | lost | stray |\n|---|---|---|---|---|\n| direct | 200 (100-300) | 400 (400-400) | 0 | 0 |",
			"| cancello/direct | 1.20 (1.20-1.20) | 1.00 (1.00-1.00) |  |  |", "## Forged", "| bare | 10.0 (10.0-10.0) | 9000 (9000-9000) |  |", "](cancel-latency.svg)",
		},
		"cancel-latency.svg": {">direct<", ">cancello<", "one at a time, clear"},
		"cancel-forged.svg":  {">bare<", ">13.0<"},
	} {
		for _, want := range wants {
			if !strings.Contains(files[name], want) {
				t.Errorf("%s: no %q in\n%s", name, want, files[name])
			}
		}
	}
	if strings.Contains(files["cancel.md"], "TLS, 50") || strings.Contains(files["cancel-latency.svg"], "TLS") {
		t.Error("a part that was not measured is shown")
	}
}

// The run fails by what Cancello or PostgreSQL does, not by what PgBouncer does.
func TestBroken(t *testing.T) {
	r := cancelSample()
	if err := r.broken(); err != nil {
		t.Error(err)
	}
	for want, f := range map[string]cancelFigure{
		"cancello, at once: 1 lost, 0 stray, 0 servers dialed of 200 cancels": {Part: partCrowd, Target: "cancello", Cancels: 200, Lost: 1},
		"direct, at once: 0 lost, 1 stray, 0 servers dialed of 200 cancels":   {Part: partCrowd, Target: "direct", Cancels: 200, Stray: 1},
		"cancello, forged: 0 lost, 0 stray, 1 servers dialed of 9 cancels":    {Part: partForged, Target: "cancello", Cancels: 9, Dialed: 1},
	} {
		r := cancelSample()
		r.add(f)
		if err := r.broken(); err == nil || err.Error() != want {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestCancelJSON(t *testing.T) {
	b, err := json.Marshal(cancelSample())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"load_before":"0.10"`, `"at_once":200`, `"part":"forged","target":"cancello","cancels":1000,"cpu_us_per_request":13,`, `"lost":0`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
}
