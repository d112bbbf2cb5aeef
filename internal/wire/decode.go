package wire

import (
	"bytes"
	"encoding/binary"
)

// CString splits off the string in front of b, without its zero byte. ok is false, and nothing is returned, when b
// holds no zero byte. Like every decoder here it returns parts of its argument.
func CString(b []byte) (s, rest []byte, ok bool) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return nil, nil, false
	}
	return b[:i], b[i+1:], true
}

// ErrorField finds a field of an ErrorResponse or NoticeResponse (protocol-error-fields): 'C' is the SQLSTATE code,
// 'M' the message. It is nil when absent. body may be the beginning of a longer body; a field that is cut off
// counts as absent, so a code is never half a code.
func ErrorField(body []byte, field byte) []byte {
	for len(body) > 0 && body[0] != 0 {
		s, rest, ok := CString(body[1:])
		if !ok {
			return nil
		}
		if body[0] == field {
			return s
		}
		body = rest
	}
	return nil
}

// ParameterStatus reads the body of a ParameterStatus. ok is false unless it is exactly two strings.
func ParameterStatus(body []byte) (name, value []byte, ok bool) {
	name, rest, ok := CString(body)
	if !ok {
		return nil, nil, false
	}
	value, rest, ok = CString(rest)
	if !ok || len(rest) != 0 {
		return nil, nil, false
	}
	return name, value, true
}

// BackendKeyData reads the body of a BackendKeyData. Any length of key is taken, also none: what servers send is
// not for this package to judge. ok is false when the pid is not whole.
func BackendKeyData(body []byte) (pid uint32, key []byte, ok bool) {
	if len(body) < 4 {
		return 0, nil, false
	}
	return binary.BigEndian.Uint32(body), body[4:], true
}
