package auth

import (
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
)

// prepare normalises a password as PostgreSQL does (pg_saslprep in saslprep.c): by SASLprep (RFC 4013), and as the
// raw bytes where that is impossible, so that passwords that are not UTF-8, or hold characters younger than
// Unicode 3.2, work as they do with PostgreSQL.
func prepare(password string) string {
	if isASCII(password) || !utf8.ValidString(password) {
		return password
	}
	// U+200B is in two tables of RFC 3454: PostgreSQL maps it to a space, stringprep to nothing.
	prepared, err := stringprep.SASLprep.Prepare(strings.ReplaceAll(password, "\u200b", " "))
	if err != nil || prepared == "" {
		return password
	}
	return prepared
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
