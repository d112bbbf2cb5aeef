package probe

import (
	"context"
	"fmt"
)

// Verdict is what a case concluded.
type Verdict string

// The verdicts.
const (
	Pass          Verdict = "pass"           // as PostgreSQL's documents say
	Fail          Verdict = "fail"           // not so, and users suffer
	Differs       Verdict = "differs"        // allowed, or PostgreSQL's own habit somewhere, and worth knowing
	NotApplicable Verdict = "not applicable" // there is nothing here that the case could look at
	Unknown       Verdict = "unknown"        // the case could not see
)

// Verdicts are all verdicts, the worst first.
func Verdicts() []Verdict { return []Verdict{Fail, Unknown, Differs, NotApplicable, Pass} }

// The groups, in the order they run.
const (
	GroupStartup     = "Startup"
	GroupKey         = "Key"
	GroupNegotiation = "Negotiation"
	GroupEncryption  = "Encryption"
	GroupCancel      = "Cancel"
	GroupRaces       = "Races"
	GroupPooler      = "Pooler"
)

// Case is one question to a server.
type Case struct {
	ID       string // "startup.order": the group in lower case, a dot, words with hyphens. It never changes
	Group    string
	Title    string // one sentence
	Source   string // where PostgreSQL's documents or code say so
	Expected string // what a server should do; a Result may say it better
	Means    string // what it means for users if it isn't so; a Result may say it better
	Races    bool   // it may end another session's query on a faulty pooler, so it needs Options.Races
	Run      func(ctx context.Context, b *Bench) Result
}

// Result is the answer to one question.
type Result struct {
	Verdict  Verdict
	Expected string     // empty: the case's
	Seen     string     // one or two sentences, the same for the same behaviour where it can be
	Evidence []Exchange // nil: what the connections of the case said, shortened
	Means    string     // empty: the case's
}

// Conclude makes a Result. What was seen is worded as with fmt.Sprintf.
func Conclude(v Verdict, seen string, args ...any) Result {
	if len(args) > 0 {
		seen = fmt.Sprintf(seen, args...)
	}
	return Result{Verdict: v, Seen: seen}
}

// Cases are all cases, in the order they run.
func Cases() []Case {
	var all []Case
	for _, group := range [][]Case{
		startupCases(), keyCases(), negotiationCases(), encryptionCases(), cancelCases(), raceCases(), poolerCases(),
	} {
		all = append(all, group...)
	}
	return all
}
