package probe

import (
	_ "embed" // the page
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
)

//go:embed report.html.tmpl
var pageSource string

// WriteHTML writes a report as one page that needs nothing else: no script is needed to read it, no file is loaded.
func WriteHTML(w io.Writer, r Report) error {
	p := page{Title: "cancello check: " + r.About.Address, Subtitle: said(r)}
	p.Systems = []system{systemOf("", r)}
	for _, f := range r.Findings {
		p.add(Pair{ID: f.ID, Group: f.Group, Title: f.Title, A: &f})
	}
	return p.write(w)
}

// WriteCompareHTML writes two reports side by side, in the same way.
func WriteCompareHTML(w io.Writer, c Comparison) error {
	p := page{Title: "cancello check: two systems side by side", Subtitle: said(c.A), Two: true}
	p.Systems = []system{systemOf("A", c.A), systemOf("B", c.B)}
	for _, pair := range c.Pairs() {
		p.add(pair)
	}
	return p.write(w)
}

// said is when a check ran and how long it took.
func said(r Report) string {
	return fmt.Sprintf("%s, %s", r.Began.UTC().Format("2006-01-02 15:04 UTC"), r.Took.Round(100*time.Millisecond))
}

// page is what the template is given.
type page struct {
	Title, Subtitle string
	Two             bool
	Systems         []system
	Groups          []*pageGroup
}

// system is one server that was looked at.
type system struct {
	Letter, Name string
	Facts        []string
	Counts       []count
}

// count is how often a verdict was given.
type count struct {
	Number int
	face
}

// face is how a verdict looks.
type face struct{ Verdict, Class, Symbol string }

type pageGroup struct {
	Name, Anchor, Summary string
	Cases                 []pageCase
	verdicts              []Verdict
	apart                 int // cases whose verdicts differ
}

type pageCase struct {
	ID, Says, Expected, Source string
	Open, Apart                bool
	Sides                      []side
}

// side is a case on one system.
type side struct {
	face
	Letter, System, Seen, Meaning, Known, Evidence string
}

// symbols tell verdicts apart where colours don't.
var symbols = map[Verdict]string{Pass: "✓", Fail: "✗", Differs: "≠", NotApplicable: "–", Unknown: "?"}

func faceOf(v Verdict) face {
	return face{string(v), strings.ReplaceAll(string(v), " ", "-"), symbols[v]}
}

func systemOf(letter string, r Report) system {
	s := system{Letter: letter, Name: r.About.Address}
	version := r.About.ServerVersion
	if version == "" {
		version = "not given"
	}
	transport := "in clear"
	if r.About.TLS {
		transport = "over TLS"
	}
	s.Facts = []string{"server_version " + version, fmt.Sprintf("user %s, database %s, %s", r.About.User, r.About.Database, transport)}
	for _, v := range Verdicts() {
		if n := r.Count(v); n > 0 {
			s.Counts = append(s.Counts, count{n, faceOf(v)})
		}
	}
	return s
}

// add puts a case behind the others.
func (p *page) add(pair Pair) {
	if len(p.Groups) == 0 || p.Groups[len(p.Groups)-1].Name != pair.Group {
		p.Groups = append(p.Groups, &pageGroup{Name: pair.Group, Anchor: "group-" + strings.ToLower(pair.Group)})
	}
	g := p.Groups[len(p.Groups)-1]
	c := pageCase{ID: pair.ID, Says: pair.Title, Apart: p.Two && pair.Differ}
	for i, f := range []*Finding{pair.A, pair.B} {
		if i >= len(p.Systems) {
			break
		}
		s := side{Letter: p.Systems[i].Letter, System: p.Systems[i].Name, face: face{"not run", "missing", "·"}}
		if f != nil {
			s.fill(*f)
			c.Expected, c.Source = f.Expected, f.Source
			c.Open = c.Open || f.Verdict == Fail && f.Known == ""
			g.verdicts = append(g.verdicts, f.Verdict)
		}
		c.Sides = append(c.Sides, s)
	}
	if c.Apart {
		g.apart++
	}
	g.Cases = append(g.Cases, c)
}

func (s *side) fill(f Finding) {
	s.face, s.Seen, s.Known = faceOf(f.Verdict), f.Seen, f.Known
	s.Verdict = verdictText(f)
	if f.Verdict == Fail || f.Verdict == Differs {
		s.Meaning = f.Means
	}
	var b strings.Builder
	for _, e := range f.Evidence {
		b.WriteString(e.String() + "\n")
	}
	s.Evidence = strings.TrimRight(b.String(), "\n")
}

// summary counts what a group found that was not a pass.
func (g *pageGroup) summary() string {
	n := map[Verdict]int{}
	for _, v := range g.verdicts {
		n[v]++
	}
	var parts []string
	for _, v := range Verdicts() {
		if n[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[v], v))
		}
	}
	return strings.Join(parts, ", ")
}

func (p *page) write(w io.Writer) error {
	t, err := template.New("page").Parse(pageSource)
	if err != nil {
		return err
	}
	for _, g := range p.Groups {
		if g.Summary = g.summary(); p.Two {
			g.Summary = fmt.Sprintf("%d of %d differ between A and B", g.apart, len(g.Cases))
		}
	}
	return t.Execute(w, p)
}
