package probe

import (
	"encoding/xml"
	"strings"
	"testing"
	"time"
)

// sample is a report with everything in it.
func sample() Report {
	finding := func(id, group string, v Verdict, seen string) Finding {
		return Finding{
			ID: id, Group: group, Verdict: v, Title: "A title.", Source: "a source", Expected: "what should be",
			Seen: seen, Means: "Users suffer.", TookMS: 1500,
			Evidence: []Exchange{{Connection: 1, AtMS: 3, Direction: Received, Bytes: 6, Hex: "5a0000000549", Decoded: `ReadyForQuery "I"`}},
		}
	}
	r := Report{
		About: About{Address: "127.0.0.1:5432", TLS: true, User: "ann", Database: "db", ServerVersion: "18.4\x1b[2J", Major: 18},
		Began: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Took: 9 * time.Second,
		Findings: []Finding{
			finding("startup.ready", GroupStartup, Fail, "nothing <came> & \x1b[31mred"),
			finding("startup.order", GroupStartup, Pass, "in order"),
			finding("key.zeros", GroupKey, Fail, "zeros"),
			finding("key.backend", GroupKey, Differs, "another number"),
			finding("key.pid", GroupKey, NotApplicable, "no key"),
			finding("key.distinct", GroupKey, Unknown, "not seen"),
		},
	}
	r.Findings[2].Known = "it is an old one"
	return r
}

const sampleText = `127.0.0.1:5432 over TLS, user ann, database db, server_version 18.4?[2J

Startup
  fail            startup.ready  nothing <came> & ?[31mred
                  Expected: what should be
                  Means: Users suffer.
  pass            startup.order  in order

Key
  fail, known     key.zeros      zeros
                  Expected: what should be
                  Accepted: it is an old one
  differs         key.backend    another number
  not applicable  key.pid        no key
  unknown         key.distinct   not seen

6 cases in 9s: 2 fail (1 of them known), 1 differ, 1 pass, 1 not applicable, 1 unknown.
Not seen: key.distinct.
`

// TestText: verdicts first, failures in two lines more, colour only where asked for, and nothing that a server says
// moves the cursor.
func TestText(t *testing.T) {
	var out strings.Builder
	if err := WriteText(&out, sample(), false); err != nil {
		t.Fatal(err)
	}
	if out.String() != sampleText {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), sampleText)
	}
	out.Reset()
	if err := WriteText(&out, sample(), true); err != nil {
		t.Fatal(err)
	}
	bare := out.String()
	for _, colour := range colours {
		bare = strings.ReplaceAll(bare, colour, "")
	}
	if bare = strings.ReplaceAll(bare, plain, ""); bare == out.String() || bare != sampleText {
		t.Errorf("with colour:\n%q", out.String())
	}
}

// TestJUnit: only what counts as a failure is one.
func TestJUnit(t *testing.T) {
	var out strings.Builder
	if err := WriteJUnit(&out, sample()); err != nil {
		t.Fatal(err)
	}
	var got junitSuites
	if err := xml.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if got.Tests != 6 || got.Failures != 1 || got.Skipped != 3 || len(got.Suites) != 2 {
		t.Errorf("%d tests, %d failures, %d skipped, %d suites", got.Tests, got.Failures, got.Skipped, len(got.Suites))
	}
	first := got.Suites[0].Cases[0]
	if first.Failure == nil || !strings.Contains(first.Failure.Message, "nothing <came> &") || !strings.Contains(first.Failure.Text, "5a0000000549") {
		t.Errorf("the failure says %+v", first.Failure)
	}
	if known := got.Suites[1].Cases[0]; known.Failure != nil || known.Skipped == nil || known.Skipped.Message != "known: it is an old one" {
		t.Errorf("a known failure is %+v", known)
	}
	if got.Suites[1].Time != "6.000" || got.Suites[1].Began != "2026-01-02T03:04:05Z" {
		t.Errorf("times: %+v", got.Suites[1])
	}
}

// TestKnown: an accepted failure counts no more, and a list that is out of date is told.
func TestKnown(t *testing.T) {
	known, err := ReadKnown(strings.NewReader(`[
		{"id": "startup.ready", "reason": "this server is slow"},
		{"id": "startup.order", "reason": "it was so once"},
		{"id": "key.pid", "reason": "can't be looked at here"},
		{"id": "key.length-30", "reason": "not asked for this time"},
		{"id": "key.nothing", "reason": "a slip"}]`))
	if err != nil {
		t.Fatal(err)
	}
	r := sample()
	r.Findings[2].Known = ""
	remarks := strings.Join(r.Accept(known), "\n")
	want := "startup.order does not fail any more (pass): take the entry out\nkey.nothing: no case has that id; correct the entry or take it out"
	if remarks != want {
		t.Errorf("remarks:\n%s\nwant:\n%s", remarks, want)
	}
	failures := r.Failures()
	if len(failures) != 1 || failures[0].ID != "key.zeros" {
		t.Errorf("%d failures are left", len(failures))
	}
	for text, want := range map[string]string{
		`{}`:                          "not an array",
		`[{"id": "a.b"}]`:             "a.b has no reason",
		`[{"reason": "because"}]`:     "an entry has no id",
		`[{"id": "a.b", "why": "x"}]`: "not an array of",
		`[{"id": "a.b", "reason": "x"}, {"id": "a.b", "reason": "y"}]`: "a.b is there twice",
	} {
		if _, err := ReadKnown(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestSelect: a glob that names nothing is a slip.
func TestSelect(t *testing.T) {
	for glob, want := range map[string]string{"": "", "key.*": "", "startup.order": "", "nothing.*": "no case", "[": "no pattern"} {
		chosen, err := Select(Cases(), glob)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", glob, err)
		}
		for _, c := range chosen {
			if glob == "key.*" && c.Group != GroupKey {
				t.Errorf("%s is chosen by %s", c.ID, glob)
			}
		}
	}
}
