package loop

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

// The types of records and of the handshake message that sealer makes (RFC 8446 B.1, B.3).
const (
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23
	keyUpdate       = 24
)

// sealer makes the records of a TLS 1.3 client by hand, of those that crypto/tls would never send. The client itself must
// not write any more.
type sealer struct {
	t      testing.TB
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// handSealed connects with a suite that sealer knows and a client whose secret it has.
func (w *tlsWorld) handSealed() (*hooks, func() (*tlsPeer, *sealer)) {
	var log bytes.Buffer
	w.client.KeyLogWriter = &log
	h := &hooks{}
	return h, func() (*tlsPeer, *sealer) {
		w.t.Helper()
		log.Reset()
		_, p := w.connect()
		if id := p.ConnectionState().CipherSuite; id != tls.TLS_AES_128_GCM_SHA256 {
			w.t.Skipf("missing: a processor with AES, so that %s is not chosen", tls.CipherSuiteName(id))
		}
		for line := range strings.Lines(log.String()) {
			if f := strings.Fields(line); f[0] == "CLIENT_TRAFFIC_SECRET_0" {
				secret, err := hex.DecodeString(f[2])
				if err != nil {
					w.t.Fatal(err)
				}
				s := &sealer{t: w.t, secret: secret}
				s.rekey()
				return p, s
			}
		}
		w.t.Fatal("no secret in the key log")
		return nil, nil
	}
}

// expand is HKDF-Expand-Label (RFC 8446 7.1).
func (s *sealer) expand(label string, n int) []byte {
	s.t.Helper()
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(append(info, byte(len(label))), label...), 0)
	out, err := hkdf.Expand(sha256.New, s.secret, string(info), n)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *sealer) rekey() {
	s.t.Helper()
	block, err := aes.NewCipher(s.expand("key", 16))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.aead, err = cipher.NewGCM(block); err != nil {
		s.t.Fatal(err)
	}
	s.iv, s.seq = s.expand("iv", 12), 0
}

// record seals content.
func (s *sealer) record(typ byte, content ...byte) []byte {
	inner := append(bytes.Clone(content), typ)
	header := []byte{recordData, 3, 3, 0, 0}
	binary.BigEndian.PutUint16(header[3:], uint16(len(inner)+s.aead.Overhead()))
	nonce := bytes.Clone(s.iv)
	for i := range 8 {
		nonce[4+i] ^= byte(s.seq >> (56 - 8*i))
	}
	s.seq++
	return s.aead.Seal(header, nonce, inner, header)
}

// update is a KeyUpdate; what follows is under the next key. ask has the other side change its key as well.
func (s *sealer) update(ask bool) []byte {
	asked := byte(0)
	if ask {
		asked = 1
	}
	r := s.record(recordHandshake, keyUpdate, 0, 0, 1, asked)
	s.secret = s.expand("traffic upd", 32)
	s.rekey()
	return r
}
