package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
)

// Verifier checks clients by one method against one user list. It never changes.
type Verifier struct {
	method     Method
	list       *Userlist
	secret     []byte
	iterations int
	costly     bool
}

// NewVerifier makes a Verifier. list may be nil for Trust; with another method that lets nobody in.
//
// mockSecret is at least 16 random bytes (else NewVerifier panics); it is copied. From it come the salts of users
// whose password is plain text, and those shown for users that don't exist. A reload should keep it: when it
// changes, the salts of such users do, and those of stored verifiers don't, by which a patient observer could tell
// them apart.
func NewVerifier(method Method, list *Userlist, mockSecret []byte) *Verifier {
	if len(mockSecret) < 16 {
		panic("auth: mock secret too short")
	}
	v := &Verifier{method: method, list: list, secret: bytes.Clone(mockSecret), iterations: list.commonIterations()}
	switch method {
	case Plain:
		v.costly = list.holds(ScramVerifier)
	case SCRAM:
		v.costly = list.holds(PlainText)
	}
	return v
}

// Method is what clients are asked for.
func (v *Verifier) Method() Method { return v.method }

// Begin starts the check of one client. user is the one of its startup packet (the name inside SCRAM is ignored,
// as PostgreSQL does). nonce is at least 16 bytes fresh from the system (else MD5 and SCRAM panic); it is not kept.
func (v *Verifier) Begin(user string, nonce []byte) *Exchange {
	x := &Exchange{v: v, user: user}
	switch v.method {
	case Trust:
		x.step, x.done = stepOver, true
		return x
	case Cert:
		x.step = stepCertificate
		return x
	}
	x.entry, x.reason = v.usable(user)
	if v.method == Plain {
		x.step = stepPassword
		return x
	}
	if len(nonce) < minNonce {
		panic("auth: nonce too short")
	}
	x.step = stepMechanism
	if v.method == MD5 && !v.asksSCRAM(user, x.entry) {
		x.step = stepHash
		copy(x.salt[:], nonce)
		return x
	}
	x.nonce = base64.StdEncoding.EncodeToString(nonce)
	return x
}

// asksSCRAM says what a user is asked for by MD5: SCRAM where there is a verifier, else a hash. Which of them a user that
// doesn't exist is asked for follows from the name, one in as many of them SCRAM as there are verifiers in the list, so
// that neither question tells that there is such a user.
func (v *Verifier) asksSCRAM(user string, e *entry) bool {
	if e != nil {
		return e.kind == ScramVerifier
	}
	if v.list == nil {
		return false
	}
	strong, weak := uint64(v.list.count[ScramVerifier]), uint64(v.list.count[PlainText]+v.list.count[MD5Hash])
	draw := uint64(binary.BigEndian.Uint32(mac(v.secret, "kind\x00", user)))
	return strong > 0 && draw*(strong+weak) < strong<<32
}

// usable finds the user's entry, if it can serve the method; else says why not, for the log.
func (v *Verifier) usable(user string) (*entry, string) {
	e := v.list.find(user)
	switch {
	case e == nil:
		return nil, "the user list has no such user"
	case e.kind == NoPassword:
		return nil, "the user list has an empty password for this user, with which nobody gets in"
	case e.kind == MD5Hash && v.method == SCRAM:
		return nil, "the user list has only an md5 hash for this user, which can't serve SCRAM: " +
			"put the password or its SCRAM verifier there, or use md5"
	}
	return e, ""
}

// salt is the one of a user without a stored verifier: the same each time, and nothing can be told from it.
func (v *Verifier) salt(user string) []byte { return mac(v.secret, "salt\x00", user)[:saltLen] }

// mockPassword stands in for the password of a user that doesn't exist. Nobody knows it, and even who guessed it
// would be refused.
func (v *Verifier) mockPassword(user string) string {
	return hex.EncodeToString(mac(v.secret, "password\x00", user))
}
