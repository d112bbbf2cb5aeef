package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cancello/internal/pgtest"
)

// results is a file of testdata/results: what a check with --races once found in a system. The verdicts are compared,
// what was seen is there to be read.
type results struct {
	System   string   `json:"system"`
	Version  string   `json:"version"`
	How      string   `json:"how"`
	Date     string   `json:"date"`
	Findings []result `json:"findings"`
}

// result is one case. Or is what else it may be, where luck decides. Reason says why it is no pass; a person writes it.
type result struct {
	ID      string    `json:"id"`
	Verdict Verdict   `json:"verdict"`
	Or      []Verdict `json:"or,omitempty"`
	Seen    string    `json:"seen"`
	Reason  string    `json:"reason,omitempty"`
}

// subject is a system with results.
type subject struct {
	file, system, how string
	ours              bool // started by this test, also in CI; of others -update asks the environment
	start             func(t *testing.T) (dsn, version string)
}

func subjects() []subject {
	return []subject{
		{file: "postgresql-18", system: "PostgreSQL 18", how: "with a certificate, in clear", ours: true, start: startPostgreSQL(18)},
		{file: "postgresql-15", system: "PostgreSQL 15", how: "with a certificate, in clear", ours: true, start: startPostgreSQL(15)},
		{file: "cancello-session", system: "Cancello, session", how: "pool_mode session, 6 servers, before PostgreSQL 18, with a certificate, in clear", ours: true, start: startCancello("session")},
		{file: "cancello-transaction", system: "Cancello, transaction", how: "pool_mode transaction, 6 servers, before PostgreSQL 18, with a certificate, in clear", ours: true, start: startCancello("transaction")},
		{file: "pgbouncer-session", system: "PgBouncer, session", how: "pool_mode session, 5 servers, before PostgreSQL 15, without TLS; Debian's package"},
		{file: "pgbouncer-transaction", system: "PgBouncer, transaction", how: "pool_mode transaction, 5 servers, before PostgreSQL 15, without TLS; Debian's package"},
		{file: "pgpool", system: "Pgpool-II", how: "raw mode, 12 children, before PostgreSQL 15, without TLS; Debian's package"},
		{file: "pglite", system: "PGlite", how: "behind its socket server, 20 connections"},
		{file: "psql-wire", system: "psql-wire", how: "a server of some statements, as the library is by default (testdata/psqlwire)"},
		{file: "psql-wire-keys", system: "psql-wire with keys", how: "the same, with its options for keys and cancel"},
	}
}

func startPostgreSQL(major int) func(t *testing.T) (dsn, version string) {
	return func(t *testing.T) (string, string) {
		c := pgtest.Start(t, major, pgtest.Private())
		withCertificate(t, c)
		waitForTLS(t, c.DSN("postgres", "postgres"))
		return c.DSN("postgres", "postgres"), ""
	}
}

// waitForTLS waits until the server has read that it has a certificate.
func waitForTLS(t *testing.T, dsn string) {
	t.Helper()
	secure := strings.Replace(dsn, "sslmode=disable", "sslmode=require", 1)
	eventually(t, func() error { return targetOf(t, secure).reach(context.Background(), patient) })
}

func eventually(t *testing.T, try func() error) {
	t.Helper()
	for begin := time.Now(); ; {
		err := try()
		if err == nil {
			return
		}
		if time.Since(begin) > patient.Patience {
			t.Fatal(err)
		}
	}
}

func startCancello(mode string) func(t *testing.T) (dsn, version string) {
	return func(t *testing.T) (string, string) {
		c := pgtest.Start(t, 18, pgtest.Private())
		withCertificate(t, c) // Cancello has the same one
		path := filepath.Join(t.TempDir(), "cancello")
		if out, err := exec.Command("go", "build", "-o", path, "cancello/cmd/cancello").CombinedOutput(); err != nil {
			t.Fatalf("build the program: %v\n%s", err, out)
		}
		version, err := exec.Command(path, "version").Output()
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := ln.Addr().String()
		ln.Close()
		gate := exec.Command(path, "serve", "--listen", address, "--upstream", "postgres://"+c.Addr()+"?sslmode=disable", "--pool-mode", mode, "--pool-size", "6",
			"--set", "client_tls_sslmode=allow", "--set", "client_tls_cert_file="+filepath.Join(c.DataDir(), "server.crt"), "--set", "client_tls_key_file="+filepath.Join(c.DataDir(), "server.key"))
		var log bytes.Buffer
		gate.Stderr = &log
		if err := gate.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = gate.Process.Signal(syscall.SIGTERM)
			_ = gate.Wait()
			if t.Failed() {
				t.Logf("the end of Cancello's log:\n%s", log.Bytes()[max(0, log.Len()-4000):])
			}
		})
		dsn := "postgres://postgres@" + address + "/postgres?sslmode=disable"
		eventually(t, func() error { return targetOf(t, dsn).reach(context.Background(), patient) })
		return dsn, strings.Fields(string(version))[1]
	}
}

