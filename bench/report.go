package main

import (
	"fmt"
	"strings"
	"time"
)

// result is a whole run, as -json writes it.
type result struct {
	Began        time.Time     `json:"began"`
	Cores        int           `json:"cores"`
	Go           string        `json:"go"`
	PostgreSQL   string        `json:"postgresql"`
	PgBouncer    string        `json:"pgbouncer,omitempty"`
	PoolSize     int           `json:"pool_size"`
	Pairs        int           `json:"pairs"`
	Seconds      float64       `json:"seconds_each"`
	Measurements []measurement `json:"measurements"` // in the order they were made
}

// column is one of the figures.
type column struct {
	title    string
	of       func(measurement) float64
	decimals int
	proxies  bool // it says nothing of the server alone
}

var columns = []column{
	{"CPU us/query", func(m measurement) float64 { return m.CPU }, 1, true},
	{"queries/s", func(m measurement) float64 { return m.Rate }, 0, false},
	{"p50 us", func(m measurement) float64 { return m.P50 }, 0, false},
	{"p99 us", func(m measurement) float64 { return m.P99 }, 0, false},
}

// rows are the targets in the order of a cell.
var rows = []string{"cancello", "pgbouncer", "direct"}

const (
	nameWidth = 22
	cellWidth = 24
)

// table shows the medians, and in brackets the lowest and the highest.
func (r *result) table() string {
	var out strings.Builder
	bouncer := "no PgBouncer"
	if r.PgBouncer != "" {
		bouncer = "PgBouncer " + r.PgBouncer
	}
	fmt.Fprintf(&out, "\n%s, transaction mode, pool of %d, PostgreSQL %s, %s, %d cores\n", query, r.PoolSize, r.PostgreSQL, bouncer, r.Cores)
	fmt.Fprintf(&out, "median (lowest-highest) of %d interleaved pairs, %.1f s each\n", r.Pairs, r.Seconds)
	for _, s := range scripts {
		for _, clients := range r.clientCounts() {
			r.cell(&out, s.name, clients)
		}
	}
	g := spreadOf(r.values("", "", 0, func(m measurement) float64 { return m.Generator }))
	fmt.Fprintf(&out, "\nThe load itself took %.1f us of CPU for each query. CPU is the proxy's process alone, by the kernel's accounting.\n", g.median)
	out.WriteString("Prepared statements are not measured: PgBouncer before 1.21 does not share them in transaction mode.\n")
	return out.String()
}

// cell writes the lines of one script and number of clients.
func (r *result) cell(out *strings.Builder, script string, clients int) {
	noun := "clients"
	if clients == 1 {
		noun = "client"
	}
	line := fmt.Sprintf("\n%-*s", nameWidth, fmt.Sprintf("%s, %d %s", script, clients, noun))
	for _, c := range columns {
		line += fmt.Sprintf("%*s", cellWidth, c.title)
	}
	out.WriteString(line + "\n")
	for _, name := range rows {
		line := fmt.Sprintf("  %-*s", nameWidth-2, name)
		seen := false
		for _, c := range columns {
			values := r.values(name, script, clients, c.of)
			seen = seen || len(values) > 0
			text := spreadOf(values).format(c.decimals)
			if c.proxies && name == "direct" {
				text = ""
			}
			line += fmt.Sprintf("%*s", cellWidth, text)
		}
		if seen {
			out.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	if r.PgBouncer == "" {
		return
	}
	line = fmt.Sprintf("  %-*s", nameWidth-2, "cancello/pgbouncer")
	for _, c := range columns {
		pairs := ratios(r.values("cancello", script, clients, c.of), r.values("pgbouncer", script, clients, c.of))
		line += fmt.Sprintf("%*s", cellWidth, spreadOf(pairs).format(2))
	}
	out.WriteString(line + "\n")
}

// values are a figure of all rounds, in order, so that the i-th of two targets are a pair. Empty or zero arguments
// stand for any.
func (r *result) values(target, script string, clients int, of func(measurement) float64) []float64 {
	var v []float64
	for _, m := range r.Measurements {
		if (target == "" || m.Target == target) && (script == "" || m.Script == script) && (clients == 0 || m.Clients == clients) {
			v = append(v, of(m))
		}
	}
	return v
}

// clientCounts are the numbers of clients, in the order they were first measured.
func (r *result) clientCounts() []int {
	var counts []int
	seen := map[int]bool{}
	for _, m := range r.Measurements {
		if !seen[m.Clients] {
			seen[m.Clients] = true
			counts = append(counts, m.Clients)
		}
	}
	return counts
}

func (s spread) format(decimals int) string {
	return fmt.Sprintf("%.*f (%.*f-%.*f)", decimals, s.median, decimals, s.low, decimals, s.high)
}
