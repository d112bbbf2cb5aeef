package proxy

import (
	"fmt"
	"io"
	"maps"
	"sync"

	"cancello/internal/auth"
	"cancello/internal/sqlstate"
	"cancello/internal/wire"
)

// authenticate asks the client for what the method wants. A sqlstate.Error is for the client; what the log may know
// beyond it is emitted here.
func (v *visit) authenticate(user string, x *auth.Exchange) error {
	if x.WantsCertificate() {
		if err := x.Certificate(commonNames(v.tls)); err != nil {
			v.notAuthenticated(x.Reason(), err)
			return err
		}
	}
	return v.converse(user, x, x.First())
}

// converse asks, and hears what is answered, until it is known who the client is.
func (v *visit) converse(user string, x *auth.Exchange, ask []byte) error {
	for done := x.Done(); !done; {
		if len(ask) > 0 {
			if _, err := v.nc.Write(ask); err != nil {
				return err
			}
		}
		body, err := v.passwordMessage()
		if err != nil {
			return err
		}
		step := func() error {
			ask, done, err = x.Receive(body)
			return err
		}
		if x.Costly() {
			err = v.p.gate.through(v.context(), ofLogins, func(func(func())) error { return step() })
		} else {
			err = step()
		}
		if err != nil {
			v.notAuthenticated(x.Reason(), err)
			return err
		}
	}
	v.authenticated(user, x)
	if len(ask) > 0 { // the server's own proof, last step of SCRAM
		_, err := v.nc.Write(ask)
		return err
	}
	return nil
}

// passwordMessage reads the body of a 'p' message. A client that closes here, to ask its user for the password, is
// no error worth a word.
func (v *visit) passwordMessage() ([]byte, error) {
	var head [wire.HeaderLen]byte
	if _, err := io.ReadFull(v.r, head[:]); err != nil {
		return nil, err
	}
	n, err := passwordLen(head[:])
	if err != nil {
		return nil, err
	}
	body := make([]byte, n)
	_, err = io.ReadFull(v.r, body)
	return body, err
}

// passwordLen is how long the body of a 'p' message is.
func passwordLen(head []byte) (int, error) {
	if head[0] != wire.MsgPassword {
		return 0, sqlstate.ProtocolViolation(fmt.Sprintf("expected password response, got message type %d", head[0]))
	}
	_, n, err := wire.FrontendHeader(head)
	return n, err
}

// keyring keeps what was derived for a password by somebody's name, so that the derivation is paid once. It holds
// secrets, in memory only, and no more names than have logged in with success.
type keyring[K comparable, V any] struct {
	mu   sync.Mutex
	keys map[K]*V
}

func (k *keyring[K, V]) get(name K) *V {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys[name]
}

func (k *keyring[K, V]) put(name K, v *V) {
	if v == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		k.keys = map[K]*V{}
	}
	k.keys[name] = v
}

// drop forgets what is of no use any more.
func (k *keyring[K, V]) drop(useless func(K, *V) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.keys, useless)
}

// The rings of a Proxy.
type (
	derivedRing = keyring[string, auth.Derived]
	loginRing   = keyring[account, auth.LoginKeys]
	lentRing    = keyring[string, auth.LoginKeys] // by user, the newest
)

// account is whom a server knows.
type account struct{ upstream, user string }
