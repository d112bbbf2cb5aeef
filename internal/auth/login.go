package auth

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"cancello/internal/wire"
)

// The codes of an Authentication message (protocol-message-formats).
const (
	authOK           = 0
	authKerberosV5   = 2
	authCleartext    = 3
	authMD5          = 5
	authGSS          = 7
	authSSPI         = 9
	authSASL         = 10
	authSASLContinue = 11
	authSASLFinal    = 12
)

// loginStep is what a Login has done.
type loginStep uint8

const (
	loginStart    loginStep = iota // nothing was asked
	loginAnswered                  // the password was sent, in clear or hashed
	loginSASL                      // SCRAM is under way
	loginProved                    // SCRAM is over, and the server has proved that it knows the password too
	loginOver                      // AuthenticationOk or an error
)

// Login proves to a server who we are.
type Login struct {
	user     string
	password string
	digits   string     // of an md5 hash, which serves md5 where there is no password
	lent     *LoginKeys // a client's own, which serve SCRAM where there is no password
	has      Kind       // what the user list has of the user where it hasn't the password
	nonce    string
	step     loginStep
	scram    *scramClient
	keys     *LoginKeys

	binding  Binding
	tls      bool
	endpoint []byte // tls-server-end-point of the connection; nil where it can't be told
}

// Binding says whether a SCRAM login is bound to its TLS connection (channel_binding of libpq).
type Binding uint8

// The values. The words are those of String.
const (
	// BindPrefer binds where the server offers it.
	BindPrefer Binding = iota
	// BindDisable never does.
	BindDisable
	// BindRequire logs in by a SCRAM that is bound, or not at all.
	BindRequire
)

// String is libpq's word.
func (b Binding) String() string { return [...]string{"prefer", "disable", "require"}[b] }

// NewLogin starts a login. An empty password is none: PostgreSQL has no empty ones. nonce is at least 16 bytes
// fresh from the system (else NewLogin panics); it is not kept.
func NewLogin(user, password string, nonce []byte) *Login {
	if len(nonce) < minNonce {
		panic("auth: nonce too short")
	}
	return &Login{user: user, password: password, nonce: base64.StdEncoding.EncodeToString(nonce)}
}

// Use offers keys of an earlier login. Those of another password, salt or number of iterations are ignored.
func (l *Login) Use(k *LoginKeys) {
	if k != nil && !k.lent && k.password == l.password {
		l.keys = k
	}
}

// Bind says how to deal with channel binding. tls: the connection has TLS; endpoint is then the hash of the server's
// certificate (tls-server-end-point of RFC 5929), nil where its signature has none. Without Bind it is as in clear.
func (l *Login) Bind(b Binding, tls bool, endpoint []byte) {
	l.binding, l.tls, l.endpoint = b, tls, endpoint
}

// Keys are what a SCRAM login derived or used, once it is done; else nil, also where it used keys that a client lent.
// They never change and may be shared.
func (l *Login) Keys() *LoginKeys {
	if l.step == loginOver && l.scram != nil && l.scram.verified && !l.keys.lent {
		return l.keys
	}
	return nil
}

// Costly reports whether Receive of this body may derive a key, which takes a millisecond or more, and up to some
// seconds where the server asks for MaxIterations.
func (l *Login) Costly(authBody []byte) bool {
	return l.step == loginSASL && len(authBody) >= 4 && binary.BigEndian.Uint32(authBody) == authSASLContinue
}

