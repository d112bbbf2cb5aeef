package probe

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// colours of the verdicts, for terminals.
var colours = map[Verdict]string{
	Pass: "\x1b[32m", Fail: "\x1b[1;31m", Differs: "\x1b[33m", NotApplicable: "\x1b[2m", Unknown: "\x1b[35m",
}

const plain = "\x1b[0m"

// textWidth is how wide a line gets where words allow it.
const textWidth = 110

// WriteText writes a report for people: a table by group, the verdict first, each failure explained in two lines more.
func WriteText(w io.Writer, r Report, colour bool) error {
	var b strings.Builder
	b.WriteString(r.About.String() + "\n")
	verdictWidth, idWidth := 0, 0
	for _, f := range r.Findings {
		verdictWidth, idWidth = max(verdictWidth, len(verdictText(f))), max(idWidth, len(f.ID))
	}
	for _, group := range r.Groups() {
		fmt.Fprintf(&b, "\n%s\n", group)
		for _, f := range r.Findings {
			if f.Group == group {
				writeFinding(&b, f, colour, verdictWidth, idWidth)
			}
		}
	}
	b.WriteString("\n" + r.Summary() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// verdictText says also that a failure is known.
func verdictText(f Finding) string {
	if f.Verdict == Fail && f.Known != "" {
		return "fail, known"
	}
	return string(f.Verdict)
}

func writeFinding(b *strings.Builder, f Finding, colour bool, verdictWidth, idWidth int) {
	verdict := fmt.Sprintf("%-*s", verdictWidth, verdictText(f))
	if colour {
		verdict = colours[f.Verdict] + verdict + plain
	}
	fmt.Fprintf(b, "  %s  %-*s  %s\n", verdict, idWidth, f.ID, printable(f.Seen))
	if f.Verdict != Fail {
		return
	}
	indent := strings.Repeat(" ", verdictWidth+4)
	fmt.Fprintf(b, "%sExpected: %s\n", indent, printable(f.Expected))
	if f.Known != "" {
		fmt.Fprintf(b, "%sAccepted: %s\n", indent, printable(f.Known))
		return
	}
	fmt.Fprintf(b, "%sMeans: %s\n", indent, printable(f.Means))
}

// printable keeps what a server said from moving the cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// Summary is one sentence on how it went, and one on what could not be seen.
func (r Report) Summary() string {
	known := 0
	for _, f := range r.Findings {
		if f.Known != "" {
			known++
		}
	}
	fail := fmt.Sprintf("%d fail", r.Count(Fail))
	if known > 0 {
		fail += fmt.Sprintf(" (%d of them known)", known)
	}
	s := fmt.Sprintf("%d cases in %s: %s, %d differ, %d pass, %d not applicable, %d unknown.",
		len(r.Findings), r.Took.Round(100*time.Millisecond), fail, r.Count(Differs), r.Count(Pass), r.Count(NotApplicable), r.Count(Unknown))
	var unseen []string
	for _, f := range r.Findings {
		if f.Verdict == Unknown {
			unseen = append(unseen, f.ID)
		}
	}
	if len(unseen) > 0 {
		s += "\n" + wrap("Not seen: "+strings.Join(unseen, ", ")+".")
	}
	return s
}

// wrap breaks a long line between words.
func wrap(s string) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(s) {
		switch {
		case i > 0 && column+1+len(word) > textWidth:
			b.WriteString("\n  ")
			column = 2
		case i > 0:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

// String says what was looked at.
func (a About) String() string {
	s := a.Address
	if a.TLS {
		s += " over TLS"
	}
	version := a.ServerVersion
	if version == "" {
		version = "not given"
	}
	return printable(fmt.Sprintf("%s, user %s, database %s, server_version %s", s, a.User, a.Database, version))
}

// WriteList writes the ids and titles of cases.
func WriteList(w io.Writer, cases []Case) error {
	width := 0
	for _, c := range cases {
		width = max(width, len(c.ID))
	}
	for _, c := range cases {
		title := c.Title
		if c.Races {
			title += " (--races)"
		}
		if _, err := fmt.Fprintf(w, "%-*s  %s\n", width, c.ID, title); err != nil {
			return err
		}
	}
	return nil
}
