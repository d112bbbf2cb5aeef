package probe

import (
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgx/v5/pgproto3"
)

// The codes in the place of a version (src/include/libpq/pqcomm.h).
const (
	codeCancel = 1234<<16 | 5678
	codeSSL    = 1234<<16 | 5679
	codeGSS    = 1234<<16 | 5680
)

// The versions that matter.
const (
	V20     uint32 = 2 << 16
	V30     uint32 = 3 << 16
	V31     uint32 = 3<<16 | 1 // reserved: "neither emit it nor accept it"
	V32     uint32 = 3<<16 | 2 // PostgreSQL 18
	V33     uint32 = 3<<16 | 3
	VGrease uint32 = 3<<16 | 9999 // what libpq 19 beta asks for
	V40     uint32 = 4 << 16
)

// VersionName is a version as people write it: "3.0".
func VersionName(v uint32) string { return fmt.Sprintf("%d.%d", v>>16, v&0xffff) }

// Param is one startup parameter. In a list they keep their order, and may repeat.
type Param struct{ Name, Value string }

// Startup is a startup packet.
func Startup(version uint32, params ...Param) []byte {
	p := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 0}, version)
	for _, param := range params {
		p = append(append(p, param.Name...), 0)
		p = append(append(p, param.Value...), 0)
	}
	p = append(p, 0)
	binary.BigEndian.PutUint32(p, uint32(len(p)))
	return p
}

// Request is SSLRequest or GSSENCRequest: eight bytes.
func Request(code uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{0, 0, 0, 8}, code)
}

// CancelPacket is a CancelRequest with any key, also none.
func CancelPacket(pid uint32, key []byte) []byte {
	p := binary.BigEndian.AppendUint32(nil, uint32(12+len(key)))
	p = binary.BigEndian.AppendUint32(p, codeCancel)
	p = binary.BigEndian.AppendUint32(p, pid)
	return append(p, key...)
}

// Frame is one message with any type and body.
func Frame(kind byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(4+len(body))), body...)
}

// Encode makes the bytes of messages.
func Encode(messages ...pgproto3.FrontendMessage) ([]byte, error) {
	var p []byte
	for _, m := range messages {
		var err error
		if p, err = m.Encode(p); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// cutString takes a string up to its zero byte.
func cutString(p []byte) (s string, rest []byte, ok bool) {
	for i, b := range p {
		if b == 0 {
			return string(p[:i]), p[i+1:], true
		}
	}
	return "", nil, false
}
