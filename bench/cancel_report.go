package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The parts of a run.
const (
	partCrowd  = "at once"
	partForged = "forged"
)

// partOf is the part that cancels one at a time over a transport.
func partOf(over transport) string { return "one at a time, " + string(over) }

// cancelFigure is one target in one round of a part.
type cancelFigure struct {
	Part    string  `json:"part"`
	Target  string  `json:"target"`
	Cancels int     `json:"cancels"`
	P50     float64 `json:"p50_us,omitempty"`
	P99     float64 `json:"p99_us,omitempty"`
	All     float64 `json:"all_ms,omitempty"` // until the last of a crowd had its error
	CPU     float64 `json:"cpu_us_per_request,omitempty"`
	Rate    float64 `json:"requests_per_second,omitempty"`
	Lost    int     `json:"lost"`
	Stray   int     `json:"stray"`
	Dialed  int     `json:"dialed"` // servers, for forged requests
}

// cancelResult is a whole run, as it is written.
type cancelResult struct {
	Began      time.Time      `json:"began"`
	Took       float64        `json:"seconds"`
	Machine    string         `json:"machine"`
	LoadBefore string         `json:"load_before"` // the load average of the last minute
	LoadAfter  string         `json:"load_after"`
	Go         string         `json:"go"`
	PostgreSQL string         `json:"postgresql"`
	Cancello   string         `json:"cancello"`
	PgBouncer  string         `json:"pgbouncer,omitempty"`
	Plan       toldPlan       `json:"plan"`
	Figures    []cancelFigure `json:"figures"` // in the order they were made
}

// toldPlan is a plan as the result tells it.
type toldPlan struct {
	Rounds int     `json:"rounds"`
	Each   int     `json:"cancels_each"`
	Crowd  int     `json:"at_once"`
	Forged float64 `json:"forged_seconds_each"`
}

func (p cancelPlan) told() toldPlan { return toldPlan{p.rounds, p.each, p.crowd, p.forged.Seconds()} }

func (r *cancelResult) add(f cancelFigure) { r.Figures = append(r.Figures, f) }

// cancelColumn is one of the figures of a part.
type cancelColumn struct {
	title    string
	of       func(cancelFigure) float64
	decimals int
}

// section is how a part is shown: each target, and its ratio to the base.
type section struct {
	part, title, base string
	columns           []cancelColumn
}

// sections are the parts that were asked for.
func (r *cancelResult) sections() []section {
	latency := []cancelColumn{
		{"p50 us", func(f cancelFigure) float64 { return f.P50 }, 0},
		{"p99 us", func(f cancelFigure) float64 { return f.P99 }, 0},
	}
	all := []section{
		{partOf(inClear), fmt.Sprintf("one at a time, in clear, %d in a round", r.Plan.Each), "direct", latency},
		{partOf(withTLS), fmt.Sprintf("one at a time, TLS, %d in a round", r.Plan.Each), "direct", latency},
		{partCrowd, fmt.Sprintf("%d at once", r.Plan.Crowd), "direct", []cancelColumn{
			{"all, ms", func(f cancelFigure) float64 { return f.All }, 1},
		}},
		{partForged, "forged", bareName, []cancelColumn{
			{"CPU us/request", func(f cancelFigure) float64 { return f.CPU }, 1},
			{"requests/s", func(f cancelFigure) float64 { return f.Rate }, 0},
		}},
	}
	return slices.DeleteFunc(all, func(s section) bool { return len(r.figures(s.part, s.base)) == 0 })
}

const (
	cancelNameWidth = 46
	countWidth      = 10
)

// heading says what was measured, where.
func (r *cancelResult) heading() []string {
	bouncer := "no PgBouncer here (run `make pg`, put it on PATH, or set PGBOUNCER)"
	if r.PgBouncer != "" {
		bouncer = "PgBouncer " + r.PgBouncer
	}
	return []string{
		fmt.Sprintf("PostgreSQL %s, Cancello %s in transaction mode, %s", r.PostgreSQL, r.Cancello, bouncer),
		fmt.Sprintf("%s; load average %s before, %s after; %s, %.0f s", r.Machine, r.LoadBefore, r.LoadAfter, r.Began.Format(time.DateOnly), r.Took),
		fmt.Sprintf("median (lowest-highest) of %d interleaved rounds; ratios are of the two in one round", r.Plan.Rounds),
	}
}

