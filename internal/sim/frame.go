package sim

import "encoding/binary"

// The codec here is the sim's own on purpose: it must not share a mistake with the program's.

// message appends one message: type, length, body.
func message(dst []byte, typ byte, body string) []byte {
	dst = append(dst, typ)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)+4))
	return append(dst, body...)
}

// fields appends an ErrorResponse or NoticeResponse.
func fields(dst []byte, typ byte, severity, code, text string) []byte {
	return message(dst, typ, "S"+severity+"\x00V"+severity+"\x00C"+code+"\x00M"+text+"\x00\x00")
}

// field is one field of an ErrorResponse.
func field(body []byte, which byte) string {
	for len(body) > 0 && body[0] != 0 {
		s, rest, ok := cstring(body[1:])
		if !ok {
			return ""
		}
		if body[0] == which {
			return s
		}
		body = rest
	}
	return ""
}

func cstring(b []byte) (string, []byte, bool) {
	for i, x := range b {
		if x == 0 {
			return string(b[:i]), b[i+1:], true
		}
	}
	return "", nil, false
}

// row is a DataRow of one column.
func row(dst []byte, text string) []byte {
	dst = append(dst, 'D')
	dst = binary.BigEndian.AppendUint32(dst, uint32(4+2+4+len(text)))
	dst = append(dst, 0, 1)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(text)))
	return append(dst, text...)
}

// rowText is the column of a DataRow made by row.
func rowText(body []byte) (string, bool) {
	if len(body) < 6 || body[0] != 0 || body[1] != 1 || int(binary.BigEndian.Uint32(body[2:])) != len(body)-6 {
		return "", false
	}
	return string(body[6:]), true
}

// rowDescription describes one text column.
const rowDescription = "\x00\x01v\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x19\xff\xff\xff\xff\xff\xff\x00\x00"

// bind is the body of a Bind with one text parameter.
func bind(portal, statement, param string) string {
	n := binary.BigEndian.AppendUint32(nil, uint32(len(param)))
	return portal + "\x00" + statement + "\x00\x00\x00\x00\x01" + string(n) + param + "\x00\x00"
}

// bindParts reads a Bind: the names and its first parameter.
func bindParts(body []byte) (portal, statement, param string, ok bool) {
	portal, body, ok = cstring(body)
	if !ok {
		return
	}
	statement, body, ok = cstring(body)
	if !ok || len(body) < 4 {
		return portal, statement, "", false
	}
	formats := int(binary.BigEndian.Uint16(body))
	body = body[2:]
	if len(body) < 2*formats+2 {
		return portal, statement, "", false
	}
	body = body[2*formats:]
	params := int(binary.BigEndian.Uint16(body))
	body = body[2:]
	if params == 0 {
		return portal, statement, "", true
	}
	if len(body) < 4 {
		return portal, statement, "", false
	}
	n := int(int32(binary.BigEndian.Uint32(body)))
	body = body[4:]
	if n < 0 {
		return portal, statement, "", true
	}
	if len(body) < n {
		return portal, statement, "", false
	}
	return portal, statement, string(body[:n]), true
}

// call is the body of a FunctionCall with one text argument.
func call(arg string) string {
	n := binary.BigEndian.AppendUint32(nil, uint32(len(arg)))
	return "\x00\x00\x00\x2a\x00\x00\x00\x01" + string(n) + arg + "\x00\x00"
}

// frames walks the messages of a stream that comes in pieces.
type frames struct {
	head  [5]byte
	n     int    // bytes of head here
	left  int    // bytes of the body to come
	body  []byte // its first bytes
	began uint64 // mark when its first byte came
}

const bodyKept = 96

// feed takes the next piece and calls on once for each whole message. began is the caller's mark of now.
func (f *frames) feed(p []byte, mark uint64, on func(typ byte, body []byte, began uint64)) {
	for len(p) > 0 {
		if f.n < 5 {
			if f.n == 0 {
				f.began = mark
			}
			k := copy(f.head[f.n:], p)
			f.n += k
			p = p[k:]
			if f.n < 5 {
				return
			}
			f.left = max(int(binary.BigEndian.Uint32(f.head[1:]))-4, 0)
			f.body = f.body[:0]
		}
		k := min(f.left, len(p))
		if room := bodyKept - len(f.body); room > 0 {
			f.body = append(f.body, p[:min(k, room)]...)
		}
		p = p[k:]
		f.left -= k
		if f.left == 0 {
			f.n = 0
			on(f.head[0], f.body, f.began)
		}
	}
}

// boundary is true between messages.
func (f *frames) boundary() bool { return f.n == 0 }
