package peer

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"cancello/internal/relay"
)

// A hello is the first thing that each end says: its length (2 bytes, of what follows), then the newest version of the
// link's protocol that it speaks and the oldest (1 byte each), its role (1), its node (2), its incarnation (8), how many proofs
// follow (1), and the proofs: one for each secret that it knows. What a later version may add stands behind them.
const (
	version  = 1 // that we speak, and the oldest that we do
	headLen  = 1 + 1 + 1 + 2 + 8
	proofLen = sha256.Size
	// maxProofs is how many secrets are in use at a time, with room for more.
	maxProofs = 4
	// maxHello leaves room for what later versions add.
	maxHello = 1024
)

// role is which end of a session one is.
type role byte

const (
	dialer   role = 1
	listener role = 2
)

// exporterLabel names the bytes that both ends of one TLS session have in common, and nobody else (RFC 8446 7.5, RFC 9266).
const exporterLabel = "EXPORTER-cancello-peer-link"

// hello is what one end says of itself.
type hello struct {
	newest, oldest byte
	role           role
	node           uint16
	incarnation    uint64
	proofs         [][]byte
}

func (h *hello) head() []byte {
	b := []byte{h.newest, h.oldest, byte(h.role)}
	b = binary.BigEndian.AppendUint16(b, h.node)
	return binary.BigEndian.AppendUint64(b, h.incarnation)
}

// prove adds a proof for each secret. binding is of the TLS session; without one, on a socket that nobody else can reach,
// nothing is to be proved.
func (h *hello) prove(secrets [][]byte, binding []byte) {
	if binding == nil {
		return
	}
	for _, s := range secrets {
		h.proofs = append(h.proofs, proof(s, binding, h.head()))
	}
}

// proof is a MAC that only who knows the secret can make, and that is good in this session and for this hello alone.
func proof(secret, binding, head []byte) []byte {
	k := hmac.New(sha256.New, secret)
	k.Write([]byte("cancello peer link key\x00")) // never the key that cancel keys are made with
	m := hmac.New(sha256.New, k.Sum(nil))
	m.Write(binding)
	m.Write(head)
	return m.Sum(nil)
}

// proven tells whether one of the proofs is of one of our secrets.
func (h *hello) proven(secrets [][]byte, binding []byte) bool {
	if binding == nil {
		return true
	}
	ok := false
	for _, s := range secrets {
		want := proof(s, binding, h.head())
		for _, p := range h.proofs {
			ok = hmac.Equal(p, want) || ok
		}
	}
	return ok
}

func (h *hello) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(headLen+1+len(h.proofs)*proofLen))
	b = append(append(b, h.head()...), byte(len(h.proofs)))
	for _, p := range h.proofs {
		b = append(b, p...)
	}
	return b
}

var errNoHello = errors.New("it says something else than a node does")

// readHello reads no byte beyond the hello.
func readHello(r io.Reader) (*hello, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n < headLen+1 || n > maxHello {
		return nil, errNoHello
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	return parseHello(b)
}

// parseHello reads what follows the length.
func parseHello(b []byte) (*hello, error) {
	if len(b) < headLen+1 {
		return nil, errNoHello
	}
	h := &hello{newest: b[0], oldest: b[1], role: role(b[2]), node: binary.BigEndian.Uint16(b[3:]), incarnation: binary.BigEndian.Uint64(b[5:])}
	count, rest := int(b[headLen]), b[headLen+1:]
	if h.oldest > h.newest || count > maxProofs || len(rest) < count*proofLen {
		return nil, errNoHello
	}
	for i := range count {
		h.proofs = append(h.proofs, rest[i*proofLen:(i+1)*proofLen])
	}
	return h, nil
}

// refusal is why another end is not spoken with. It goes into the log, and to nobody else.
type refusal string

// Error is for people.
func (r refusal) Error() string { return string(r) }

// judge looks at the other end's hello: what it proves first, since the rest of it is worth nothing without that.
func (h *hello) judge(want role, secrets [][]byte, binding []byte) error {
	switch {
	case h.role != want: // our own, sent back
		return errNoHello
	case !h.proven(secrets, binding):
		return refusal("it does not know the cluster's secret: is cluster_secret the same on both nodes?")
	case h.oldest > version || h.newest < version:
		return refusal(fmt.Sprintf("it speaks versions %d to %d of the links' protocol, and this node version %d", h.oldest, h.newest, version))
	}
	return nil
}

// bindingOf is what both ends of a TLS session have in common.
func bindingOf(c *tls.Conn) ([]byte, error) {
	state := c.ConnectionState()
	if state.NegotiatedProtocol != alpn {
		return nil, errNoHello
	}
	return state.ExportKeyingMaterial(exporterLabel, nil, sha256.Size)
}

// far is who is at the other end.
func (h *hello) far(kin bool) relay.Far {
	return relay.Far{Node: h.node, Incarnation: h.incarnation, Kin: kin}
}
