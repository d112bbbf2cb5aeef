package sim

import (
	"strconv"
	"strings"
	"time"
)

// kind is what a statement of the tagged language does.
type kind uint8

const (
	kBad kind = iota // cannot be parsed
	kSelect
	kInsert
	kError // fails by itself, 22012
	kBegin
	kCommit
	kRollback
	kSet
	kReset
	kShow
	kCopyIn
	kCopyOut
	kListen
	kUnlisten
	kNotify
	kDiscard
	kDeallocate
	kStream // START_REPLICATION
)

// statement is one parsed statement: `insert @7.12.3 us=500`, `select @1.2.3 rows=4 size=100`, `begin /*@1.2.1*/`.
type statement struct {
	kind     kind
	tag      tag // zero: not a client's
	rows     int // of a select or COPY OUT
	size     int // of each row, padding
	dur      time.Duration
	sets     []setting // of kSet, kReset
	restores bool      // of sets, what the session has set itself stays
	name     string    // of a channel, a setting to show or a prepared statement
	all      bool      // DISCARD ALL, RESET ALL, DEALLOCATE ALL
}

type setting struct{ name, value string }

// returnsRows says whether Describe answers with a RowDescription.
func (s statement) returnsRows() bool { return s.kind == kSelect || s.kind == kShow }

// parseSQL splits a text at semicolons. Comments alone are no statement.
func parseSQL(text string) []statement {
	var out []statement
	for part := range strings.SplitSeq(text, ";") {
		if s, ok := parseStatement(part); ok {
			out = append(out, s)
		}
	}
	return out
}

func parseStatement(text string) (statement, bool) {
	s := statement{rows: 1}
	s.tag, _ = findTag(text)
	bare := text
	for {
		i := strings.Index(bare, "/*")
		if i < 0 {
			break
		}
		j := strings.Index(bare[i:], "*/")
		if j < 0 {
			return s, true // an open comment: kBad
		}
		bare = bare[:i] + " " + bare[i+j+2:]
	}
	words := strings.Fields(bare)
	if len(words) == 0 {
		return s, false
	}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		n, err := strconv.Atoi(value)
		switch {
		case err != nil:
		case name == "rows":
			s.rows = n
		case name == "size":
			s.size = n
		case name == "us":
			s.dur = time.Duration(n) * time.Microsecond
		}
	}
	s.kind = s.parseKind(words, bare)
	return s, true
}

// parseKind reads what the first words say, and fills in what belongs to that kind.
func (s *statement) parseKind(words []string, bare string) kind {
	second := ""
	if len(words) > 1 {
		second = strings.ToLower(words[1])
	}
	switch strings.ToLower(words[0]) {
	case "identify":
		return kSelect
	case "start_replication":
		return kStream
	case "select":
		if strings.Contains(strings.ToLower(bare), "set_config(") {
			bare, _, s.restores = strings.Cut(bare, ") AS w(n, v)")
			s.sets = parseSetConfig(bare)
			if s.sets == nil {
				return kBad
			}
			return kSelect
		}
		if s.tag == (tag{}) {
			return kBad
		}
		return kSelect
	case "insert":
		return kInsert
	case "error":
		return kError
	case "begin", "start":
		return kBegin
	case "commit", "end":
		return kCommit
	case "rollback", "abort":
		return kRollback
	case "set":
		return s.parseSet(bare)
	case "reset":
		s.all = second == "all"
		s.sets = []setting{{unquote(second), ""}}
		return kReset
	case "show":
		s.name = second
		return kShow
	case "copy":
		if second == "in" {
			return kCopyIn
		}
		return kCopyOut
	case "listen", "unlisten", "notify":
		s.name = unquote(second)
		return map[byte]kind{'l': kListen, 'u': kUnlisten, 'n': kNotify}[words[0][0]|0x20]
	case "discard":
		s.all = second == "all"
		return kDiscard
	case "deallocate":
		s.name, s.all = unquote(words[len(words)-1]), second == "all"
		return kDeallocate
	}
	return kBad
}

// parseSet reads SET [SESSION] name {TO | =} value.
func (s *statement) parseSet(bare string) kind {
	rest := strings.TrimSpace(bare)[3:]
	rest = strings.TrimSpace(rest)
	if low := strings.ToLower(rest); strings.HasPrefix(low, "session ") {
		rest = strings.TrimSpace(rest[8:])
	}
	i := strings.IndexAny(rest, " =")
	if i <= 0 {
		return kBad
	}
	name := unquote(rest[:i])
	rest = strings.TrimSpace(rest[i:])
	switch {
	case strings.HasPrefix(rest, "="):
		rest = rest[1:]
	case strings.HasPrefix(strings.ToLower(rest), "to "), strings.HasPrefix(strings.ToLower(rest), "to'"):
		rest = rest[2:]
	default:
		return kBad
	}
	s.sets = []setting{{name, unquote(strings.TrimSpace(rest))}}
	return kSet
}

// parseSetConfig reads every set_config('name', 'value', false) of a text.
func parseSetConfig(text string) []setting {
	var out []setting
	parts := strings.Split(text, "'")
	for i := 0; i+3 < len(parts); i += 4 {
		out = append(out, setting{parts[i+1], parts[i+3]})
	}
	return out
}

func unquote(s string) string {
	s = strings.TrimPrefix(s, "E")
	return strings.Trim(s, `'"`)
}
