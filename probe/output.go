package probe

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// WriteJSON writes the findings as an array. Its form is described in docs/check.schema.json.
func WriteJSON(w io.Writer, r Report) error {
	findings := r.Findings
	if findings == nil {
		findings = []Finding{}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(findings)
}

// The elements of JUnit's XML that CI systems read.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Began    string      `xml:"timestamp,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure,omitempty"`
		Skipped *junitSkipped `xml:"skipped,omitempty"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	junitSkipped struct {
		Message string `xml:"message,attr"`
	}
)

// WriteJUnit writes the findings as JUnit's XML, a suite for each group. Known failures and what could not be seen are
// skipped there: neither turns a build red.
func WriteJUnit(w io.Writer, r Report) error {
	all := junitSuites{Name: "cancello check", Time: seconds(r.Took.Milliseconds())}
	for _, group := range r.Groups() {
		s := junitSuite{Name: group, Began: r.Began.UTC().Format(time.RFC3339)}
		var took int64
		for _, f := range r.Findings {
			if f.Group != group {
				continue
			}
			c := junit(f)
			s.Tests++
			if c.Failure != nil {
				s.Failures++
			}
			if c.Skipped != nil {
				s.Skipped++
			}
			took += f.TookMS
			s.Cases = append(s.Cases, c)
		}
		s.Time = seconds(took)
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Skipped += s.Skipped
		all.Suites = append(all.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func junit(f Finding) junitCase {
	c := junitCase{Name: f.ID, Class: "cancello.check." + strings.ToLower(f.Group), Time: seconds(f.TookMS)}
	switch {
	case f.Verdict == Fail && f.Known != "":
		c.Skipped = &junitSkipped{"known: " + f.Known}
	case f.Verdict == Fail:
		c.Failure = &junitFailure{Message: f.Seen, Text: explained(f)}
	case f.Verdict == NotApplicable || f.Verdict == Unknown:
		c.Skipped = &junitSkipped{string(f.Verdict) + ": " + f.Seen}
	case f.Verdict == Differs:
		c.Out = "differs: " + f.Seen
	}
	return c
}

// explained is a finding in full, for where there is room.
func explained(f Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nexpected: %s\nseen: %s\nsource: %s\n%s\n", f.Title, f.Expected, f.Seen, f.Source, f.Means)
	for _, e := range f.Evidence {
		b.WriteString(e.String() + "\n")
	}
	return b.String()
}

func seconds(ms int64) string { return fmt.Sprintf("%.3f", float64(ms)/1000) }

// Groups are the groups of the findings, in order.
func (r Report) Groups() []string {
	var groups []string
	for _, f := range r.Findings {
		if len(groups) == 0 || groups[len(groups)-1] != f.Group {
			groups = append(groups, f.Group)
		}
	}
	return groups
}

// Count is how many findings have the verdict.
func (r Report) Count(v Verdict) int {
	n := 0
	for _, f := range r.Findings {
		if f.Verdict == v {
			n++
		}
	}
	return n
}
