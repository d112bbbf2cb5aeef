package wire

import (
	"encoding/binary"
	"strings"
)

// AppendHeader appends a header for a body of that many bytes, which the caller appends next. body is at least 0
// and within the limit of the type. Like every Append function here it returns the extended slice, keeps no
// reference to its arguments and allocates only when dst is too small.
//
// In every Append function that takes text, a zero byte ends the text: it can't be said on the wire, and what
// stood behind it must not be taken for another field.
func AppendHeader(dst []byte, typ byte, body int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, typ), uint32(body+lenOfLength))
}

// begin appends a header whose length is filled in by end.
func begin(dst []byte, typ byte) []byte { return append(dst, typ, 0, 0, 0, 0) }

// end sets the length of the message whose type byte is at dst[start].
func end(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start+1:], uint32(len(dst)-start-1))
	return dst
}

// endStartup sets the length of the packet without a type byte that starts at dst[start].
func endStartup(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start))
	return dst
}

func appendUint32(dst []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(dst, v) }

func appendCString(dst []byte, s string) []byte {
	if i := strings.IndexByte(s, 0); i >= 0 {
		s = s[:i]
	}
	return append(append(dst, s...), 0)
}

// appendStringMessage appends a message whose whole body is one string.
func appendStringMessage(dst []byte, typ byte, s string) []byte {
	start := len(dst)
	return end(appendCString(begin(dst, typ), s), start)
}
