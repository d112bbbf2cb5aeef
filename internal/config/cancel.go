package config

import (
	"slices"
	"strings"
	"time"
)

// Rung is one way to end what runs on a server that gave no cancel key of its own (cancel_fallback).
type Rung uint8

// The rungs.
const (
	RungDisconnect Rung = iota // close the server's connection
	RungSQL                    // a statement on a connection beside
	RungNone                   // let it run
)

func rungs() []string { return []string{"disconnect", "sql", "none"} }

// String is the word of cancel_fallback.
func (r Rung) String() string { return rungs()[r] }

// DatabaseCancel is how cancels reach the servers of one database beyond PostgreSQL's own way.
type DatabaseCancel struct {
	Fallback string // cancel_fallback: rungs with commas between them; empty: disconnect
	SQL      string // cancel_sql: a preset, or a statement; empty: the preset postgresql
	User     string // cancel_user: logs in for it; empty: the user of the server it is for
	Password string // cancel_password. Secret

	Settle   Override[time.Duration] // cancel_settle: the fence is kept that much longer after EOF
	Protocol Override[Protocol]      // server_protocol: what new connections ask for
}

// The presets of cancel_sql.
const (
	SQLPostgres  = "postgresql"
	SQLCockroach = "cockroachdb"
)

// Ladder are the rungs, in the order in which they are tried.
func (c *DatabaseCancel) Ladder() []Rung {
	var list []Rung
	for word := range strings.SplitSeq(c.Fallback, ",") {
		if i := slices.Index(rungs(), strings.TrimSpace(word)); i >= 0 {
			list = append(list, Rung(i))
		}
	}
	if len(list) == 0 {
		return []Rung{RungDisconnect}
	}
	return list
}

// UsesSQL tells whether a statement may be used, so that servers are asked who they are.
func (c *DatabaseCancel) UsesSQL() bool { return slices.Contains(c.Ladder(), RungSQL) }

// badLadder tells why a list of rungs is not allowed.
func badLadder(list string) (why string) {
	if list == "" {
		return ""
	}
	var seen []string
	for word := range strings.SplitSeq(list, ",") {
		switch word = strings.TrimSpace(word); {
		case !slices.Contains(rungs(), word):
			return "give sql, disconnect or none, or a list of them"
		case slices.Contains(seen, word):
			return word + " is there twice: leave one out"
		case len(seen) > 0 && seen[len(seen)-1] != rungs()[RungSQL]:
			return "nothing is tried behind " + seen[len(seen)-1] + ", which always works: leave out what follows it"
		}
		seen = append(seen, word)
	}
	return ""
}

// badStatement tells why a cancel_sql is not allowed: one of the operator's own has to say whom it means.
func badStatement(text string) (why string) {
	if text == "" || text == SQLPostgres || text == SQLCockroach {
		return ""
	}
	for _, name := range Placeholders() {
		if strings.Contains(text, name) {
			return ""
		}
	}
	return "give postgresql, cockroachdb, or a statement that says whom it means by one of " + strings.Join(Placeholders(), ", ")
}

// Placeholders are what a cancel_sql of the operator's own may have; each becomes a text in quotes.
func Placeholders() []string {
	return []string{"{pid}", "{backend_start}", "{address}", "{port}", "{session_id}"}
}

// Protocol is the version of the protocol that servers are asked for (server_protocol).
type Protocol uint8

// The versions.
const (
	Protocol30 Protocol = iota
	Protocol32
)

func protocols() []string { return []string{"3.0", "3.2"} }

// String is the word of server_protocol.
func (p Protocol) String() string { return protocols()[p] }

func (p *Protocol) pick(i int) { *p = Protocol(i) }
func (p *Protocol) index() int { return int(*p) }
