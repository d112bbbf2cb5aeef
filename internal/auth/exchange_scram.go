package auth

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/xdg-go/scram"

	"cancello/internal/sqlstate"
	"cancello/internal/wire"
)

// malformed is said for every message that is not SCRAM, in PostgreSQL's words, without its detail.
const malformed = "malformed SCRAM message"

// mechanism takes a SASLInitialResponse: mechanism, length or -1, data (CheckSASLAuth in auth-sasl.c).
func (x *Exchange) mechanism(body []byte) ([]byte, bool, error) {
	name, rest, ok := wire.CString(body)
	if !ok || len(rest) < 4 {
		return nil, false, x.broken("invalid SASL initial response")
	}
	x.plus = x.binding != nil && string(name) == mechanismPlus
	if string(name) != mechanism && !x.plus {
		return nil, false, x.broken("client selected an invalid SASL authentication mechanism")
	}
	n, data := int32(binary.BigEndian.Uint32(rest)), rest[4:]
	if n == -1 && len(data) == 0 {
		x.step = stepClientFirst
		return wire.AppendAuthSASLContinue(nil, nil), false, nil
	}
	if int64(n) != int64(len(data)) {
		return nil, false, x.broken("invalid SASL initial response")
	}
	return x.scramFirst(data)
}

// scramFirst takes client-first-message and answers with server-first-message (RFC 5802 section 7). Nothing is
// derived yet: salt and number of iterations are enough.
func (x *Exchange) scramFirst(data []byte) ([]byte, bool, error) {
	if len(data) > maxSASLMessage || bytes.IndexByte(data, 0) >= 0 {
		return nil, false, x.broken(malformed)
	}
	if err := x.flag(data); err != nil {
		return nil, false, err
	}
	// The authorization identity is a user to act as; PostgreSQL has none (read_client_first_message).
	if _, after, _ := bytes.Cut(data, []byte(",")); bytes.HasPrefix(after, []byte("a")) {
		x.step, x.reason = stepOver, "the client uses a SCRAM authorization identity"
		return nil, false, sqlstate.New(sqlstate.SeverityFatal, sqlstate.CodeFeatureNotSupported,
			"client uses authorization identity, but it is not supported")
	}
	x.stored, x.server = make([]byte, sha256.Size), make([]byte, sha256.Size)
	factors := scram.KeyFactors{Salt: string(x.v.salt(x.user)), Iters: x.v.iterations}
	if x.entry != nil && x.entry.kind == ScramVerifier {
		factors = scram.KeyFactors{Salt: string(x.entry.verifier.salt), Iters: x.entry.verifier.iterations}
	}
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) {
		return scram.StoredCredentials{KeyFactors: factors, StoredKey: x.stored, ServerKey: x.server}, nil
	})
	if err != nil {
		return nil, false, x.broken(malformed)
	}
	nonce := x.nonce
	x.conv = server.WithNonceGenerator(func() string { return nonce }).
		NewConversationWithChannelBinding(scram.ChannelBinding{Type: scram.ChannelBindingTLSServerEndpoint, Data: x.binding})
	answer, err := x.conv.Step(string(data))
	if err != nil {
		// The library's text repeats what the client sent.
		return nil, false, x.broken(malformed)
	}
	x.step, x.answer = stepClientFinal, answer
	_, after, _ := strings.Cut(string(data), ",")
	_, x.bare, _ = strings.Cut(after, ",")
	return wire.AppendAuthSASLContinue(nil, []byte(answer)), false, nil
}

// scramFinal takes client-final-message. A success says so with server-final-message.
func (x *Exchange) scramFinal(data []byte) ([]byte, bool, error) {
	if len(data) > maxSASLMessage || bytes.IndexByte(data, 0) >= 0 {
		return nil, false, x.broken(malformed)
	}
	derived := x.fillKeys()
	answer, err := x.conv.Step(string(data))
	if err == nil && x.entry != nil {
		if x.entry.kind == ScramVerifier {
			x.lent = lend(x.entry.verifier, x.clientKey(string(data)))
		}
		x.accept()
		return wire.AppendAuthSASLFinal(nil, []byte(answer)), true, nil
	}
	if x.v.costly && !derived {
		x.burn()
	}
	switch {
	case err != nil && answer == scram.ErrChannelBindingsDontMatch && x.plus:
		x.step, x.reason = stepOver, "the client is bound to another TLS connection: somebody may be in between"
		return nil, false, sqlstate.ChannelBindingFailed()
	case err != nil && answer != scram.ErrInvalidProof:
		return nil, false, x.broken(malformed)
	}
	return nil, false, x.refused()
}

// flag looks at the channel binding that client-first-message speaks of (read_client_first_message). A client that could
// bind and believes that we can't was lied to by somebody who took the offer away.
func (x *Exchange) flag(data []byte) error {
	word, _, _ := bytes.Cut(data, []byte(","))
	kind, bound := bytes.CutPrefix(word, []byte("p="))
	switch {
	case bound != x.plus:
		return x.broken(malformed)
	case bound && string(kind) != endpointType:
		return x.broken("unsupported SCRAM channel-binding type")
	case len(word) == 1 && word[0] == 'y' && x.binding != nil:
		x.step, x.reason = stepOver, "the client did not see that channel binding was offered: somebody may be in between"
		return sqlstate.ChannelBindingUnseen()
	}
	return nil
}

// clientKey is the key that the proof in client-final-message was made with. The proof has been checked.
func (x *Exchange) clientKey(final string) []byte {
	i := strings.LastIndex(final, ",p=")
	proof, err := base64.StdEncoding.DecodeString(final[i+len(",p="):])
	if err != nil || len(proof) != sha256.Size {
		return nil // it can't be: it has been checked
	}
	key := mac(x.stored, x.bare, ",", x.answer, ",", final[:i])
	subtle.XORBytes(key, key, proof)
	return key
}

// fillKeys puts the keys to compare with where the conversation reads them, and reports whether it had to derive.
func (x *Exchange) fillKeys() (derived bool) {
	switch {
	case x.entry != nil && x.entry.kind == ScramVerifier:
		x.setKeys(x.entry.verifier.stored, x.entry.verifier.server)
		return false
	case x.derived != nil:
		x.setKeys(x.derived.keys.stored, x.derived.keys.server)
		return false
	case x.v.costly:
		password := x.v.mockPassword(x.user)
		if x.entry != nil {
			password = x.entry.secret
		}
		keys, err := x.derive(password, x.v.salt(x.user), x.v.iterations)
		if err != nil {
			x.entry, x.reason = nil, err.Error()
			break
		}
		x.setKeys(keys.stored, keys.server)
		if x.entry != nil {
			x.derived = &Derived{entry: x.entry, keys: keys}
		}
		return true
	}
	// No entry needs a derivation, so this user, who doesn't exist, must not either.
	x.setKeys(mac(x.v.secret, "stored\x00", x.user), mac(x.v.secret, "server\x00", x.user))
	return false
}

func (x *Exchange) setKeys(stored, server []byte) {
	copy(x.stored, stored)
	copy(x.server, server)
}
