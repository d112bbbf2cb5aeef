package auth

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

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
	nonce    string
	step     loginStep
	scram    *scramClient
	keys     *LoginKeys
}

// LoginKeys are the keys that a login by SCRAM derived. Kept by the driver and handed to later logins, they save
// the derivation as long as the server's salt and number of iterations stay. They hold secrets; their String
// doesn't.
type LoginKeys struct {
	password   string
	salt       []byte
	iterations int
	keys       scramKeys
}

// String has no secrets.
func (*LoginKeys) String() string { return "login keys" }

// GoString is String, so that %#v has no secrets either.
func (k *LoginKeys) GoString() string { return k.String() }

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
	if k != nil && k.password == l.password {
		l.keys = k
	}
}

// Keys are what a SCRAM login derived or used, once it is done; else nil. They never change and may be shared.
func (l *Login) Keys() *LoginKeys {
	if l.step == loginOver && l.scram != nil && l.scram.verified {
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
	l.step = loginOver
	return nil
}

// asked takes the server's first request.
func (l *Login) asked(code uint32, data []byte) ([]byte, error) {
	switch code {
	case authCleartext, authMD5, authSASL:
		if l.password == "" {
			return nil, fmt.Errorf("the server asks for a password of user %q and there is none: give it in the "+
				"upstream's DSN, in PGPASSWORD, in a passfile, or as plain text in auth_file", l.user)
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
		l.step = loginAnswered
		sum := md5.Sum(append([]byte(md5Hex(l.password, l.user)), data...))
		return wire.AppendPassword(nil, "md5"+hex.EncodeToString(sum[:])), nil
	}
	return l.sasl(data)
}

// sasl chooses among the mechanisms that the server offers.
func (l *Login) sasl(data []byte) ([]byte, error) {
	plus := false
	for len(data) > 0 && data[0] != 0 {
		name, rest, ok := wire.CString(data)
		if !ok {
			return nil, errors.New("the server sent a list of SASL mechanisms that is cut off")
		}
		if string(name) == mechanism {
			l.step = loginSASL
			l.scram = newScramClient("", l.nonce)
			return wire.AppendSASLInitialResponse(nil, mechanism, l.scram.first()), nil
		}
		plus = plus || bytes.Equal(name, []byte(mechanism+"-PLUS"))
		data = rest
	}
	if plus {
		return nil, errors.New("the server offers only SCRAM-SHA-256-PLUS, which needs TLS: allow SCRAM-SHA-256 without channel binding")
	}
	return nil, errors.New("the server offers no SASL mechanism that Cancello speaks: allow SCRAM-SHA-256 there")
}

// scramContinue is the expensive step, unless keys of an earlier login fit.
func (l *Login) scramContinue(data []byte) ([]byte, error) {
	if err := l.scram.serverFirst(data); err != nil {
		return nil, err
	}
	if k := l.keys; k == nil || k.iterations != l.scram.iterations || !bytes.Equal(k.salt, l.scram.salt) {
		keys, err := deriveKeys(l.password, l.scram.salt, l.scram.iterations)
		if err != nil {
			return nil, err
		}
		l.keys = &LoginKeys{password: l.password, salt: l.scram.salt, iterations: l.scram.iterations, keys: keys}
	}
	return wire.AppendSASLResponse(nil, l.scram.clientFinal(l.keys.keys)), nil
}
