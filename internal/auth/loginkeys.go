package auth

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
)

// LoginKeys are keys that log in to servers by SCRAM. Those that a login derived are kept by the driver and handed to
// later logins (Login.Use), which saves the derivation as long as the server's salt and number of iterations stay.
// Those that a client proved itself with (Exchange.LoginKeys) need no password at all, where the server keeps the
// verifier that the user list has (Userlist.Equip). They hold secrets; their String doesn't.
type LoginKeys struct {
	password   string
	salt       []byte
	iterations int
	keys       scramKeys
	lent       bool // by a client: there is no password
}

// String has no secrets.
func (*LoginKeys) String() string { return "login keys" }

// GoString is String, so that %#v has no secrets either.
func (k *LoginKeys) GoString() string { return k.String() }

// fits says whether a server that names this salt and number of iterations can be answered.
func (k *LoginKeys) fits(salt []byte, iterations int) bool {
	return k != nil && k.iterations == iterations && bytes.Equal(k.salt, salt)
}

// of says whether these are the keys behind a verifier.
func (k *LoginKeys) of(v scramVerifier) bool {
	return k.fits(v.salt, v.iterations) && subtle.ConstantTimeCompare(k.keys.stored, v.stored) == 1
}

// lend makes keys of a verifier and the client's key; nil if they don't belong together.
func lend(v scramVerifier, client []byte) *LoginKeys {
	stored := sha256.Sum256(client)
	if subtle.ConstantTimeCompare(stored[:], v.stored) != 1 {
		return nil
	}
	return &LoginKeys{salt: v.salt, iterations: v.iterations, keys: scramKeys{client: client, stored: v.stored, server: v.server}, lent: true}
}

// Equip gives a login what the list has of its user in place of a password: an md5 hash answers a server that asks for
// md5, and a SCRAM verifier one that keeps the same, by the keys that a client of this user proved itself with last
// (lent; nil: none). Keys that are not those of the verifier as the list has it now are ignored.
func (l *Userlist) Equip(login *Login, lent *LoginKeys) {
	e := l.find(login.user)
	if e == nil {
		return
	}
	login.has = e.kind
	switch {
	case e.kind == MD5Hash:
		login.digits = e.secret
	case l.Lends(login.user, lent):
		login.lent = lent
	}
}

// Lends says whether these are the keys of the user's SCRAM verifier as the list has it.
func (l *Userlist) Lends(user string, k *LoginKeys) bool {
	e := l.find(user)
	return e != nil && e.kind == ScramVerifier && k.of(e.verifier)
}
