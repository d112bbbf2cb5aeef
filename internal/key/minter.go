package key

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"

	"cancello/internal/wire"
)

// The layout of a 3.2 key, in bytes: format 1, MAC key id 1, node 2 (big endian), incarnation 4, session 8,
// MAC 16. The protocol allows 4 to 256 bytes (BackendKeyData); what is left is room for layers.
const (
	format  = 1
	macAt   = 1 + 1 + 2 + 4 + 8
	macLen  = 16
	longLen = macAt + macLen
	// plainLen is the only length that protocol 3.0 knows.
	plainLen = 4
)

// Minter makes and judges keys for one process of one node. It holds no mutable state, so any number of callers
// may use it at once.
type Minter struct {
	node        uint16
	incarnation [4]byte
	secrets     []secret // the first one mints
}

// secret is one of the cluster's, and what its keys say of it.
type secret struct {
	id    byte
	bytes []byte
}

// NewMinter returns the Minter of a node. incarnation is random for each process; the secrets are the cluster's: the
// first one is minted under, all are judged under, so that the secret can be changed while keys under the former one
// are still held. They are copied. It panics when node is not below Nodes, or without a secret.
func NewMinter(node uint16, incarnation [4]byte, secrets ...[]byte) *Minter {
	if node >= Nodes {
		panic("key: node out of range")
	}
	m := &Minter{node: node, incarnation: incarnation}
	for _, s := range secrets {
		if len(s) == 0 {
			panic("key: empty secret")
		}
		m.secrets = append(m.secrets, secret{keyID(s), bytes.Clone(s)})
	}
	if len(m.secrets) == 0 {
		panic("key: no secret")
	}
	return m
}

// Under returns a Minter of the same process with other secrets.
func (m *Minter) Under(secrets ...[]byte) *Minter {
	return NewMinter(m.node, m.incarnation, secrets...)
}

// Node is the number of the node.
func (m *Minter) Node() uint16 { return m.node }

// keyID is what a key says of its secret. It follows from the secret, so that nodes need not agree on numbers, nor
// change secrets at the same moment. Two secrets may have the same one: then both are tried.
func keyID(secret []byte) byte {
	sum := sha256.Sum256(append([]byte("cancello cancel key id\x00"), secret...))
	return sum[0]
}

// Mint makes the pid and key for one use of a slot: 32 bytes from protocol 3.2 on, else 4. random must be fresh
// from the system each time. The key is the caller's.
func (m *Minter) Mint(v wire.Version, slot uint32, random [12]byte) (pid uint32, key []byte) {
	pid = PID(m.node, slot)
	if v < wire.V32 {
		return pid, bytes.Clone(random[:plainLen])
	}
	key = make([]byte, macAt, longLen)
	key[0] = format
	key[1] = m.secrets[0].id
	binary.BigEndian.PutUint16(key[2:], m.node)
	copy(key[4:], m.incarnation[:])
	copy(key[8:], random[:8])
	return pid, append(key, m.secrets[0].mac(pid, key)...)
}

// mac is the truncated HMAC-SHA-256 over head and the pid (big endian, as on the wire).
func (s secret) mac(pid uint32, head []byte) []byte {
	h := hmac.New(sha256.New, s.bytes)
	h.Write(head)
	h.Write(binary.BigEndian.AppendUint32(nil, pid))
	return h.Sum(nil)[:macLen]
}

// Verdict is what a pid and key, taken by themselves, are worth.
type Verdict uint8

// The verdicts. Whose a key is of which a verdict says that it is another node's, Split of its pid tells.
const (
	// Plain is a key of four bytes with a pid that is ours or nobody's: nothing can be told but by comparing it with the
	// slot's, see Equal.
	Plain Verdict = iota
	// Genuine was minted by this process for this pid. It may be an earlier use of the slot: compare it.
	Genuine
	// Forged has the length of ours, but was not minted under a secret of ours for this pid.
	Forged
	// Former has a genuine MAC, but is of an earlier or another process of this node.
	Former
	// Foreign has a genuine MAC, but is of another node.
	Foreign
	// PlainForeign is a key of four bytes with the pid of another node: only that one can compare it.
	PlainForeign
	// Malformed has a length that we never give out.
	Malformed
)

// String is the verdict's name.
func (v Verdict) String() string {
	return [...]string{"plain", "genuine", "forged", "former", "foreign", "plain foreign", "malformed"}[v]
}

// Elsewhere says that another node is to be asked.
func (v Verdict) Elsewhere() bool { return v == Foreign || v == PlainForeign }

// Check judges a pid and key as they came from the network. A key under a secret that this Minter was not given is
// Forged: it cannot vouch for it. key is only read.
func (m *Minter) Check(pid uint32, key []byte) Verdict {
	node, _, ok := Split(pid)
	switch {
	case len(key) == plainLen && ok && node != m.node:
		return PlainForeign
	case len(key) == plainLen:
		return Plain
	case len(key) != longLen:
		return Malformed
	case !m.vouches(pid, key):
		return Forged
	}
	// What follows the MAC check cannot be chosen by a stranger, so plain comparisons give nothing away.
	switch {
	case !ok || key[0] != format || binary.BigEndian.Uint16(key[2:]) != node:
		return Forged
	case node != m.node:
		return Foreign
	case !bytes.Equal(key[4:8], m.incarnation[:]):
		return Former
	}
	return Genuine
}

// vouches tells whether a key of the right length has the MAC of one of the secrets: the one that it names, which is no
// secret itself.
func (m *Minter) vouches(pid uint32, key []byte) bool {
	head, mac := key[:macAt], key[macAt:]
	for _, s := range m.secrets {
		if s.id == key[1] && subtle.ConstantTimeCompare(mac, s.mac(pid, head)) == 1 {
			return true
		}
	}
	return false
}

// Equal reports whether a and b are the same key, in time that depends on their lengths alone. Keys shorter than
// four bytes, the protocol's minimum, equal nothing, not even themselves: an empty slot has no key.
func Equal(a, b []byte) bool {
	return len(a) == len(b) && len(a) >= plainLen && subtle.ConstantTimeCompare(a, b) == 1
}
