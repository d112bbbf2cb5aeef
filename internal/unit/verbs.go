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

// anyStatement calls match with the first word of each statement until one matches. The text is split at every
// semicolon, also inside literals, which can only find more; where a literal might hide the end of a comment, or a
// comment the end of a literal, every word is taken for a first one.
func anyStatement(sql []byte, match func([]byte) bool) bool {
	for first := true; ; first = false {
		if !first && ambiguous(sql) {
			return anyWord(sql, match)
		}
		sql = skipBlank(sql)
		n := wordLen(sql)
		if n > 0 && match(sql[:n]) {
			return true
		}
		end := bytes.IndexByte(sql, ';')
		if end < 0 {
			return false
		}
		sql = sql[end+1:]
	}
}

// ambiguous tells whether comments and literals may hide each other's ends in what follows a semicolon.
func ambiguous(sql []byte) bool {
	return bytes.Contains(sql, []byte("--")) || bytes.Contains(sql, []byte("/*"))
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
	for n < len(b) && b[n]|0x20 >= 'a' && b[n]|0x20 <= 'z' {
		n++
	}
	return n
}

// skipBlank passes white space, comments, stray semicolons and opening parentheses.
func skipBlank(b []byte) []byte {
	for len(b) > 0 {
		switch {
		case bytes.IndexByte([]byte(" \t\n\r\f\v;("), b[0]) >= 0:
			b = b[1:]
		case len(b) > 1 && b[0] == '-' && b[1] == '-':
			for len(b) > 0 && b[0] != '\n' && b[0] != '\r' {
				b = b[1:]
			}
		case len(b) > 1 && b[0] == '/' && b[1] == '*':
			b = skipComment(b)
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
	return wordLen(sql) < len(sql)
}