// Receive takes the body of an 'R' message of the server: a code of four bytes and its data. send, if not nil, is
// to be written. done says that this was AuthenticationOk, and that the server had the right to send it. err is for
// people, without secrets and without the server's name, which the caller knows; the connection is to be closed.
func (l *Login) Receive(authBody []byte) (send []byte, done bool, err error) {
	if len(authBody) < 4 {
		return nil, false, l.fail(errors.New("the server sent an Authentication message that is cut off"))
	}
	code, data := binary.BigEndian.Uint32(authBody), authBody[4:]
	switch {
	case code == authOK:
		err = l.ok()
		return nil, err == nil, err
	case l.step == loginSASL && code == authSASLContinue:
		send, err = l.scramContinue(data)
	case l.step == loginSASL && code == authSASLFinal:
		if err = l.scram.final(data); err == nil {
			l.step = loginProved
		}
	case l.step != loginStart:
		err = fmt.Errorf("the server sent Authentication request %d out of turn", code)
	default:
		send, err = l.asked(code, data)
	}
	if err != nil {
		return nil, false, l.fail(err)
	}
	return send, false, nil
}

func (l *Login) fail(err error) error {
	l.step = loginOver
	return err
}

// ok takes AuthenticationOk. In the middle of SCRAM it is refused: whoever sends it there hasn't shown that it knows
// the password.
func (l *Login) ok() error {
	switch l.step {
	case loginSASL:
		return l.fail(errors.New("the server ended SCRAM authentication without proving that it knows the password; " +
			"make sure that this is the right server"))
	case loginOver:
		return errors.New("the server sent AuthenticationOk out of turn")
	}
	if l.binding == BindRequire && (l.step != loginProved || !l.scram.bound()) {
		return l.fail(errors.New("channel_binding = require, but the server lets us in without it: allow scram-sha-256 alone " +
			"for Cancello's address in the server's pg_hba.conf, over TLS"))
	}
	l.step = loginOver
	return nil
}

// asked takes the server's first request.
func (l *Login) asked(code uint32, data []byte) ([]byte, error) {
	switch code {
	case authCleartext, authMD5, authSASL:
		if err := l.lacks(code); err != nil {
			return nil, err
		}
	case authGSS, authSSPI, authKerberosV5:
		return nil, fmt.Errorf("the server asks for Kerberos, GSSAPI or SSPI (request %d), which Cancello doesn't speak: "+
			"allow scram-sha-256 for Cancello's address in the server's pg_hba.conf", code)
	default:
		return nil, fmt.Errorf("the server asks for authentication method %d, which Cancello doesn't know: "+
			"allow scram-sha-256 for Cancello's address in the server's pg_hba.conf", code)
	}
	switch code {
	case authCleartext:
		l.step = loginAnswered
		return wire.AppendPassword(nil, l.password), nil
	case authMD5:
		if len(data) != 4 {
			return nil, errors.New("the server sent an md5 salt of the wrong length")
		}
		digits := l.digits
		if l.password != "" {
			digits = md5Hex(l.password, l.user)
		}
		l.step = loginAnswered
		return wire.AppendPassword(nil, md5Answer(digits, data)), nil
	}
	return l.sasl(data)
}

// lacks says what is missing to answer a server's first request; nil: nothing is.
func (l *Login) lacks(code uint32) error {
	if l.binding == BindRequire && code != authSASL {
		return errors.New("channel_binding = require, but the server asks for a password without it: allow scram-sha-256 for " +
			"Cancello's address in the server's pg_hba.conf, and set the role's password with password_encryption = scram-sha-256")
	}
	const give = "give the password in the upstream's DSN, in PGPASSWORD, in a passfile, or as plain text in auth_file"
	switch {
	case l.password != "", code == authMD5 && l.digits != "", code == authSASL && l.lent != nil:
		return nil
	case l.has == MD5Hash:
		return fmt.Errorf("auth_file has only an md5 hash for user %q, which can answer a server that asks for md5 and no other: %s", l.user, give)
	case l.has == ScramVerifier && code == authSASL:
		return fmt.Errorf("auth_file has only a SCRAM verifier for user %q, which can't log in to a server until a client has logged in "+
			"as this user by a method that looks at it (auth_type scram-sha-256, md5 or plain): wait for one, or %s", l.user, give)
	case l.has == ScramVerifier:
		return fmt.Errorf("auth_file has only a SCRAM verifier for user %q, and the server asks for a password in clear or by md5: "+
			"allow scram-sha-256 for Cancello's address in the server's pg_hba.conf, or %s", l.user, give)
	}
	return fmt.Errorf("the server asks for a password of user %q and there is none: %s", l.user, strings.Replace(give, "the password", "it", 1))
}

