package fake

import (
	"encoding/binary"
	"fmt"
)

// Msg builds one message: the type byte (none if zero), the length, then the parts. A string is followed by a
// NUL, numbers are big endian, []byte goes as it is.
func Msg(typ byte, parts ...any) []byte {
	var body []byte
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			body = append(append(body, p...), 0)
		case []byte:
			body = append(body, p...)
		case byte:
			body = append(body, p)
		case uint16:
			body = binary.BigEndian.AppendUint16(body, p)
		case uint32:
			body = binary.BigEndian.AppendUint32(body, p)
		case int:
			body = binary.BigEndian.AppendUint32(body, uint32(p))
		default:
			panic(fmt.Sprintf("fake.Msg: %T", p))
		}
	}
	var m []byte
	if typ != 0 {
		m = append(m, typ)
	}
	m = binary.BigEndian.AppendUint32(m, uint32(4+len(body)))
	return append(m, body...)
}

// The codes in place of a protocol version.
const (
	CancelCode = 80877102
	SSLCode    = 80877103
	GSSCode    = 80877104
	V30        = 0x00030000
	V32        = 0x00030002
)

// Startup builds a StartupMessage from names and values in turn.
func Startup(version uint32, kv ...string) []byte {
	parts := []any{version}
	for _, s := range kv {
		parts = append(parts, s)
	}
	return Msg(0, append(parts, byte(0))...)
}

// Cancel builds a CancelRequest with a key of any length.
func Cancel(pid uint32, key []byte) []byte { return Msg(0, uint32(CancelCode), pid, key) }

// Query builds a simple Query.
func Query(sql string) []byte { return Msg('Q', sql) }

// Error builds an ErrorResponse.
func Error(severity, code, text string) []byte {
	return Msg('E', []byte("S"), severity, []byte("V"), severity, []byte("C"), code, []byte("M"), text, byte(0))
}

// Join puts messages behind each other, for one write.
func Join(msgs ...[]byte) []byte {
	var b []byte
	for _, m := range msgs {
		b = append(b, m...)
	}
	return b
}

// Message is one message as read.
type Message struct {
	Type byte
	Body []byte
}

// Field is a field of an ErrorResponse or NoticeResponse, empty when absent.
func (m Message) Field(name byte) string {
	b := m.Body
	for len(b) > 1 {
		f := b[0]
		s, rest := cstring(b[1:])
		if f == name {
			return s
		}
		b = rest
	}
	return ""
}

// Strings are the NUL-terminated strings of the body.
func (m Message) Strings() []string {
	var out []string
	for b := m.Body; len(b) > 0; {
		var s string
		s, b = cstring(b)
		out = append(out, s)
	}
	return out
}

func cstring(b []byte) (s string, rest []byte) {
	for i, c := range b {
		if c == 0 {
			return string(b[:i]), b[i+1:]
		}
	}
	return string(b), nil
}