// look runs a check; with several connection strings each group has a server of its own, as a case may leave one unusable.
func look(t *testing.T, dsns []string, o Options) Report {
	t.Helper()
	groups := []string{""}
	if len(dsns) > 1 {
		groups = nil
		for _, c := range Cases() {
			if g := strings.ToLower(c.Group) + ".*"; len(groups) == 0 || groups[len(groups)-1] != g {
				groups = append(groups, g)
			}
		}
	}
	var all Report
	for i, only := range groups {
		o.Only = only
		r, err := Run(context.Background(), targetOf(t, dsns[min(i, len(dsns)-1)]), o, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Findings = append(all.Findings, r.Findings...)
		all = r
	}
	return all
}

// environment is where -update finds a system that this test doesn't start: VERSION DSN..., and scripts/check-others sets
// it.
func (s subject) environment() string {
	return "CANCELLO_RESULTS_" + strings.ToUpper(strings.ReplaceAll(s.file, "-", "_"))
}

func (s subject) path() string { return filepath.Join("testdata", "results", s.file+".json") }

// TestResults: PostgreSQL and Cancello do what their results say. -update writes down what they do, and what the systems
// do that the environment names; reasons stay.
func TestResults(t *testing.T) {
	if !*update {
		t.Parallel()
	}
	for _, s := range subjects() {
		t.Run(s.file, func(t *testing.T) {
			if s.ours && !*update {
				t.Parallel() // most of the time is spent in waiting; each has servers of its own
			}
			dsn, version, o := "", "", Options{Races: true}
			switch {
			case s.ours:
				dsn, version = s.start(t)
				o.Patience = patient.Patience // tests beside this one are no fault of the system's
				o.Quiet = 900 * time.Millisecond
			case !*update:
				checkReasons(t, readResults(t, s))
				return
			default:
				if version, dsn, _ = strings.Cut(os.Getenv(s.environment()), " "); dsn == "" {
					t.Skipf("missing: %s (VERSION DSN): its results stay", s.environment())
				}
			}
			r := look(t, strings.Fields(dsn), o)
			if version == "" {
				version = r.About.ServerVersion
			}
			if *update {
				writeResults(t, s, version, r)
			}
			want := readResults(t, s)
			checkReasons(t, want)
			for i, f := range r.Findings {
				r.Findings[i] = again(t, targetOf(t, strings.Fields(dsn)[0]), o, f, want.has)
			}
			compareResults(t, r, want)
		})
	}
	if *update {
		writeResultsPage(t)
	}
}

func readResults(t *testing.T, s subject) results {
	t.Helper()
	text, err := os.ReadFile(s.path())
	if err != nil {
		t.Fatal(err)
	}
	var r results
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		t.Fatalf("%s: %v", s.path(), err)
	}
	return r
}

// checkReasons: what is no pass has a reason, unless there was nothing to look at.
func checkReasons(t *testing.T, r results) {
	t.Helper()
	for _, f := range r.Findings {
		if f.Reason == "" && f.Verdict != Pass && f.Verdict != NotApplicable {
			t.Errorf("%s: %s is %q without a reason", r.System, f.ID, f.Verdict)
		}
	}
}

func compareResults(t *testing.T, got Report, want results) {
	t.Helper()
	for _, f := range got.Findings {
		switch e := want.of(f.ID); {
		case e == nil:
			t.Errorf("%s: no result yet: go test ./probe -run TestResults -update", f.ID)
		case !want.has(f):
			t.Errorf("%s: %s, want %s\nseen:   %s\nbefore: %s\n%s", f.ID, f.Verdict, e.Verdict, f.Seen, e.Seen, lines(f.Evidence))
		}
	}
	for _, e := range want.Findings {
		if !slices.ContainsFunc(got.Findings, func(f Finding) bool { return f.ID == e.ID }) {
			t.Errorf("%s: a result of no case", e.ID)
		}
	}
}

// of is the result of a case; nil: there is none.
func (r results) of(id string) *result {
	for i := range r.Findings {
		if r.Findings[i].ID == id {
			return &r.Findings[i]
		}
	}
	return nil
}

// has tells whether a finding is as it was.
func (r results) has(f Finding) bool {
	e := r.of(f.ID)
	return e != nil && (f.Verdict == e.Verdict || slices.Contains(e.Or, f.Verdict))
}

