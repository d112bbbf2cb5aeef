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

// scramClient is the client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding. It never sees the
// password: it is given keys, which may have been derived long before.
type scramClient struct {
	firstBare  string // client-first-message-bare
	nonce      string
	salt       []byte
	iterations int
	server     string // server-first-message
	signature  []byte // the ServerSignature to expect; nil until clientFinal
	combined   string // both nonces
	verified   bool
}

// gs2Header says: no channel binding, no authorization identity.
const gs2Header = "n,,"

// newScramClient takes the name to send, which PostgreSQL ignores and libpq leaves empty, and a printable nonce
// without commas.
func newScramClient(name, nonce string) *scramClient {
	return &scramClient{firstBare: "n=" + name + ",r=" + nonce, nonce: nonce}
}

// first is client-first-message.
func (c *scramClient) first() []byte { return []byte(gs2Header + c.firstBare) }

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
	withoutProof := "c=" + base64.StdEncoding.EncodeToString([]byte(gs2Header)) + ",r=" + c.combined
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
