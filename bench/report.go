package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// result is a whole run, as it is kept.
type result struct {
	Began        time.Time         `json:"began"`
	Took         float64           `json:"seconds"`
	Plan         string            `json:"plan"`
	Machine      string            `json:"machine"`
	LoadBefore   string            `json:"load_before"` // the load average of the last minute
	LoadAfter    string            `json:"load_after"`
	Go           string            `json:"go"`
	PostgreSQL   string            `json:"postgresql"`
	Cancello     string            `json:"cancello"`
	Versions     map[string]string `json:"versions"` // of the poolers
	PoolSize     int               `json:"pool_size"`
	Pairs        int               `json:"pairs"`
	Seconds      float64           `json:"seconds_each"`
	Left         []leftOut         `json:"left_out,omitempty"`
	Measurements []measurement     `json:"measurements"` // in the order they were made

	plan plan
}

// leftOut is what was not measured, and why.
type leftOut struct {
	Part   string `json:"part"`
	Reason string `json:"reason"`
}

// leave notes a reason once.
func (r *result) leave(part, reason string) {
	if l := (leftOut{part, reason}); !slices.Contains(r.Left, l) {
		r.Left = append(r.Left, l)
	}
}

// write puts everything into a folder: all measurements, a page for people, and its plots.
func (r *result) write(dir string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	files := map[string]string{r.Plan + ".json": string(text) + "\n", r.Plan + ".md": r.page()}
	maps.Copy(files, r.plots())
	return writeFolder(dir, files)
}

