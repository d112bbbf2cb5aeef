package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// colours are the targets'.
var colours = map[string]string{
	"cancello": "#1f6f8b", sharing: "#62a8bf", "pgbouncer": "#e09f3e", "pgpool": "#9e2a2b", "odyssey": "#6a994e", "pgagroal": "#7b5ea7", "direct": "#9aa0a6", bareName: "#9aa0a6", leanName: "#c5c9cd",
}

const (
	plotWidth  = 760
	labelWidth = 170
	valueWidth = 90
	barHeight  = 14
	groupGap   = 12
	topSpace   = 44
)

// plots are the drawings of all parts, by the names of their files.
func (r *result) plots() map[string]string {
	all := map[string]string{}
	for _, p := range r.plan.parts {
		for _, c := range p.plots {
			if r.drawn(p, c) {
				all[r.plotName(p, c)] = r.plot(p, c)
			}
		}
	}
	return all
}

func (r *result) plotName(p part, column string) string {
	return r.Plan + "-" + p.name + "-" + column + ".svg"
}

// drawn tells whether there is anything to draw.
func (r *result) drawn(p part, column string) bool {
	for _, t := range p.trials {
		if _, ok := r.spread(p.name, t.name, "cancello", column); ok {
			return true
		}
	}
	return false
}

// plot draws a column of a part.
func (r *result) plot(p part, key string) string {
	targets := r.targets(p.name, "")
	var groups []group
	for _, t := range p.trials {
		g := group{name: t.name}
		for _, name := range targets {
			if s, ok := r.spread(p.name, t.name, name, key); ok {
				g.bars = append(g.bars, bar{name, s})
			}
		}
		groups = append(groups, g)
	}
	return draw(p.title+": "+titleOf(key), targets, groups)
}

// bar is a target's, as long as the median, with a line from the lowest to the highest.
type bar struct {
	target string
	spread
}

// group is the bars of what is compared.
type group struct {
	name string
	bars []bar
}

// draw makes an SVG of groups of bars, and a legend of the targets.
func draw(title string, targets []string, groups []group) string {
	most := 0.0
	for _, g := range groups {
		for _, s := range g.bars {
			most = max(most, s.high)
		}
	}
	scale := func(v float64) float64 {
		if most <= 0 {
			return 0
		}
		return max(0, v) / most * (plotWidth - labelWidth - valueWidth)
	}
	var b strings.Builder
	y := topSpace
	for _, g := range groups {
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", labelWidth-8, y+barHeight-3, html.EscapeString(g.name))
		for _, s := range g.bars {
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", labelWidth, y, scale(s.median), barHeight-2, colours[s.target])
			middle := y + barHeight/2 - 1
			fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#333"/>`+"\n", labelWidth+scale(s.low), middle, labelWidth+scale(s.high), middle)
			fmt.Fprintf(&b, `<text x="%.1f" y="%d" class="v">%s</text>`+"\n", labelWidth+scale(s.high)+6, y+barHeight-3, figure(s.median))
			y += barHeight
		}
		y += groupGap
	}
	var legend strings.Builder
	x := labelWidth
	for _, name := range targets {
		fmt.Fprintf(&legend, `<rect x="%d" y="26" width="10" height="10" fill="%s"/><text x="%d" y="35" class="v">%s</text>`+"\n", x, colours[name], x+14, name)
		x += 32 + 6*len(name)
	}
	head := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">
<style>.v{font-size:11px;fill:#444}</style>
<rect width="100%%" height="100%%" fill="#fff"/>
<text x="%d" y="17" font-weight="bold">%s</text>
`, plotWidth, y, labelWidth, html.EscapeString(title))
	return head + legend.String() + b.String() + "</svg>\n"
}

// figure is a number in few digits.
func figure(v float64) string {
	switch {
	case math.Abs(v) >= 100:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
