package unit

import "bytes"

// Verbs are what the statements of a text do, as far as their first words tell.
type Verbs uint8

// The verbs that somebody asks for.
const (
	// Begin: BEGIN or START opens a transaction block. A word in a literal that is taken for it costs a cancelled client
	// its other waiting units, never their integrity (trap A6).
	Begin Verbs = 1 << iota
	// Commit: a statement whose cancel would acknowledge what is not replicated (trap A11): COMMIT, END or PREPARE
	// TRANSACTION.
	Commit
	// Sweep: DISCARD or DEALLOCATE drops prepared statements.
	Sweep
	// Reset: RESET or DISCARD returns settings to what they were at login.
	Reset

	everything = Begin | Commit | Sweep | Reset
)

// Has tells whether one of these is among them.
func (v Verbs) Has(some Verbs) bool { return v&some != 0 }

// verb is what a first word means.
func verb(w []byte) Verbs {
	switch len(w) {
	case 3:
		return when(is(w, "end"), Commit)
	case 5:
		return when(is(w, "begin") || is(w, "start"), Begin) | when(is(w, "reset"), Reset)
	case 6:
		return when(is(w, "commit"), Commit)
	case 7:
		return when(is(w, "prepare"), Commit) | when(is(w, "discard"), Sweep|Reset)
	case 10:
		return when(is(w, "deallocate"), Sweep)
	}
	return 0
}

func when(is bool, v Verbs) Verbs {
	if is {
		return v
	}
	return 0
}

// VerbsOf looks at the first word of each statement; in doubt it says yes. Comments and literals are passed as
// PostgreSQL's scanner does; only what a backslash in a plain literal means depends on standard_conforming_strings, so from
// there on every word is taken for a first one.
//
// Every text goes through it once, on its way to the server.
func VerbsOf(sql []byte) (v Verbs) {
	first := true // no word of the statement has been seen
	for i := 0; i < len(sql) && v != everything; {
		c := sql[i]
		switch classes[c] {
		case wordChar:
			from := i
			for i++; i < len(sql) && classes[sql[i]] == wordChar; i++ {
			}
			if first {
				v |= verb(sql[from:i])
				first = false
			}
			continue
		case blank, opening:
		case semicolon:
			first = true
		case special:
			n, sure := skip(sql, i)
			if !sure {
				return v | verbsAnywhere(sql[i:])
			}
			first = first && n > 0 && (c == '-' || c == '/') // a comment stands in front of a first word, a literal does not
			i += max(n, 1)
			continue
		default:
			first = false
		}
		i++
	}
	return v
}

func verbsAnywhere(sql []byte) (v Verbs) {
	for len(sql) > 0 {
		n := wordLen(sql)
		v |= verb(sql[:n])
		sql = sql[max(n, 1):]
	}
	return v
}

// class is what a byte may be the start of.
type class uint8

const (
	other     class = iota
	wordChar        // isWord
	blank           // isBlank
	opening         // a parenthesis
	semicolon       // between statements
	special         // a literal or a comment, perhaps
)

// classes are those of all bytes.
var classes = func() (t [256]class) {
	for c := range t {
		switch b := byte(c); {
		case isWord(b):
			t[c] = wordChar
		case isBlank(b):
			t[c] = blank
		}
	}
	for _, c := range []byte(`'"$-/`) {
		t[c] = special
	}
	t['('], t[';'] = opening, semicolon
	return t
}()

// skip is the length of the comment or literal that starts at sql[i], 0 if none does. sure is false where that depends on
// the server's settings. One that does not end goes to the end of the text.
func skip(sql []byte, i int) (n int, sure bool) {
	rest := sql[i:]
	switch {
	case rest[0] == '\'':
		return literal(rest, i > 0 && sql[i-1]|0x20 == 'e' && (i < 2 || !isWord(sql[i-2])))
	case rest[0] == '"':
		return 1 + until(rest[1:], []byte{'"'}), true
	case rest[0] == '$' && (i == 0 || !isWord(sql[i-1])):
		return dollars(rest), true
	case bytes.HasPrefix(rest, []byte("--")):
		if n = bytes.IndexAny(rest, "\n\r"); n < 0 {
			n = len(rest)
		}
		return n, true
	case bytes.HasPrefix(rest, []byte("/*")):
		return len(rest) - len(skipComment(rest)), true
	}
	return 0, true
}