// writeFolder makes a folder and writes files into it, by their names.
func writeFolder(dir string, files map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// targets are who was measured in a trial: in the order of poolers, the server alone last.
func (r *result) targets(part, trial string) []string {
	seen := map[string]bool{}
	for _, m := range r.Measurements {
		seen[m.Target] = seen[m.Target] || m.Part == part && (trial == "" || m.Trial == trial)
	}
	all := []string{"cancello", sharing}
	for _, p := range poolers {
		all = append(all, p.name)
	}
	return slices.DeleteFunc(append(all, "direct"), func(name string) bool { return !seen[name] })
}

// values are a figure of all rounds, by round. Rounds in which it was not measured are not there.
func (r *result) values(part, trial, target, column string) map[int]float64 {
	v := map[int]float64{}
	for _, m := range r.Measurements {
		if m.Part == part && m.Trial == trial && m.Target == target {
			if f, ok := m.Figures[column]; ok {
				v[m.Round] = f
			}
		}
	}
	return v
}

// spread is that of values.
func (r *result) spread(part, trial, target, column string) (spread, bool) {
	v := r.values(part, trial, target, column)
	return spreadOf(slices.Collect(maps.Values(v))), len(v) > 0
}

// ratio is that of two targets, by the pairs of each round.
func (r *result) ratio(part, trial, target, to, column string) (spread, bool) {
	pairs := ratiosByRound(r.values(part, trial, target, column), r.values(part, trial, to, column))
	return spreadOf(pairs), len(pairs) > 0
}

// columnsOf are the columns that a part has figures of.
func (r *result) columnsOf(part string) []column {
	return slices.DeleteFunc(slices.Clone(columns), func(c column) bool {
		return !slices.ContainsFunc(r.Measurements, func(m measurement) bool {
			_, ok := m.Figures[c.key]
			return ok && m.Part == part
		})
	})
}

const (
	nameWidth = 32
	cellWidth = 24
)

// line is one of a table: who, and a text for each column.
type line struct {
	name  string
	cells []string
}

// rowsFor are the lines of a trial: everybody's figures, and Cancello's ratios to each other pooler.
func (r *result) rowsFor(part, trial string) []line {
	var rows, below []line
	for _, target := range r.targets(part, trial) {
		own, ratio := line{name: target}, line{name: "cancello/" + target}
		for _, c := range r.columnsOf(part) {
			text := ""
			if s, ok := r.spread(part, trial, target, c.key); ok {
				text = s.format(c.decimals)
			}
			own.cells = append(own.cells, text)
			text = ""
			if s, ok := r.ratio(part, trial, "cancello", target, c.key); ok {
				text = s.format(2)
			}
			ratio.cells = append(ratio.cells, text)
		}
		rows = append(rows, own)
		if target != "cancello" && target != "direct" {
			below = append(below, ratio)
		}
	}
	return append(rows, below...)
}

// heading says what was measured, where.
func (r *result) heading() []string {
	who := []string{"Cancello " + r.Cancello, "PostgreSQL " + r.PostgreSQL}
	var notes []string
	for _, p := range poolers {
		if v := r.Versions[p.name]; v != "" {
			who = append(who, p.name+" "+v)
			if p.note != "" {
				notes = append(notes, p.name+" "+p.note)
			}
		}
	}
	return append([]string{
		strings.Join(who, ", ") + "; a pool of " + itoa(r.PoolSize) + " in transaction mode, where nothing else is said",
		fmt.Sprintf("%s; load average %s before, %s after; %s, %.0f s", r.Machine, r.LoadBefore, r.LoadAfter, r.Began.Format(time.DateOnly), r.Took),
		fmt.Sprintf("median (lowest-highest) of %d interleaved rounds, at least %.1f s each; ratios are of the two in one round", r.Pairs, r.Seconds),
	}, notes...)
}

// table shows the medians, and in brackets the lowest and the highest.
func (r *result) table() string {
	var out strings.Builder
	out.WriteString("\n" + strings.Join(r.heading(), "\n") + "\n")
	for _, p := range r.plan.parts {
		fmt.Fprintf(&out, "\n== %s\n", p.title)
		if p.note != "" {
			out.WriteString(p.note + "\n")
		}
		for _, t := range p.trials {
			line := fmt.Sprintf("\n%-*s", nameWidth, t.name)
			for _, c := range r.columnsOf(p.name) {
				line += fmt.Sprintf("%*s", cellWidth, c.title)
			}
			out.WriteString(line + "\n")
			for _, row := range r.rowsFor(p.name, t.name) {
				line := fmt.Sprintf("  %-*s", nameWidth-2, row.name)
				for _, c := range row.cells {
					line += fmt.Sprintf("%*s", cellWidth, c)
				}
				out.WriteString(strings.TrimRight(line, " ") + "\n")
			}
		}
		for _, l := range r.Left {
			if l.Part == p.name {
				out.WriteString("  without " + l.Reason + "\n")
			}
		}
	}
	fmt.Fprintf(&out, "\nThe load itself took %.1f us of CPU for each query. CPU is the proxy's process and its children, by the kernel's accounting.\n", r.ownCPU())
	if r.plan.goals {
		out.WriteString("\n== goals\n")
		for _, v := range r.verdicts() {
			fmt.Fprintf(&out, "  %-48s %-14s %-22s %s\n", v.what, v.bound, v.figure, v.word)
		}
	}
	return out.String()
}

// ownCPU is the median of what the load spent.
func (r *result) ownCPU() float64 {
	var v []float64
	for _, m := range r.Measurements {
		if f, ok := m.Figures[own]; ok {
			v = append(v, f)
		}
	}
	return spreadOf(v).median
}

func (s spread) format(decimals int) string {
	return fmt.Sprintf("%.*f (%.*f-%.*f)", decimals, s.median, decimals, s.low, decimals, s.high)
}

// verdict is what became of a goal.
type verdict struct{ what, bound, figure, word string }

func (r *result) verdicts() []verdict {
	var all []verdict
	for _, g := range goals() {
		s, ok := r.spread(g.part, g.trial, g.of, g.column)
		against := ""
		switch {
		case g.to == "pgbouncer":
			s, ok = r.ratio(g.part, g.trial, g.of, g.to, g.column)
			against = ", to PgBouncer's"
		case g.to != "":
			s, ok = r.ratioOfTrials(g.part, g.trial, g.to, g.column)
			against = ", to that of " + strings.TrimPrefix(g.to, "simple, ")
		}
		v := verdict{what: g.trial + ": " + titleOf(g.column) + against, figure: "not measured"}
		if g.part == "tls" || g.part == "idle-tls" {
			v.what = "TLS, " + v.what
		}
		if g.of == sharing {
			if !ok {
				continue // PgBouncer shares, too
			}
			v.what = strings.TrimPrefix(sharing, "cancello, ") + " mode, " + v.what
		}
		bound, met := fmt.Sprintf("at most %g", g.most), s.median <= g.most
		if g.least > 0 {
			bound, met = fmt.Sprintf("at least %g", g.least), s.median >= g.least
		}
		v.bound = bound
		if ok {
			v.figure, v.word = s.format(2), "reached"
			if !met {
				v.word = "not reached"
			}
		}
		all = append(all, v)
	}
	return all
}

// ratioOfTrials is that of Cancello's figures in two trials.
func (r *result) ratioOfTrials(part, trial, to, column string) (spread, bool) {
	pairs := ratiosByRound(r.values(part, trial, "cancello", column), r.values(part, to, "cancello", column))
	return spreadOf(pairs), len(pairs) > 0
}

func titleOf(key string) string {
	for _, c := range columns {
		if c.key == key {
			return c.title
		}
	}
	return key
}