// sasl chooses among the mechanisms that the server offers, as libpq does (pg_SASL_init in fe-auth.c).
func (l *Login) sasl(data []byte) ([]byte, error) {
	var plain, plus bool
	for len(data) > 0 && data[0] != 0 {
		name, rest, ok := wire.CString(data)
		if !ok {
			return nil, errors.New("the server sent a list of SASL mechanisms that is cut off")
		}
		plain = plain || string(name) == mechanism
		plus = plus || string(name) == mechanismPlus
		data = rest
	}
	bind := l.binding != BindDisable && l.endpoint != nil
	switch {
	case plus && !l.tls && l.binding != BindDisable:
		return nil, errors.New("the server offers SCRAM-SHA-256-PLUS though this connection has no TLS: somebody in between may " +
			"have taken it off; where that is meant to be, set channel_binding = disable")
	case plus && bind:
		return l.begin(mechanismPlus, bindEndpoint, l.endpoint)
	case l.binding == BindRequire && !l.tls:
		return nil, errors.New("channel_binding = require, but this connection has no TLS, which it needs: set sslmode = require or a stronger one")
	case l.binding == BindRequire && plus:
		return nil, errors.New("channel_binding = require, but the signature of the server's certificate has no hash that could be used: " +
			"give the server a certificate signed with RSA or ECDSA")
	case l.binding == BindRequire:
		return nil, errors.New("channel_binding = require, but the server offers none: use a PostgreSQL 11 or later that terminates TLS itself")
	case plain && bind: // a server that did offer it will see that its offer was taken away
		return l.begin(mechanism, bindUnoffered, nil)
	case plain:
		return l.begin(mechanism, bindNone, nil)
	case plus:
		return nil, errors.New("the server offers only SCRAM-SHA-256-PLUS, and channel binding can't be used on this connection: " +
			"allow SCRAM-SHA-256 there, or use TLS and leave channel_binding at prefer")
	}
	return nil, errors.New("the server offers no SASL mechanism that Cancello speaks: allow SCRAM-SHA-256 there")
}

// begin sends client-first-message.
func (l *Login) begin(mech, flag string, endpoint []byte) ([]byte, error) {
	l.step = loginSASL
	l.scram = newScramClient("", l.nonce)
	l.scram.flag, l.scram.endpoint = flag, endpoint
	return wire.AppendSASLInitialResponse(nil, mech, l.scram.first()), nil
}

// scramContinue is the expensive step, unless keys of an earlier login or of a client fit.
func (l *Login) scramContinue(data []byte) ([]byte, error) {
	if err := l.scram.serverFirst(data); err != nil {
		return nil, err
	}
	switch salt, iterations := l.scram.salt, l.scram.iterations; {
	case l.lent.fits(salt, iterations):
		l.keys = l.lent
	case l.keys.fits(salt, iterations):
	case l.password == "":
		return nil, fmt.Errorf("the server keeps another SCRAM verifier of user %q than auth_file, with another salt or number of "+
			"iterations, so that what clients prove themselves with can't log in there: copy rolpassword from the server's pg_authid "+
			"into auth_file, the same on all servers of this user", l.user)
	default:
		keys, err := deriveKeys(l.password, l.scram.salt, l.scram.iterations)
		if err != nil {
			return nil, err
		}
		l.keys = &LoginKeys{password: l.password, salt: l.scram.salt, iterations: l.scram.iterations, keys: keys}
	}
	return wire.AppendSASLResponse(nil, l.scram.clientFinal(l.keys.keys)), nil
}