// legend is what a reader of the figures must know.
func (r *cancelResult) legend() string {
	words := `One at a time, at once: from the request's dial to the client's 57014; the query had begun. lost: its query ran on.
stray: it ended a query that it was not for. forged: the key of a client that is there, but for a bit; bare is a server
in Go that accepts, reads and closes, lean the same in one thread without Go's network, as in C; CPU is the process
alone, by the kernel's accounting, and is to be 1.3 of bare's at most; dialed: servers, which nobody should.
`
	if r.PgBouncer != "" { // without a handshake with the server there is less to do
		words = "PgBouncer carries cancels to PostgreSQL in clear, whatever server_tls_sslmode says: its TLS is the client's leg alone.\n" + words
	}
	return words
}

// table shows the medians of the rounds, in brackets the lowest and the highest, and what was lost or hit another in
// all of them.
func (r *cancelResult) table() string {
	var out strings.Builder
	out.WriteString("\nCancels. " + strings.Join(r.heading(), "\n") + "\n")
	for _, s := range r.sections() {
		lines := append([]line{{name: s.title, cells: s.titles()}}, r.lines(s)...)
		for i, l := range lines {
			if i == 0 {
				fmt.Fprintf(&out, "\n%-*s", cancelNameWidth, l.name)
			} else {
				fmt.Fprintf(&out, "  %-*s", cancelNameWidth-2, l.name)
			}
			for i, cell := range l.cells {
				width := cellWidth
				if i >= len(s.columns) {
					width = countWidth
				}
				fmt.Fprintf(&out, "%*s", width, cell)
			}
			out.WriteString("\n")
		}
	}
	return out.String() + "\n" + r.legend()
}

// titles are those of the columns: figures, then counts.
func (s section) titles() []string {
	var all []string
	for _, c := range s.columns {
		all = append(all, c.title)
	}
	if s.part == partForged {
		return append(all, "dialed")
	}
	return append(all, "lost", "stray")
}

// lines are everybody's figures in a part, then the ratios to its base, which have no counts.
func (r *cancelResult) lines(s section) []line {
	var all, ratiosTo []line
	base := r.figures(s.part, s.base)
	for _, name := range r.targets(s) {
		figures := r.figures(s.part, name)
		own, ratio := line{name: name}, line{name: name + "/" + s.base}
		for _, c := range s.columns {
			own.cells = append(own.cells, spreadOf(valuesOf(figures, c)).format(c.decimals))
			ratio.cells = append(ratio.cells, spreadOf(ratios(valuesOf(figures, c), valuesOf(base, c))).format(2))
		}
		lost, stray, dialed := counted(figures)
		switch {
		case s.part != partForged:
			own.cells = append(own.cells, itoa(lost), itoa(stray))
		case name == "cancello": // nobody looks at what the others dial
			own.cells = append(own.cells, itoa(dialed))
		}
		all = append(all, own)
		if name != s.base {
			ratiosTo = append(ratiosTo, ratio)
		}
	}
	return append(all, ratiosTo...)
}

// targets are who was measured in a part, its base first.
func (r *cancelResult) targets(s section) []string {
	return slices.DeleteFunc([]string{s.base, leanName, "cancello", "pgbouncer"}, func(name string) bool { return len(r.figures(s.part, name)) == 0 })
}

// figures are those of a target in order, so that the i-th of two targets are a pair.
func (r *cancelResult) figures(part, target string) []cancelFigure {
	var all []cancelFigure
	for _, f := range r.Figures {
		if f.Part == part && f.Target == target {
			all = append(all, f)
		}
	}
	return all
}

func valuesOf(figures []cancelFigure, c cancelColumn) []float64 {
	var v []float64
	for _, f := range figures {
		v = append(v, c.of(f))
	}
	return v
}

// counted adds up what must not be.
func counted(figures []cancelFigure) (lost, stray, dialed int) {
	for _, f := range figures {
		lost, stray, dialed = lost+f.Lost, stray+f.Stray, dialed+f.Dialed
	}
	return lost, stray, dialed
}

// broken is an error where Cancello, or PostgreSQL itself, has not kept what Cancello promises. What PgBouncer does is
// shown, and no fault of the run.
func (r *cancelResult) broken() error {
	var faults []error
	for _, f := range r.Figures {
		if f.Target == "pgbouncer" {
			continue
		}
		if f.Lost+f.Stray+f.Dialed > 0 {
			faults = append(faults, fmt.Errorf("%s, %s: %d lost, %d stray, %d servers dialed of %d cancels", f.Target, f.Part, f.Lost, f.Stray, f.Dialed, f.Cancels))
		}
	}
	return errors.Join(faults...)
}
