package auth

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// The faults of a line. None repeats what it holds: a shifted quote may make a password of a user name.
var (
	errNoQuote = errors.New(`a line must be "user" "password", both in double quotes; a comment begins with ;`)
	errOpen    = errors.New(`a closing quote is missing on this line; inside quotes a double quote is written twice ("")`)
	errNoPass  = errors.New(`the password is missing: after the user comes "password" in double quotes ("" for none)`)
	errTrail   = errors.New(`there is text after the password; inside quotes a double quote is written twice (""), a comment begins with ;`)
	errNoUser  = errors.New(`the user name is empty`)
	errZero    = errors.New(`there is a zero byte on this line; a user list is a text file`)
)

// ParseUserlist reads PgBouncer's userlist.txt: a line for each user, "user" "password" in double quotes, where a
// quote is written twice; the password is plain text, md5 and 32 digits, or a SCRAM verifier as in
// pg_authid.rolpassword. Lines that begin with ; and blank lines are skipped. name is the file's, for the error,
// which says the line and never what is on it. Stricter than PgBouncer: text after the password, a user given
// twice and a broken verifier are errors. b is not kept.
func ParseUserlist(name string, b []byte) (*Userlist, error) {
	l := &Userlist{users: map[string]*entry{}}
	var at = map[string]int{}
	var counts iterationCounts
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	for n := 1; len(b) > 0; n++ {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte("\n"))
		user, e, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		if e == nil {
			continue
		}
		if first := at[user]; first != 0 {
			return nil, fmt.Errorf("%s:%d: this user is on line %d already; keep one of the two lines", name, n, first)
		}
		at[user] = n
		l.users[user] = e
		l.count[e.kind]++
		if e.kind == ScramVerifier {
			counts.add(e.verifier.iterations)
		}
	}
	l.iterations = counts.commonest()
	return l, nil
}

// parseLine returns a nil entry for a line that has none.
func parseLine(line []byte) (user string, e *entry, err error) {
	if bytes.IndexByte(line, 0) >= 0 {
		return "", nil, errZero
	}
	line = bytes.Trim(line, blanks)
	if len(line) == 0 || line[0] == ';' {
		return "", nil, nil
	}
	if line[0] != '"' {
		return "", nil, errNoQuote
	}
	user, line, ok := quoted(line)
	if !ok {
		return "", nil, errOpen
	}
	if user == "" {
		return "", nil, errNoUser
	}
	line = bytes.TrimLeft(line, blanks)
	if len(line) == 0 || line[0] != '"' {
		return "", nil, errNoPass
	}
	secret, line, ok := quoted(line)
	if !ok {
		return "", nil, errOpen
	}
	line = bytes.TrimLeft(line, blanks)
	if len(line) > 0 && line[0] != ';' {
		return "", nil, errTrail
	}
	e, err = newEntry(secret)
	return user, e, err
}

const blanks = " \t\r\v\f"

// quoted reads a string in double quotes from the front of b, which begins with one.
func quoted(b []byte) (s string, rest []byte, ok bool) {
	var text strings.Builder
	for b = b[1:]; ; {
		i := bytes.IndexByte(b, '"')
		if i < 0 {
			return "", nil, false
		}
		text.Write(b[:i])
		b = b[i+1:]
		if len(b) == 0 || b[0] != '"' {
			return text.String(), b, true
		}
		text.WriteByte('"')
		b = b[1:]
	}
}

// newEntry tells the kinds apart as PostgreSQL does (get_password_type in crypt.c), but that a broken verifier is
// an error and not somebody's plain password.
func newEntry(secret string) (*entry, error) {
	switch {
	case secret == "":
		return &entry{kind: NoPassword}, nil
	case isMD5(secret):
		return &entry{kind: MD5Hash, secret: secret[3:]}, nil
	case strings.HasPrefix(secret, verifierPrefix):
		v, err := parseVerifier(secret)
		if err != nil {
			return nil, err
		}
		return &entry{kind: ScramVerifier, verifier: v}, nil
	}
	return &entry{kind: PlainText, secret: secret}, nil
}

func isMD5(s string) bool {
	digits, ok := strings.CutPrefix(s, "md5")
	return ok && len(digits) == 32 && strings.Trim(digits, "0123456789abcdef") == ""
}

// iterationCounts finds the commonest number of iterations; of equally common ones, that which came first.
type iterationCounts struct {
	values, counts []int
}

func (c *iterationCounts) add(iterations int) {
	for i, v := range c.values {
		if v == iterations {
			c.counts[i]++
			return
		}
	}
	c.values, c.counts = append(c.values, iterations), append(c.counts, 1)
}

func (c *iterationCounts) commonest() int {
	best, most := 0, 0
	for i, n := range c.counts {
		if n > most {
			best, most = c.values[i], n
		}
	}
	return best
}
