package probe

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// Comparison is two systems side by side: direct and through a proxy is the main use.
type Comparison struct{ A, B Report }

// Pair is one case on both systems: the elements of the JSON file of a comparison. The names of its fields are stable.
type Pair struct {
	ID     string   `json:"id"`
	Group  string   `json:"group"`
	Title  string   `json:"title"`
	Differ bool     `json:"differ"` // the verdicts do, or one is missing
	A      *Finding `json:"a"`
	B      *Finding `json:"b"`
}

// Pairs are the cases that at least one system was asked, in order.
func (c Comparison) Pairs() []Pair {
	var pairs []Pair
	at := map[string]int{}
	for i := range c.A.Findings {
		f := &c.A.Findings[i]
		at[f.ID] = len(pairs)
		pairs = append(pairs, Pair{ID: f.ID, Group: f.Group, Title: f.Title, A: f})
	}
	for i := range c.B.Findings {
		f := &c.B.Findings[i]
		if where, ok := at[f.ID]; ok {
			pairs[where].B = f
		} else {
			pairs = append(pairs, Pair{ID: f.ID, Group: f.Group, Title: f.Title, B: f})
		}
	}
	for i := range pairs {
		p := &pairs[i]
		p.Differ = p.A == nil || p.B == nil || p.A.Verdict != p.B.Verdict
	}
	return pairs
}

// WriteCompareJSON writes the pairs as an array.
func WriteCompareJSON(w io.Writer, c Comparison) error {
	pairs := c.Pairs()
	if pairs == nil {
		pairs = []Pair{}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(pairs)
}

// WriteCompareText writes a table of both verdicts; where they differ, what was seen on each side stands below.
func WriteCompareText(w io.Writer, c Comparison, colour bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "A  %s\nB  %s\n", c.A.About, c.B.About)
	width, differ := 0, 0
	pairs := c.Pairs()
	for _, p := range pairs {
		width = max(width, len(verdictOf(p.A)), len(verdictOf(p.B)))
	}
	group := ""
	for _, p := range pairs {
		if p.Group != group {
			group = p.Group
			fmt.Fprintf(&b, "\n%s\n", group)
		}
		mark := " "
		if p.Differ {
			mark, differ = "*", differ+1
		}
		fmt.Fprintf(&b, "%s %s  %s  %s\n", mark, painted(p.A, width, colour), painted(p.B, width, colour), p.ID)
		if p.Differ {
			indent := strings.Repeat(" ", 2*width+6)
			for _, side := range []struct {
				name string
				f    *Finding
			}{{"A", p.A}, {"B", p.B}} {
				if side.f != nil {
					fmt.Fprintf(&b, "%s%s: %s\n", indent, side.name, printable(side.f.Seen))
				}
			}
		}
	}
	took := (c.A.Took + c.B.Took).Round(100 * time.Millisecond)
	fmt.Fprintf(&b, "\n%d cases in %s: %d with different verdicts (*).\nA: %s\nB: %s\n", len(pairs), took, differ, c.A.counts(), c.B.counts())
	_, err := io.WriteString(w, b.String())
	return err
}

// counts is how often each verdict was given.
func (r Report) counts() string {
	var parts []string
	for _, v := range Verdicts() {
		parts = append(parts, fmt.Sprintf("%d %s", r.Count(v), v))
	}
	return strings.Join(parts, ", ")
}

func verdictOf(f *Finding) string {
	if f == nil {
		return "not run"
	}
	return verdictText(*f)
}

func painted(f *Finding, width int, colour bool) string {
	text := fmt.Sprintf("%-*s", width, verdictOf(f))
	if colour && f != nil {
		return colours[f.Verdict] + text + plain
	}
	return text
}
