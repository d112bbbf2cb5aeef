package auth

import "fmt"

// Kind is what a user list holds of a user's password.
type Kind uint8

// The kinds.
const (
	// NoPassword is an empty string: nobody gets in with it.
	NoPassword Kind = iota
	// PlainText serves every method, and logs in to servers.
	PlainText
	// MD5Hash is "md5" and 32 hexadecimal digits, a hash over password and user: it serves Plain and MD5, and logs in
	// to servers that ask for md5.
	MD5Hash
	// ScramVerifier is a SCRAM verifier as in pg_authid: it serves Plain, SCRAM and MD5, and logs in to servers that
	// keep the same one, with the keys that a client has proved itself with (see LoginKeys).
	ScramVerifier
)

// String is the kind's name for people.
func (k Kind) String() string {
	return [...]string{"no password", "plain text", "md5 hash", "SCRAM verifier"}[k]
}

// entry is one line of a user list. secret is the password, or the 32 digits of the md5 hash.
type entry struct {
	kind     Kind
	secret   string
	verifier scramVerifier
}

// Userlist is the content of a user list. It never changes. Its String says how many users it has and nothing of
// them. The zero value and nil are an empty list.
type Userlist struct {
	users      map[string]*entry
	iterations int    // the commonest number of iterations among the verifiers, else DefaultIterations
	count      [4]int // users by Kind
}

// Lookup says what the list holds of a user; ok is false for a user it doesn't have.
func (l *Userlist) Lookup(user string) (kind Kind, ok bool) {
	e := l.find(user)
	if e == nil {
		return NoPassword, false
	}
	return e.kind, true
}

// Password is the user's password, for logging in to servers; ok is false where the list hasn't the user or only
// a hash. The password is secret.
func (l *Userlist) Password(user string) (password string, ok bool) {
	e := l.find(user)
	if e == nil || e.kind != PlainText {
		return "", false
	}
	return e.secret, true
}

// Len is the number of users.
func (l *Userlist) Len() int {
	if l == nil {
		return 0
	}
	return len(l.users)
}

// String has no secrets: "users: 12".
func (l *Userlist) String() string { return fmt.Sprintf("users: %d", l.Len()) }

// GoString is String, so that %#v has no secrets either.
func (l *Userlist) GoString() string { return l.String() }

func (l *Userlist) find(user string) *entry {
	if l == nil {
		return nil
	}
	return l.users[user]
}

// holds reports whether any user has an entry of that kind.
func (l *Userlist) holds(k Kind) bool { return l != nil && l.count[k] > 0 }

func (l *Userlist) commonIterations() int {
	if l == nil || l.iterations == 0 {
		return DefaultIterations
	}
	return l.iterations
}
