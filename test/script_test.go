package test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"cancello/internal/pgtest/fake"
)

// script is a sequence of protocol messages, read from a text file. Empty lines and those that begin with # say
// nothing. First come the directives:
//
//	only WORD...             run in this pool_mode, or on this version: session, transaction, 15, 18
//	also statement           run in statement mode, too: it has no transaction blocks
//	setup SQL                run past the gate by the superuser, before each run
//	mask REGEXP              what it finds in a message becomes *
//	fields LETTERS           of an ErrorResponse these fields are compared, the others are the server's own business
//	skip TYPES               messages of these types are not compared
//	ssl                      send SSLRequest and read the answer
//	startup VERSION NAME=VALUE...   in place of 3.0 user=postgres database=postgres
//
// Then the messages. A word may be quoted as in Go; so is text with an escape or a blank at its end:
//
//	Q SQL                    Query
//	P NAME [OIDS] SQL        Parse; OIDS as [23,0]
//	B PORTAL NAME [pf:F,F] [rf:F,F] VALUE...   Bind; formats of parameters and of results; NULL, \xHEX, or text
//	D S|P NAME, C S|P NAME   Describe, Close
//	E PORTAL [ROWS]          Execute
//	F OID [pf:F,F] [rf:F] VALUE...             FunctionCall
//	d TEXT, c, f TEXT        CopyData, CopyDone, CopyFail
//	S, H, X                  Sync, Flush, Terminate
//	repeat N LINE            the line N times
//	raw HEX                  these bytes
//
// What is written goes out, in one write, with the next of:
//
//	wait TYPES [N]           and then N messages of these types are awaited, or one
//	send                     and nothing is awaited
//	eof                      and then the server closes
type script struct {
	name    string
	only    []string
	also    bool // in statement mode
	setup   []string
	masks   []*regexp.Regexp
	fields  string
	skip    string
	ssl     bool
	startup []byte
	steps   []step
}

// step is a write and what is awaited behind it.
type step struct {
	out   []byte
	wait  string
	count int
	eof   bool
}

func readScript(path string) (*script, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &script{name: path, startup: fake.Startup(fake.V30, "user", "postgres", "database", "postgres")}
	var out []byte
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		verb, rest, _ := strings.Cut(line, " ")
		if out, err = s.take(verb, rest, out); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
	}
	if len(out) > 0 {
		s.steps = append(s.steps, step{out: out})
	}
	return s, nil
}

// runs tells whether the script is for this mode and version.
func (s *script) runs(major int, mode string) bool {
	if mode == "statement" && !s.also {
		return false
	}
	for _, word := range s.only {
		other := word != mode && (word == "session" || word == "transaction") && mode != "statement"
		if n, err := strconv.Atoi(word); other || err == nil && n != major {
			return false
		}
	}
	return true
}

// take reads one line and returns what is to go out with the next write.
func (s *script) take(verb, rest string, out []byte) ([]byte, error) {
	switch verb {
	case "only":
		s.only = append(s.only, strings.Fields(rest)...)
	case "also":
		s.also = rest == "statement"
	case "setup":
		s.setup = append(s.setup, rest)
	case "mask":
		re, err := regexp.Compile(rest)
		if err != nil {
			return out, err
		}
		s.masks = append(s.masks, re)
	case "fields":
		s.fields = rest
	case "skip":
		s.skip = rest
	case "ssl":
		s.ssl = true
	case "startup":
		p, err := startupPacket(rest)
		s.startup = p
		return out, err
	case "wait":
		types, count, _ := strings.Cut(rest, " ")
		n := 1
		if count != "" {
			var err error
			if n, err = strconv.Atoi(count); err != nil {
				return out, err
			}
		}
		s.steps = append(s.steps, step{out: out, wait: types, count: n})
		return nil, nil
	case "send":
		s.steps = append(s.steps, step{out: out})
		return nil, nil
	case "eof":
		s.steps = append(s.steps, step{out: out, eof: true})
		return nil, nil
	default:
		p, err := message(verb, rest)
		return append(out, p...), err
	}
	return out, nil
}

func startupPacket(rest string) ([]byte, error) {
	w, err := split(rest)
	if err != nil || len(w) == 0 {
		return nil, errors.Join(errors.New("want a version"), err)
	}
	var major, minor uint32
	if _, err := fmt.Sscanf(w[0], "%d.%d", &major, &minor); err != nil {
		return nil, err
	}
	var kv []string
	for _, p := range w[1:] {
		name, value, _ := strings.Cut(p, "=")
		kv = append(kv, name, value)
	}
	return fake.Startup(major<<16|minor, kv...), nil
}

