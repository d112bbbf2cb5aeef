package probe

import (
	"context"
	"fmt"
	"path"
	"time"
)

// Options are how a check runs. Zero values are the defaults.
type Options struct {
	Races       bool          // run the cases that may end another session's query on a faulty pooler
	Only        string        // ids, as a glob: "key.*"; empty: all
	Tries       int           // how often what depends on luck is tried; default 20
	Connections int           // how many connections may be used at once; default 10
	Patience    time.Duration // the longest wait for one answer; default 5 s
	Quiet       time.Duration // how long silence is waited for; default 300 ms
	CaseLimit   time.Duration // the longest that one case may take; default 2 min
}

// The defaults that the command line shows.
const (
	DefaultTries       = 20
	DefaultConnections = 10
)

func (o Options) withDefaults() Options {
	if o.Tries <= 0 {
		o.Tries = DefaultTries
	}
	if o.Connections <= 0 {
		o.Connections = DefaultConnections
	}
	if o.Patience <= 0 {
		o.Patience = 5 * time.Second
	}
	if o.Quiet <= 0 {
		o.Quiet = 300 * time.Millisecond
	}
	if o.CaseLimit <= 0 {
		o.CaseLimit = 2 * time.Minute
	}
	return o
}

// Select takes the cases that a glob names, in their order. A glob that is none, or names nothing, is an error.
func Select(cases []Case, glob string) ([]Case, error) {
	if glob == "" {
		return cases, nil
	}
	var chosen []Case
	for _, c := range cases {
		ok, err := path.Match(glob, c.ID)
		if err != nil {
			return nil, fmt.Errorf("%q is no pattern: use *, ? and [a-z]", glob)
		}
		if ok {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no case is named %q: --list shows their names", glob)
	}
	return chosen, nil
}

// Progress is told before each case, and after the last with an empty ID.
type Progress struct {
	Done, Total int
	ID          string
}

// Report is what a check found.
type Report struct {
	About    About
	Began    time.Time
	Took     time.Duration
	Findings []Finding
}

// Finding is one case and what came of it: the elements of the JSON file. The names of its fields are stable.
type Finding struct {
	ID       string     `json:"id"`
	Group    string     `json:"group"`
	Verdict  Verdict    `json:"verdict"`
	Title    string     `json:"title"`
	Source   string     `json:"source"`
	Expected string     `json:"expected"`
	Seen     string     `json:"seen"`
	Means    string     `json:"means"`
	Known    string     `json:"known,omitempty"` // the reason why this failure is accepted
	TookMS   int64      `json:"took_ms"`
	Evidence []Exchange `json:"evidence"`
}

// Run checks a server. The error says why it could not run at all; what cases found is in the Report. When ctx ends, the
// rest is reported as unknown.
func Run(ctx context.Context, t *Target, o Options, progress func(Progress)) (Report, error) {
	return run(ctx, Cases(), t, o, progress)
}

func run(ctx context.Context, cases []Case, t *Target, o Options, progress func(Progress)) (Report, error) {
	o = o.withDefaults()
	if progress == nil {
		progress = func(Progress) {}
	}
	cases, err := Select(cases, o.Only)
	if err != nil {
		return Report{}, err
	}
	r := Report{Began: time.Now()}
	if err := t.reach(ctx, o); err != nil {
		return r, err
	}
	r.About = t.About
	for i, c := range cases {
		progress(Progress{Done: i, Total: len(cases), ID: c.ID})
		r.Findings = append(r.Findings, runCase(ctx, c, t, o))
	}
	progress(Progress{Done: len(cases), Total: len(cases)})
	r.Took = time.Since(r.Began)
	return r, nil
}

// runCase asks one question, within its limit.
func runCase(ctx context.Context, c Case, t *Target, o Options) Finding {
	begin := time.Now()
	b := newBench(t, o)
	var result Result
	switch {
	case c.Races && !o.Races:
		result = Conclude(NotApplicable, "not run: it may end another session's query on a faulty pooler; --races runs it")
	case ctx.Err() != nil:
		result = Conclude(Unknown, "not run: the check was interrupted")
	default:
		limited, cancel := context.WithTimeout(ctx, o.CaseLimit)
		result = c.Run(limited, b)
		if ctx.Err() != nil {
			result = Conclude(Unknown, "the check was interrupted")
		}
		b.close()
		cancel()
	}
	f := Finding{
		ID: c.ID, Group: c.Group, Verdict: result.Verdict, Title: c.Title, Source: c.Source,
		Expected: c.Expected, Seen: result.Seen, Means: c.Means, Evidence: result.Evidence,
	}
	if result.Expected != "" {
		f.Expected = result.Expected
	}
	if result.Means != "" {
		f.Means = result.Means
	}
	if f.Evidence == nil {
		f.Evidence = b.Evidence()
	}
	f.TookMS = time.Since(begin).Milliseconds()
	return f
}

// Failures are the findings that fail and are not known.
func (r Report) Failures() []Finding {
	var failures []Finding
	for _, f := range r.Findings {
		if f.Verdict == Fail && f.Known == "" {
			failures = append(failures, f)
		}
	}
	return failures
}
