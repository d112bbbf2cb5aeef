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
	stepHash                    // PasswordMessage, with a hash
	stepCertificate             // Certificate
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
	done    bool // the client is who it claims to be
	reason  string
	salt    [4]byte // of MD5
	plus    bool    // the client chose SCRAM-SHA-256-PLUS
	binding []byte  // tls-server-end-point of this connection; nil: no channel binding is offered
	nonce   string
	conv    *scram.ServerConversation
	bare    string // client-first-message-bare
	answer  string // server-first-message
	stored  []byte // shared with conv: filled when the client's proof is there, see scramFinal
	server  []byte
	derived *Derived
	lent    *LoginKeys

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
	case stepHash:
		return wire.AppendAuthMD5(nil, x.salt)
	case stepMechanism:
		if x.binding != nil {
			return wire.AppendAuthSASL(nil, mechanismPlus, mechanism)
		}
		return wire.AppendAuthSASL(nil, mechanism)
	}
	return nil
}

// Bind offers channel binding of the type tls-server-end-point (RFC 5929), for a connection with TLS: endpoint is the
// hash of the certificate that was served on it. Before First; it is not copied.
func (x *Exchange) Bind(endpoint []byte) {
	if len(endpoint) > 0 {
		x.binding = endpoint
	}
}

// WantsCertificate reports whether Certificate is due, in place of First.
func (x *Exchange) WantsCertificate() bool { return x.step == stepCertificate }

// Certificate takes the common names of the client's certificate, which was verified against the roots before; none
// where it has no certificate. It must have one common name, which is the user's. err is a sqlstate.Error.
func (x *Exchange) Certificate(names []string) error {
	if x.step != stepCertificate {
		return x.broken("unexpected client certificate")
	}
	x.step = stepOver
	switch {
	case len(names) == 0:
		x.reason = "the client has no certificate with a common name"
		return sqlstate.CertificateMissing()
	case len(names) > 1:
		x.reason = "the client's certificate has more than one common name"
	case names[0] != x.user:
		x.reason = "the client's certificate is for somebody else"
	default:
		x.done = true
		return nil
	}
	return sqlstate.CertificateFailed(x.user)
}

// Done reports whether the client is who it claims to be.
func (x *Exchange) Done() bool { return x.done }

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

// LoginKeys are what the client proved itself with, where the list has a SCRAM verifier for it: they log in to servers
// that keep the same verifier (see Userlist.Equip). Nil before it is done, and for others.
func (x *Exchange) LoginKeys() *LoginKeys {
	if !x.done {
		return nil
	}
	return x.lent
}

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
	case stepHash:
		return x.hash(body)
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
	text, err := x.packet(body)
	if err != nil {
		return nil, false, err
	}
	if !x.matches(string(text)) {
		return nil, false, x.refused()
	}
	x.accept()
	return nil, true, nil
}

// hash checks the answer to AuthenticationMD5Password (CheckMD5Auth in auth.c). A user that doesn't exist has a hash
// that nobody knows.
func (x *Exchange) hash(body []byte) ([]byte, bool, error) {
	text, err := x.packet(body)
	if err != nil {
		return nil, false, err
	}
	digits := md5Hex(x.v.mockPassword(x.user), x.user)
	if x.entry != nil && x.entry.kind == PlainText {
		digits = md5Hex(x.entry.secret, x.user)
	} else if x.entry != nil {
		digits = x.entry.secret
	}
	match := subtle.ConstantTimeCompare(text, []byte(md5Answer(digits, x.salt[:]))) == 1
	if !match || x.entry == nil {
		return nil, false, x.refused()
	}
	x.accept()
	return nil, true, nil
}

// packet reads a PasswordMessage.
func (x *Exchange) packet(body []byte) ([]byte, error) {
	text, rest, ok := wire.CString(body)
	if !ok || len(rest) != 0 {
		return nil, x.broken("invalid password packet size")
	}
	if len(text) == 0 {
		x.step, x.reason = stepOver, "the client sent an empty password"
		return nil, sqlstate.New(sqlstate.SeverityFatal, sqlstate.CodeInvalidPassword, "empty password returned by client")
	}
	return text, nil
}

// accept ends the exchange well.
func (x *Exchange) accept() { x.step, x.reason, x.done = stepOver, "", true }

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
		if err != nil || subtle.ConstantTimeCompare(keys.server, v.server) != 1 {
			return false
		}
		x.lent = lend(v, keys.client)
		return true
	case MD5Hash:
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

// md5Answer is what answers AuthenticationMD5Password: the hash of pg_authid, given as its digits, with the salt.
func md5Answer(digits string, salt []byte) string {
	sum := md5.Sum(append([]byte(digits), salt...))
	return "md5" + hex.EncodeToString(sum[:])
}

// md5Hex is the hash of pg_authid for the user's password (md5_crypt_verify in crypt.c), without "md5".
func md5Hex(password, user string) string {
	sum := md5.Sum([]byte(password + user))
	return hex.EncodeToString(sum[:])
}