// message builds the bytes of one line.
func message(verb, rest string) ([]byte, error) {
	switch verb {
	case "Q":
		return fake.Query(text(rest)), nil
	case "d":
		return fake.Msg('d', []byte(text(rest))), nil
	case "f":
		return fake.Msg('f', text(rest)), nil
	case "c", "S", "H", "X":
		return fake.Msg(verb[0]), nil
	case "raw":
		return hex.DecodeString(strings.ReplaceAll(rest, " ", ""))
	case "repeat":
		count, line, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(count)
		if err != nil {
			return nil, err
		}
		verb, rest, _ := strings.Cut(line, " ")
		p, err := message(verb, rest)
		return []byte(strings.Repeat(string(p), n)), err
	case "P":
		return parseMessage(rest)
	}
	w, err := split(rest)
	if err != nil {
		return nil, err
	}
	switch {
	case verb == "B" && len(w) >= 2:
		params, results, values, err := arguments(w[2:])
		return fake.Msg('B', w[0], w[1], params, values, results), err
	case (verb == "D" || verb == "C") && len(w) == 2 && len(w[0]) == 1:
		return fake.Msg(verb[0], w[0][0], w[1]), nil
	case verb == "E" && len(w) >= 1:
		rows := 0
		if len(w) > 1 {
			rows, err = strconv.Atoi(w[1])
		}
		return fake.Msg('E', w[0], rows), err
	case verb == "F" && len(w) >= 1:
		oid, err := strconv.Atoi(w[0])
		if err != nil {
			return nil, err
		}
		params, results, values, err := arguments(w[1:])
		if len(results) == 2 { // the one result has a format without a count
			results = []byte{0, 0}
		} else {
			results = results[2:]
		}
		return fake.Msg('F', oid, params, values, results), err
	}
	return nil, fmt.Errorf("%s: not understood", verb)
}

func parseMessage(rest string) ([]byte, error) {
	name, rest, _ := strings.Cut(rest, " ")
	name, err := word(name)
	if err != nil {
		return nil, err
	}
	var oids []byte
	count := uint16(0)
	if list, ok := strings.CutPrefix(rest, "["); ok {
		list, rest, _ = strings.Cut(list, "] ")
		for _, o := range strings.Split(list, ",") {
			n, err := strconv.ParseUint(o, 10, 32)
			if err != nil {
				return nil, err
			}
			oids = binary.BigEndian.AppendUint32(oids, uint32(n))
			count++
		}
	}
	return fake.Msg('P', name, text(rest), count, oids), nil
}

// arguments reads formats and values of a Bind or FunctionCall.
func arguments(words []string) (params, results, values []byte, err error) {
	params, results = []byte{0, 0}, []byte{0, 0}
	count := uint16(0)
	var body []byte
	for _, w := range words {
		if list, ok := strings.CutPrefix(w, "pf:"); ok {
			params, err = formats(list)
		} else if list, ok := strings.CutPrefix(w, "rf:"); ok {
			results, err = formats(list)
		} else if w == "NULL" {
			count++
			body = append(body, 0xff, 0xff, 0xff, 0xff)
		} else {
			value := []byte(w)
			if h, ok := strings.CutPrefix(w, `\x`); ok {
				value, err = hex.DecodeString(h)
			}
			count++
			body = binary.BigEndian.AppendUint32(body, uint32(len(value)))
			body = append(body, value...)
		}
		if err != nil {
			return nil, nil, nil, err
		}
	}
	return params, results, append(binary.BigEndian.AppendUint16(nil, count), body...), nil
}

func formats(list string) ([]byte, error) {
	all := strings.Split(list, ",")
	p := binary.BigEndian.AppendUint16(nil, uint16(len(all)))
	for _, f := range all {
		n, err := strconv.ParseUint(f, 10, 16)
		if err != nil {
			return nil, err
		}
		p = binary.BigEndian.AppendUint16(p, uint16(n))
	}
	return p, nil
}

// text is the rest of a line, unquoted where it is quoted as a whole.
func text(rest string) string {
	if s, err := strconv.Unquote(rest); err == nil && strings.HasPrefix(rest, `"`) {
		return s
	}
	return rest
}

func word(w string) (string, error) {
	if strings.HasPrefix(w, `"`) {
		return strconv.Unquote(w)
	}
	return w, nil
}

// split cuts a line into words, which may be quoted.
func split(line string) ([]string, error) {
	var all []string
	for line = strings.TrimLeft(line, " "); line != ""; line = strings.TrimLeft(line, " ") {
		end := strings.IndexByte(line, ' ')
		if line[0] == '"' {
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
			end = len(quoted)
		}
		if end < 0 {
			end = len(line)
		}
		w, err := word(line[:end])
		if err != nil {
			return nil, err
		}
		all = append(all, w)
		line = line[end:]
	}
	return all, nil
}
