package unit

import "bytes"

// Begins tells whether the text has a statement that opens a transaction block: BEGIN or START. In doubt it says yes:
// a word in a literal then costs a cancelled client its other waiting units, never their integrity (trap A6).
func Begins(sql []byte) bool { return anyStatement(sql, begins) }

// Commits tells whether the text has a statement whose cancel would acknowledge what is not replicated (trap A11):
// COMMIT, END or PREPARE TRANSACTION. In doubt it says yes.
func Commits(sql []byte) bool { return anyStatement(sql, commits) }

// Verbs is Commits and Begins of a text, mostly for the price of one.
func Verbs(sql []byte) (commitsIt, beginsIt bool) {
	if !anyStatement(sql, func(w []byte) bool { return commits(w) || begins(w) }) {
		return false, false
	}
	return Commits(sql), Begins(sql)
}

func begins(w []byte) bool  { return is(w, "begin") || is(w, "start") }
func commits(w []byte) bool { return is(w, "commit") || is(w, "end") || is(w, "prepare") }

// anyStatement calls match with the first word of each statement until one matches. Comments and literals are passed as
// PostgreSQL's scanner does; only what a backslash in a plain literal means depends on standard_conforming_strings, so from
// there on every word is taken for a first one.
func anyStatement(sql []byte, match func([]byte) bool) bool {
	first := true // no word of the statement has been seen
	for i := 0; i < len(sql); {
		n, sure := skip(sql, i)
		if !sure {
			return anyWord(sql[i:], match)
		}
		switch c := sql[i]; {
		case n > 0:
			i += n
			first = first && (c == '-' || c == '/') // a comment stands in front of a first word, a literal does not
		case c == ';':
			first = true
			i++
		case isWord(c):
			n := wordLen(sql[i:])
			if first && match(sql[i:i+n]) {
				return true
			}
			first = false
			i += n
		default:
			first = first && (c == '(' || isBlank(c))
			i++
		}
	}
	return false
}

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

func anyWord(sql []byte, match func([]byte) bool) bool {
	for len(sql) > 0 {
		n := wordLen(sql)
		if n > 0 && match(sql[:n]) {
			return true
		}
		sql = sql[max(n, 1):]
	}
	return false
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

// Sweeps tells whether the text has a statement that drops prepared statements: DISCARD or DEALLOCATE. In doubt it says
// yes.
func Sweeps(sql []byte) bool {
	return anyStatement(sql, func(w []byte) bool { return is(w, "discard") || is(w, "deallocate") })
}

// Resets tells whether the text has a statement that returns settings to what they were at login: RESET or DISCARD. In
// doubt it says yes.
func Resets(sql []byte) bool {
	return anyStatement(sql, func(w []byte) bool { return is(w, "reset") || is(w, "discard") })
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
