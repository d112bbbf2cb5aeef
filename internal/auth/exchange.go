package auth

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/hex"

	"github.com/xdg-go/scram"

	"cancello/internal/sqlstate"
	"cancello/internal/wire"
)

// step is what an Exchange waits for.
type step uint8

const (
	stepOver        step = iota // nothing: it succeeded or failed
	stepPassword                // PasswordMessage
	stepMechanism               // SASLInitialResponse
	stepClientFirst             // SASLResponse, after an initial response without data
	stepClientFinal             // SASLResponse
)

// Exchange is the check of one client.
type Exchange struct {
	v       *Verifier
	user    string
	entry   *entry // nil: cannot succeed, and must not show it
	step    step
	reason  string
	nonce   string
	conv    *scram.ServerConversation
	stored  []byte // shared with conv: filled when the client's proof is there, see scramFinal
	server  []byte
	derived *Derived

	derivations int // how many keys this exchange derived, for the tests: cost must not tell users apart
}

// Derived is the key that was derived for a user's plain text password. Kept by the driver and handed to later
// exchanges, it makes logins that succeed cheap. It holds secrets; its String doesn't.
type Derived struct {
	entry *entry // whose it is; that of another load of the list is another one
	keys  scramKeys
}

// String has no secrets.
func (*Derived) String() string { return "derived key" }

// GoString is String, so that %#v has no secrets either.
func (d *Derived) GoString() string { return d.String() }

// First is the Authentication message to begin with, or nil when nothing is asked: then the client is in already.
// AuthenticationOk is left to the driver, which sends it when the client has been admitted.
func (x *Exchange) First() []byte {
	switch x.step {
	case stepPassword:
		return wire.AppendAuthCleartext(nil)
	case stepMechanism:
		return wire.AppendAuthSASL(nil, mechanism)
	}
	return nil
}

// Costly reports whether the next Receive may derive a key, which takes a millisecond or more.
func (x *Exchange) Costly() bool {
	return x.v.costly && (x.step == stepPassword || x.step == stepClientFinal)
}

// Use offers a key that an earlier exchange derived. One that is not for this user as the list has it now is
// ignored, so a driver may keep them by user name and need not forget them on a reload.
func (x *Exchange) Use(d *Derived) {
	if d != nil && x.entry != nil && d.entry == x.entry {
		x.derived = d
	}
}

// Derived is the user's derived key, for later exchanges; nil if there is none. It never changes and may be shared.
func (x *Exchange) Derived() *Derived { return x.derived }

// Reason says for the log why the check failed, without secrets; it is empty before that. It must not reach the
// client, which could tell from it which users exist.
func (x *Exchange) Reason() string {
	if x.step != stepOver {
		return ""
	}
	return x.reason
}

// Receive takes the body of the client's next 'p' message. send, if not nil, is to be written, also when done. done
// says that the client is who it claims to be. err is a sqlstate.Error for the client, always FATAL; then and after
// done the Exchange is over. It may be expensive, see Costly.
func (x *Exchange) Receive(body []byte) (send []byte, done bool, err error) {
	switch x.step {
	case stepPassword:
		return x.password(body)
	case stepMechanism:
		return x.mechanism(body)
	case stepClientFirst:
		return x.scramFirst(body)
	case stepClientFinal:
		return x.scramFinal(body)
	}
	return nil, false, x.broken("unexpected password message")
}

// password checks a password in clear (CheckPasswordAuth and recv_password_packet in auth.c).
func (x *Exchange) password(body []byte) ([]byte, bool, error) {
	text, rest, ok := wire.CString(body)
	if !ok || len(rest) != 0 {
		return nil, false, x.broken("invalid password packet size")
	}
	if len(text) == 0 {
		x.step, x.reason = stepOver, "the client sent an empty password"
		return nil, false, sqlstate.New(sqlstate.SeverityFatal, sqlstate.CodeInvalidPassword, "empty password returned by client")
	}
	if !x.matches(string(text)) {
		return nil, false, x.refused()
	}
	x.step, x.reason = stepOver, ""
	return nil, true, nil
}

// matches runs the same code for a user that doesn't exist as for one whose password is plain text.
func (x *Exchange) matches(password string) bool {
	kind, secret := PlainText, x.v.mockPassword(x.user)
	if x.entry != nil {
		kind, secret = x.entry.kind, x.entry.secret
	}
	var match bool
	switch kind {
	case ScramVerifier:
		v := x.entry.verifier
		keys, err := x.derive(password, v.salt, v.iterations)
		return err == nil && subtle.ConstantTimeCompare(keys.server, v.server) == 1
	case MD5:
		match = subtle.ConstantTimeCompare([]byte(md5Hex(password, x.user)), []byte(secret)) == 1
	default:
		// Over hashes, or the time would tell the length.
		match = subtle.ConstantTimeCompare(mac(x.v.secret, password), mac(x.v.secret, secret)) == 1
	}
	match = match && x.entry != nil
	if !match && x.v.costly {
		x.burn()
	}
	return match
}

// burn does the work of a derivation for nothing, so that time doesn't tell why an attempt was refused.
func (x *Exchange) burn() {
	_, _ = x.derive(x.v.mockPassword(x.user), x.v.salt(x.user), x.v.iterations)
}

func (x *Exchange) derive(password string, salt []byte, iterations int) (scramKeys, error) {
	x.derivations++
	return deriveKeys(password, salt, iterations)
}

// refused ends the exchange with the one message for unknown users and wrong passwords.
func (x *Exchange) refused() error {
	x.step = stepOver
	if x.reason == "" {
		x.reason = "wrong password"
	}
	return sqlstate.PasswordFailed(x.user)
}

// broken ends the exchange for a breach of the protocol.
func (x *Exchange) broken(text string) error {
	x.step, x.reason = stepOver, text
	return sqlstate.ProtocolViolation(text)
}

// md5Hex is the hash of pg_authid for the user's password (md5_crypt_verify in crypt.c), without "md5".
func md5Hex(password, user string) string {
	sum := md5.Sum([]byte(password + user))
	return hex.EncodeToString(sum[:])
}
