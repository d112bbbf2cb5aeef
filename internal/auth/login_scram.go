package auth

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// scramClient is the client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677). It never sees the
// password: it is given keys, which may have been derived long before.
type scramClient struct {
	flag       string // gs2-header: what it does about channel binding, and no authorization identity
	endpoint   []byte // tls-server-end-point, with bindEndpoint
	firstBare  string // client-first-message-bare
	nonce      string
	salt       []byte
	iterations int
	server     string // server-first-message
	signature  []byte // the ServerSignature to expect; nil until clientFinal
	combined   string // both nonces
	verified   bool
}

// The gs2-headers of RFC 5802 section 7, without an authorization identity.
const (
	bindNone      = "n,," // we don't
	bindUnoffered = "y,," // we could, but it was not offered
	bindEndpoint  = "p=" + endpointType + ",,"
)

// newScramClient takes the name to send, which PostgreSQL ignores and libpq leaves empty, and a printable nonce
// without commas.
func newScramClient(name, nonce string) *scramClient {
	return &scramClient{flag: bindNone, firstBare: "n=" + name + ",r=" + nonce, nonce: nonce}
}

// first is client-first-message.
func (c *scramClient) first() []byte { return []byte(c.flag + c.firstBare) }

// bound says whether the login is bound to its TLS connection.
func (c *scramClient) bound() bool { return c != nil && c.flag == bindEndpoint }

var errServerFirst = errors.New("the server sent a malformed SCRAM message (server-first-message)")

// serverFirst reads server-first-message.
func (c *scramClient) serverFirst(data []byte) error {
	if c.server != "" {
		return errors.New("the server sent the same SCRAM step twice")
	}
	if len(data) > maxSASLMessage {
		return errServerFirst
	}
	c.server = string(data)
	// A mandatory extension would be in front ("m="), so an unknown one is refused here as the RFC demands.
	fields := strings.Split(c.server, ",")
	if len(fields) < 3 {
		return errServerFirst
	}
	nonce, ok1 := strings.CutPrefix(fields[0], "r=")
	salt, ok2 := strings.CutPrefix(fields[1], "s=")
	rounds, ok3 := strings.CutPrefix(fields[2], "i=")
	if !ok1 || !ok2 || !ok3 {
		return errServerFirst
	}
	// The server must repeat our nonce and add to it, or an old conversation could be replayed.
	if len(nonce) <= len(c.nonce) || !strings.HasPrefix(nonce, c.nonce) || !printable(nonce) {
		return errors.New("the server sent a SCRAM nonce that doesn't belong to this login")
	}
	c.combined = nonce
	var err error
	if c.salt, err = base64.StdEncoding.DecodeString(salt); err != nil || len(c.salt) == 0 {
		return errServerFirst
	}
	n, err := strconv.ParseUint(rounds, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && n > MaxIterations:
		return fmt.Errorf("the server asks for more than %d SCRAM iterations, which Cancello refuses to compute: "+
			"set the role's password again with a lower scram_iterations", MaxIterations)
	case err != nil || n == 0:
		return errServerFirst
	}
	c.iterations = int(n)
	return nil
}

// printable is RFC 5802's, without the comma.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e || s[i] == ',' {
			return false
		}
	}
	return true
}

// clientFinal is client-final-message.
func (c *scramClient) clientFinal(k scramKeys) []byte {
	withoutProof := "c=" + base64.StdEncoding.EncodeToString(append([]byte(c.flag), c.endpoint...)) + ",r=" + c.combined
	message := c.firstBare + "," + c.server + "," + withoutProof
	proof := mac(k.stored, message)
	subtle.XORBytes(proof, proof, k.client)
	c.signature = mac(k.server, message)
	return []byte(withoutProof + ",p=" + base64.StdEncoding.EncodeToString(proof))
}

// final reads server-final-message: the server's own proof, or its error.
func (c *scramClient) final(data []byte) error {
	if c.signature == nil {
		return errors.New("the server left out a step of SCRAM authentication")
	}
	if word, ok := bytes.CutPrefix(data, []byte("e=")); ok {
		return fmt.Errorf("the server refused SCRAM authentication: %s", errorWord(word))
	}
	text, ok := bytes.CutPrefix(data, []byte("v="))
	if !ok || len(text) > maxSASLMessage {
		return errors.New("the server sent a malformed SCRAM message (server-final-message)")
	}
	text, _, _ = bytes.Cut(text, []byte(","))
	signature, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil || subtle.ConstantTimeCompare(signature, c.signature) != 1 {
		return errors.New("the server could not prove that it knows the password (SCRAM signature); make sure that this is the right server")
	}
	c.verified = true
	return nil
}

// errorWord passes on only what RFC 5802 lists or could list: letters and hyphens.
func errorWord(b []byte) string {
	if len(b) == 0 || len(b) > 64 || strings.Trim(string(b), "abcdefghijklmnopqrstuvwxyz-0123456789") != "" {
		return "other-error"
	}
	return string(b)
}