// again gives a case that cancels and came out otherwise than it should a second chance, and a third: PostgreSQL loses what is
// cancelled before it has begun, which is luck on a machine that is busy with the tests beside this one. What is the
// system's own is seen again.
func again(t *testing.T, to *Target, o Options, f Finding, good func(Finding) bool) Finding {
	t.Helper()
	for range 2 {
		if good(f) || f.Group != GroupRaces && f.Group != GroupCancel {
			break
		}
		t.Logf("%s: %s, and once more: %s", f.ID, f.Verdict, f.Seen)
		o.Only = f.ID
		r, err := Run(t.Context(), to, o, nil)
		if err != nil {
			t.Fatal(err)
		}
		f = r.Findings[0]
	}
	return f
}

// writeResults writes what was found, and keeps what people wrote.
func writeResults(t *testing.T, s subject, version string, r Report) {
	t.Helper()
	old := map[string]result{}
	if _, err := os.Stat(s.path()); err == nil {
		for _, f := range readResults(t, s).Findings {
			old[f.ID] = f
		}
	}
	out := results{System: s.system, Version: version, How: s.how, Date: r.Began.UTC().Format("2006-01-02")}
	for _, f := range r.Findings {
		n := result{ID: f.ID, Verdict: f.Verdict, Seen: f.Seen}
		if o, ok := old[f.ID]; ok {
			n.Or, n.Reason = o.Or, o.Reason
			if slices.Contains(o.Or, f.Verdict) {
				n.Verdict = o.Verdict // luck was otherwise this time
			}
		}
		out.Findings = append(out.Findings, n)
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(out); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(s.path()), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path(), text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

const resultsPage = "../docs/check-results.md"

// TestResultsPage: the page says what the results say.
func TestResultsPage(t *testing.T) {
	if *update {
		writeResultsPage(t)
	}
	text, err := os.ReadFile(resultsPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != resultsText(t) {
		t.Errorf("%s is not up to date: go test ./probe -run TestResultsPage -update", resultsPage)
	}
}

func writeResultsPage(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(resultsPage, []byte(resultsText(t)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// resultsText is the page.
func resultsText(t *testing.T) string {
	t.Helper()
	var all []results
	for _, s := range subjects() {
		all = append(all, readResults(t, s))
	}
	var b strings.Builder
	b.WriteString(`# What ` + "`cancello check`" + ` found

<!-- Made from probe/testdata/results. Update it with: go test ./probe -run TestResultsPage -update -->

A day's look from outside, with ` + "`--races`" + `; [check.md](check.md) says what each case asks. ✓ pass · ✗ fail · ≠ differs · – not
applicable · ? unknown. Under the tables stands why a system doesn't pass.

|   | system | version | looked at | how | ✓ | ✗ | ≠ | – | ? |
|---|--------|---------|-----------|-----|---|---|---|---|---|
`)
	for i, r := range all {
		n := map[Verdict]int{}
		for _, f := range r.Findings {
			n[f.Verdict]++
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %d | %d | %d | %d | %d |\n", letter(i), r.System, r.Version, r.Date, r.How,
			n[Pass], n[Fail], n[Differs], n[NotApplicable], n[Unknown])
	}
	group := ""
	for _, c := range Cases() {
		if c.Group != group {
			group = c.Group
			fmt.Fprintf(&b, "\n## %s\n\n| case |", group)
			for i := range all {
				fmt.Fprintf(&b, " %s |", letter(i))
			}
			b.WriteString("\n|---|" + strings.Repeat(":-:|", len(all)) + "\n")
		}
		fmt.Fprintf(&b, "| [`%s`](check.md#%s) |", c.ID, strings.ReplaceAll(c.ID, ".", ""))
		for _, r := range all {
			fmt.Fprintf(&b, " %s |", symbolIn(r, c.ID))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n## Why not\n")
	for i, r := range all {
		fmt.Fprintf(&b, "\n### %s: %s\n\n", letter(i), r.System)
		for _, f := range r.Findings {
			if f.Reason != "" {
				fmt.Fprintf(&b, "- %s `%s`: %s. *%s*\n", symbols[f.Verdict], f.ID, strings.TrimSuffix(markdown(f.Seen), "."), f.Reason)
			}
		}
	}
	return b.String()
}

func letter(i int) string { return string(rune('A' + i)) }

func symbolIn(r results, id string) string {
	for _, f := range r.Findings {
		if f.ID == id {
			return symbols[f.Verdict]
		}
	}
	return ""
}

// markdown keeps what a server said from being more than text.
func markdown(s string) string {
	return strings.NewReplacer("<", "&lt;", "*", `\*`, "_", `\_`, "|", `\|`).Replace(s)
}
