package main

import (
	"fmt"
	"strings"
)

// page is the result for people, in Markdown.
func (r *result) page() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Figures of `%s`\n\n<!-- Written by the command in bench; don't edit. -->\n\n", commandOf(r.Plan))
	for _, line := range r.heading() {
		b.WriteString("- " + line + "\n")
	}
	fmt.Fprintf(&b, "- the load itself took %.1f us of CPU for each query; CPU is the proxy's process and its children, by the kernel's accounting\n", r.ownCPU())
	fmt.Fprintf(&b, "- every single measurement: [%s.json](%[1]s.json)\n", r.Plan)
	if r.plan.goals {
		b.WriteString("\n## Goals\n\n| what | goal | measured | |\n|---|---|---|---|\n")
		for _, v := range r.verdicts() {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", v.what, v.bound, v.figure, v.word)
		}
	}
	for _, p := range r.plan.parts {
		r.section(&b, p)
	}
	return b.String()
}

// commandOf is how a plan is run.
func commandOf(plan string) string {
	if plan == "bench" {
		return "make bench"
	}
	return "make bench-" + plan
}

func (r *result) section(b *strings.Builder, p part) {
	fmt.Fprintf(b, "\n## %s%s\n\n", strings.ToUpper(p.title[:1]), p.title[1:])
	if p.note != "" {
		b.WriteString(p.note + "\n\n")
	}
	b.WriteString("| |")
	cols := r.columnsOf(p.name)
	for _, c := range cols {
		fmt.Fprintf(b, " %s |", c.title)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(cols)) + "\n")
	for _, t := range p.trials {
		fmt.Fprintf(b, "| **%s** |%s\n", t.name, strings.Repeat(" |", len(cols)))
		for _, row := range r.rowsFor(p.name, t.name) {
			fmt.Fprintf(b, "| %s | %s |\n", row.name, strings.Join(row.cells, " | "))
		}
	}
	for _, l := range r.Left {
		if l.Part == p.name {
			fmt.Fprintf(b, "\nWithout %s.\n", l.Reason)
		}
	}
	for _, c := range p.plots {
		if name := r.plotName(p, c); r.drawn(p, c) {
			fmt.Fprintf(b, "\n![%s: %s](%s)\n", p.title, titleOf(c), name)
		}
	}
}
