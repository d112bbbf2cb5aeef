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
	secret      []byte
	keyID       byte
}

// NewMinter returns the Minter of a node. incarnation is random for each process; secret is the cluster's and
// keyID its number, so that it can be changed while keys under the former one are still held. secret is copied.
// It panics when node is not below Nodes or when secret is empty.
func NewMinter(node uint16, incarnation [4]byte, secret []byte, keyID byte) *Minter {
	if node >= Nodes {
		panic("key: node out of range")
	}
	if len(secret) == 0 {
		panic("key: empty secret")
	}
	return &Minter{node: node, incarnation: incarnation, secret: bytes.Clone(secret), keyID: keyID}
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
	key[1] = m.keyID
	binary.BigEndian.PutUint16(key[2:], m.node)
	copy(key[4:], m.incarnation[:])
	copy(key[8:], random[:8])
	return pid, append(key, m.mac(pid, key)...)
}

// mac is the truncated HMAC-SHA-256 over head and the pid (big endian, as on the wire).
func (m *Minter) mac(pid uint32, head []byte) []byte {
	h := hmac.New(sha256.New, m.secret)
	h.Write(head)
	h.Write(binary.BigEndian.AppendUint32(nil, pid))
	return h.Sum(nil)[:macLen]
}

// Verdict is what a pid and key, taken by themselves, are worth.
type Verdict uint8

// The verdicts.
const (
	// Plain is a key of four bytes: nothing can be told but by comparing it with the slot's, see Equal.
	Plain Verdict = iota
	// Genuine was minted by this process for this pid. It may be an earlier use of the slot: compare it.
	Genuine
	// Forged has the length of ours, but was not minted under the secret for this pid.
	Forged
	// Foreign has a genuine MAC, but is of another node or of an earlier process of this one.
	Foreign
	// Malformed has a length that we never give out.
	Malformed
)

// String is the verdict's name.
func (v Verdict) String() string {
	return [...]string{"plain", "genuine", "forged", "foreign", "malformed"}[v]
}

// Check judges a pid and key as they came from the network. A key under another key id is Forged: this Minter
// cannot vouch for it. key is only read.
func (m *Minter) Check(pid uint32, key []byte) Verdict {
	switch len(key) {
	case plainLen:
		return Plain
	case longLen:
	default:
		return Malformed
	}
	head, mac := key[:macAt], key[macAt:]
	if subtle.ConstantTimeCompare(mac, m.mac(pid, head)) != 1 {
		return Forged
	}
	// What follows the MAC check cannot be chosen by a stranger, so plain comparisons give nothing away.
	node, _, ok := Split(pid)
	if !ok || head[0] != format || head[1] != m.keyID || binary.BigEndian.Uint16(head[2:]) != node {
		return Forged
	}
	if node != m.node || !bytes.Equal(head[4:8], m.incarnation[:]) {
		return Foreign
	}
	return Genuine
}

// Equal reports whether a and b are the same key, in time that depends on their lengths alone. Keys shorter than
// four bytes, the protocol's minimum, equal nothing, not even themselves: an empty slot has no key.
func Equal(a, b []byte) bool {
	return len(a) == len(b) && len(a) >= plainLen && subtle.ConstantTimeCompare(a, b) == 1
}
