package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func sample() result {
	r := result{Cores: 2, PostgreSQL: "18.4", PgBouncer: "1.18.0", PoolSize: 20, Pairs: 3, Seconds: 1.5}
	for i, cpu := range []float64{10, 12, 30} {
		r.Measurements = append(r.Measurements,
			measurement{Target: "cancello", Script: "simple", Clients: 10, CPU: cpu, Rate: 1000, P50: 100, P99: 400, Generator: 5},
			measurement{Target: "pgbouncer", Script: "simple", Clients: 10, CPU: 2 * cpu, Rate: 500 + float64(i), P50: 200, P99: 400, Generator: 5})
	}
	r.Measurements = append(r.Measurements, measurement{Target: "direct", Script: "simple", Clients: 10, Rate: 4000, P50: 20, P99: 40, Generator: 5})
	return r
}

func TestTable(t *testing.T) {
	r := sample()
	got := strings.Join(strings.Fields(r.table()), " ")
	for _, want := range []string{
		"simple, 10 clients CPU us/query queries/s p50 us p99 us",
		"cancello 12.0 (10.0-30.0) 1000 (1000-1000) 100 (100-100) 400 (400-400)",
		"pgbouncer 24.0 (20.0-60.0) 501 (500-502)",
		"direct 4000 (4000-4000)", // no CPU: there is no proxy
		"cancello/pgbouncer 0.50 (0.50-0.50) 2.00 (1.99-2.00) 0.50 (0.50-0.50) 1.00 (1.00-1.00)",
		"PgBouncer 1.18.0",
		"took 5.0 us",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, r.table())
		}
	}
}

// Without PgBouncer there is nothing to divide by, and no line pretends there is.
func TestTableWithoutPgBouncer(t *testing.T) {
	r := sample()
	r.PgBouncer = ""
	var left []measurement
	for _, m := range r.Measurements {
		if m.Target != "pgbouncer" {
			left = append(left, m)
		}
	}
	r.Measurements = left
	got := r.table()
	if !strings.Contains(got, "no PgBouncer") || strings.Contains(got, "cancello/pgbouncer") || strings.Contains(got, "0.00") || strings.Contains(got, "NaN") {
		t.Error(got)
	}
}

func TestJSON(t *testing.T) {
	r := sample()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"cpu_us_per_query":10`, `"target":"direct"`, `"pgbouncer":"1.18.0"`, `"seconds_each":1.5`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
}

func TestLength(t *testing.T) {
	p := plan{pairs: 7, direct: 3, took: 1700 * time.Millisecond, warm: 300 * time.Millisecond, clients: []int{1, 10, 50}}
	if got := p.length(2); got != 204*time.Second {
		t.Errorf("%v", got)
	}
}

func TestBouncerVersion(t *testing.T) {
	if got := parseBouncerVersion("PgBouncer 1.18.0\nlibevent 2.1.12-stable\n"); got != "1.18.0" {
		t.Errorf("%q", got)
	}
}

func TestFindPgBouncer(t *testing.T) {
	t.Setenv("PGBOUNCER", "/nowhere/pgbouncer")
	if found, err := findPgBouncer(); err == nil {
		t.Errorf("one that is not there was found: %s", found)
	}
	t.Setenv("PGBOUNCER", "/bin/sh")
	if found, err := findPgBouncer(); err != nil || found != "/bin/sh" {
		t.Errorf("%q, %v", found, err)
	}
}
