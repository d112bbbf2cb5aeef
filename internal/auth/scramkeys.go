package auth

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	// mechanism and mechanismPlus are the SASL mechanisms that are spoken (IANA SASL mechanisms, RFC 7677).
	mechanism     = "SCRAM-SHA-256"
	mechanismPlus = mechanism + "-PLUS"
	// endpointType is the only type of channel binding that PostgreSQL knows (RFC 5929 section 4).
	endpointType = "tls-server-end-point"
	// DefaultIterations is PostgreSQL's scram_iterations, and RFC 7677's least.
	DefaultIterations = 4096
	// MaxIterations bounds what a server or a user list can make us compute: some seconds.
	MaxIterations = 10_000_000
	// maxSASLMessage is PostgreSQL's PG_MAX_SASL_MESSAGE_LENGTH (auth-sasl.h).
	maxSASLMessage = 1024
	saltLen        = 16 // SCRAM_DEFAULT_SALT_LEN of PostgreSQL
	minNonce       = 16 // fewer random bytes could be guessed or repeat
)

// scramKeys is what PBKDF2 makes of a password (RFC 5802 section 3).
type scramKeys struct {
	client, stored, server []byte
}

// deriveKeys is the expensive step.
func deriveKeys(password string, salt []byte, iterations int) (scramKeys, error) {
	salted, err := pbkdf2.Key(sha256.New, prepare(password), salt, iterations, sha256.Size)
	if err != nil {
		return scramKeys{}, fmt.Errorf("SCRAM key derivation: %w", err)
	}
	client := mac(salted, "Client Key")
	stored := sha256.Sum256(client)
	return scramKeys{client: client, stored: stored[:], server: mac(salted, "Server Key")}, nil
}

func mac(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

// scramVerifier is what PostgreSQL keeps of a password in pg_authid: enough to check a client, not to log in.
type scramVerifier struct {
	salt       []byte
	iterations int
	stored     []byte
	server     []byte
}

const verifierPrefix = mechanism + "$"

// errVerifier is one for all faults, so that no part of a verifier can get into a text.
var errVerifier = errors.New("malformed SCRAM verifier: it must be SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY as in " +
	"pg_authid.rolpassword, with 1 to " + strconv.Itoa(MaxIterations) + " iterations")

// parseVerifier reads SCRAM-SHA-256$iterations:salt$stored:server (parse_scram_secret in auth-scram.c).
func parseVerifier(s string) (scramVerifier, error) {
	var v scramVerifier
	rest, ok := strings.CutPrefix(s, verifierPrefix)
	if !ok {
		return v, errVerifier
	}
	factors, keys, ok1 := strings.Cut(rest, "$")
	iterations, salt, ok2 := strings.Cut(factors, ":")
	stored, server, ok3 := strings.Cut(keys, ":")
	if !ok1 || !ok2 || !ok3 {
		return v, errVerifier
	}
	n, err := strconv.ParseUint(iterations, 10, 32)
	if err != nil || n < 1 || n > MaxIterations {
		return v, errVerifier
	}
	v.iterations = int(n)
	for _, part := range []struct {
		text string
		to   *[]byte
		size int // 0: any but none
	}{{salt, &v.salt, 0}, {stored, &v.stored, sha256.Size}, {server, &v.server, sha256.Size}} {
		raw, err := base64.StdEncoding.Strict().DecodeString(part.text)
		if err != nil || len(raw) == 0 || part.size != 0 && len(raw) != part.size {
			return scramVerifier{}, errVerifier
		}
		*part.to = raw
	}
	return v, nil
}