// literal is the length of a literal in single quotes. A doubled quote reads as the end of one and the start of another,
// which comes to the same.
func literal(b []byte, escapes bool) (n int, sure bool) {
	for n = 1; n < len(b); n++ {
		switch {
		case b[n] == '\'':
			return n + 1, true
		case b[n] == '\\' && !escapes:
			return 0, false
		case b[n] == '\\':
			n++
		}
	}
	return len(b), true
}

// dollars is the length of a dollar-quoted literal, 0 if it is none but a parameter such as $1.
func dollars(b []byte) int {
	n := 1
	for n < len(b) && isWord(b[n]) {
		n++
	}
	if n == len(b) || b[n] != '$' || (n > 1 && b[1] >= '0' && b[1] <= '9') {
		return 0
	}
	return n + 1 + until(b[n+1:], b[:n+1])
}

// until is the length of b up to and with the first end in it, all of b if there is none.
func until(b, end []byte) int {
	if at := bytes.Index(b, end); at >= 0 {
		return at + len(end)
	}
	return len(b)
}

func wordLen(b []byte) int {
	n := 0
	for n < len(b) && isWord(b[n]) {
		n++
	}
	return n
}

// isWord tells whether c may stand in an identifier.
func isWord(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '_' || c >= 0x80
}

func isBlank(c byte) bool { return bytes.IndexByte([]byte(" \t\n\r\f\v\x00"), c) >= 0 }

// skipBlank passes white space, comments, stray semicolons and opening parentheses.
func skipBlank(b []byte) []byte {
	for len(b) > 0 {
		n, _ := skip(b, 0)
		switch {
		case n > 0 && (b[0] == '-' || b[0] == '/'):
			b = b[n:]
		case b[0] == ';' || b[0] == '(' || isBlank(b[0]) && b[0] != 0:
			b = b[1:]
		default:
			return b
		}
	}
	return b
}

// skipComment passes one block comment; they nest in PostgreSQL.
func skipComment(b []byte) []byte {
	depth := 0
	for len(b) > 1 {
		switch {
		case b[0] == '/' && b[1] == '*':
			depth++
			b = b[2:]
		case b[0] == '*' && b[1] == '/':
			depth--
			b = b[2:]
			if depth == 0 {
				return b
			}
		default:
			b = b[1:]
		}
	}
	return nil
}

// is compares without regard to case; word is in lower case.
func is(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i := range b {
		if b[i]|0x20 != word[i] {
			return false
		}
	}
	return true
}

// Opens tells whether a text that may be cut shows its first word whole.
func Opens(sql []byte) bool {
	sql = skipBlank(sql)
	return wordLen(sql) < len(sql) || len(sql) > 0 && (sql[0] >= '0' && sql[0] <= '9') // no verb starts with a digit
}

// Deallocates is the name in a text that is nothing but one DEALLOCATE of a name, as PostgreSQL reads it.
func Deallocates(sql []byte) (name string, ok bool) {
	sql = bytes.TrimRight(skipBlank(sql), " \t\r\n;\x00")
	n := wordLen(sql)
	if !is(sql[:n], "deallocate") || bytes.ContainsAny(sql, ";(") {
		return "", false
	}
	for prepare := false; ; prepare = true {
		sql = skipBlank(sql[n:])
		if n = wordLen(sql); prepare || !is(sql[:n], "prepare") {
			break
		}
	}
	name, sql, quoted := identifier(sql)
	if name == "" || (name == "all" && !quoted) || len(skipBlank(sql)) > 0 {
		return "", false
	}
	return name, true
}

// identifier reads a name: in quotes, or in plain letters, which are folded.
func identifier(b []byte) (name string, rest []byte, quoted bool) {
	if len(b) > 0 && b[0] == '"' {
		var q []byte
		for i := 1; i < len(b); i++ {
			if b[i] != '"' {
				q = append(q, b[i])
				continue
			}
			if i+1 < len(b) && b[i+1] == '"' {
				q = append(q, '"')
				i++
				continue
			}
			return string(q), b[i+1:], true
		}
		return "", b, true
	}
	n := 0
	for n < len(b) && (b[n] == '_' || b[n]|0x20 >= 'a' && b[n]|0x20 <= 'z' || n > 0 && (b[n] == '$' || b[n] >= '0' && b[n] <= '9')) {
		n++
	}
	return string(bytes.ToLower(b[:n])), b[n:], false
}
