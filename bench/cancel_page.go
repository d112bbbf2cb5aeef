package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// write puts all into a folder: every figure, a page for people, and its plots.
func (r *cancelResult) write(dir string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	files := map[string]string{"cancel.json": string(text) + "\n", "cancel.md": r.page()}
	maps.Copy(files, r.plots())
	return writeFolder(dir, files)
}

// page is the result for people, in Markdown.
func (r *cancelResult) page() string {
	var b strings.Builder
	b.WriteString("# Figures of `bench cancel`\n\n<!-- Written by the command in bench; don't edit. -->\n\n")
	for _, line := range r.heading() {
		b.WriteString("- " + line + "\n")
	}
	b.WriteString("- every figure: [cancel.json](cancel.json)\n\n" + r.legend())
	for _, s := range r.sections() {
		titles := s.titles()
		fmt.Fprintf(&b, "\n## %s%s\n\n| | %s |\n|---|%s\n", strings.ToUpper(s.title[:1]), s.title[1:], strings.Join(titles, " | "), strings.Repeat("---|", len(titles)))
		for _, l := range r.lines(s) {
			fmt.Fprintf(&b, "| %s | %s |\n", l.name, strings.Join(append(l.cells, make([]string, len(titles)-len(l.cells))...), " | "))
		}
	}
	for _, c := range cancelPlots {
		fmt.Fprintf(&b, "\n![%s](%s)\n", c.title, c.file)
	}
	return b.String()
}

// cancelPlot is a drawing of the first column of some parts.
type cancelPlot struct {
	file, title string
	parts       []string
}

var cancelPlots = []cancelPlot{
	{"cancel-latency.svg", "one cancel, from its dial to the client's error: p50 us", []string{partOf(inClear), partOf(withTLS)}},
	{"cancel-crowd.svg", "many cancels at once: all, ms", []string{partCrowd}},
	{"cancel-forged.svg", "a request with a forged key: CPU us", []string{partForged}},
}

// plots are the drawings, by the names of their files.
func (r *cancelResult) plots() map[string]string {
	all := map[string]string{}
	for _, p := range cancelPlots {
		var groups []group
		var legend []string
		for _, s := range r.sections() {
			if !slices.Contains(p.parts, s.part) {
				continue
			}
			targets := r.targets(s)
			g := group{name: s.part}
			for _, name := range targets {
				g.bars = append(g.bars, bar{name, spreadOf(valuesOf(r.figures(s.part, name), s.columns[0]))})
			}
			groups, legend = append(groups, g), targets
		}
		all[p.file] = draw(p.title, legend, groups)
	}
	return all
}
