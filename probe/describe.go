package probe

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// shownText is how much of a text is put into words.
const shownText = 120

// splitSent cuts what is sent at once into frames; a packet without a type stays whole.
func splitSent(p []byte) [][]byte {
	if len(p) == 0 || p[0] == 0 || p[0] == 0x16 {
		return [][]byte{p}
	}
	var parts [][]byte
	for len(p) >= 5 {
		n := 1 + int(binary.BigEndian.Uint32(p[1:5]))
		if n < 5 || n > len(p) {
			break
		}
		parts = append(parts, p[:n])
		p = p[n:]
	}
	if len(p) > 0 {
		parts = append(parts, p)
	}
	return parts
}

// describeSent puts into words what we send, and says how much of it may be shown.
func describeSent(p []byte) (shown []byte, text string) {
	if len(p) >= 8 && p[0] == 0 && int(binary.BigEndian.Uint32(p)) == len(p) {
		return describePacket(p)
	}
	if len(p) < 5 {
		return p, fmt.Sprintf("%d bytes", len(p))
	}
	body := p[5:]
	switch p[0] {
	case 'p':
		return p[:5], "a password or SASL message, not shown"
	case 'Q':
		s, _, _ := cutString(body)
		return p, "Query " + quoted(s)
	case 'P':
		name, rest, _ := cutString(body)
		s, _, _ := cutString(rest)
		return p, fmt.Sprintf("Parse %q %s", name, quoted(s))
	case 'd':
		return p, fmt.Sprintf("CopyData, %d bytes", len(body))
	}
	if name, ok := sentNames[p[0]]; ok {
		return p, name
	}
	return p, fmt.Sprintf("%d bytes beginning with %q", len(p), p[0])
}

var sentNames = map[byte]string{
	'B': "Bind", 'C': "Close", 'D': "Describe", 'E': "Execute", 'F': "FunctionCall", 'H': "Flush", 'S': "Sync",
	'X': "Terminate", 'c': "CopyDone", 'f': "CopyFail",
}

// describePacket does so for what has no type: startup packets and requests.
func describePacket(p []byte) (shown []byte, text string) {
	code := binary.BigEndian.Uint32(p[4:])
	switch code {
	case codeSSL:
		return p, "SSLRequest"
	case codeGSS:
		return p, "GSSENCRequest"
	case codeCancel:
		if len(p) < 12 {
			return p, "CancelRequest, too short"
		}
		hidden, key := shortKey(p[12:])
		return append(p[:12:12], hidden...), fmt.Sprintf("CancelRequest pid %d, key %s", int32(binary.BigEndian.Uint32(p[8:])), key)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "StartupMessage %s", VersionName(code))
	if code>>16 < 3 {
		return p, b.String() // fields of fixed length
	}
	for rest := p[8:]; len(rest) > 1; {
		var name, value string
		var ok bool
		if name, rest, ok = cutString(rest); !ok {
			break
		}
		if value, rest, ok = cutString(rest); !ok {
			break
		}
		fmt.Fprintf(&b, " %s=%s", name, quoted(value))
	}
	return p, b.String()
}

// describeReceived does so for a whole message of the server's.
func describeReceived(frame []byte) (shown []byte, text string) {
	body := frame[5:]
	switch frame[0] {
	case 'R':
		return describeAuth(frame)
	case 'K':
		if len(body) < 4 {
			return frame, "BackendKeyData, too short"
		}
		hidden, key := shortKey(body[4:])
		return append(frame[:9:9], hidden...), fmt.Sprintf("BackendKeyData pid %d, key %s", int32(binary.BigEndian.Uint32(body)), key)
	case 'Z':
		return frame, fmt.Sprintf("ReadyForQuery %q", body)
	case 'E':
		return frame, "ErrorResponse " + parseError(body).Error()
	case 'N':
		return frame, "NoticeResponse " + parseError(body).Error()
	case 'S':
		var m pgproto3.ParameterStatus
		if m.Decode(body) != nil {
			return frame, "ParameterStatus, malformed"
		}
		return frame, fmt.Sprintf("ParameterStatus %s=%s", m.Name, quoted(m.Value))
	case 'C':
		tag, _, _ := cutString(body)
		return frame, "CommandComplete " + quoted(tag)
	case 'v':
		n, err := parseNegotiation(body)
		if err != nil {
			return frame, "NegotiateProtocolVersion, malformed: " + err.Error()
		}
		return frame, fmt.Sprintf("NegotiateProtocolVersion 0x%08x, options %q", n.Version, n.Options)
	case 'A':
		return frame, "NotificationResponse"
	case 'D':
		return frame, "DataRow"
	}
	if name, ok := receivedNames[frame[0]]; ok {
		return frame, name
	}
	return frame, fmt.Sprintf("a message %q", frame[0])
}

var receivedNames = map[byte]string{
	'1': "ParseComplete", '2': "BindComplete", '3': "CloseComplete", 'G': "CopyInResponse", 'H': "CopyOutResponse",
	'I': "EmptyQueryResponse", 'T': "RowDescription", 'V': "FunctionCallResponse", 'W': "CopyBothResponse", 'c': "CopyDone",
	'd': "CopyData", 'n': "NoData", 's': "PortalSuspended", 't': "ParameterDescription",
}

// describeAuth shows what kind of authentication it is, and nothing of the exchange.
func describeAuth(frame []byte) (shown []byte, text string) {
	if len(frame) < 9 {
		return frame, "Authentication, too short"
	}
	kind := binary.BigEndian.Uint32(frame[5:])
	name, ok := authNames[kind]
	if !ok {
		name = fmt.Sprintf("Authentication %d", kind)
	}
	if kind == authSASL {
		return frame, name + " " + strings.Join(mechanisms(frame[9:]), ", ")
	}
	return frame[:9], name
}

// shortKey shows the first two bytes of a key; of one that keeps no secret, all.
func shortKey(key []byte) (shown []byte, text string) {
	switch {
	case len(key) == 0:
		return nil, "none"
	case allZero(key):
		return key, fmt.Sprintf("%d zero bytes", len(key))
	case len(key) <= 2:
		return key, fmt.Sprintf("%s (%d bytes)", hex.EncodeToString(key), len(key))
	}
	return key[:2], fmt.Sprintf("%s.. (%d bytes)", hex.EncodeToString(key[:2]), len(key))
}

func allZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// quoted is a text as it can be printed, not too long.
func quoted(s string) string {
	if len(s) > shownText {
		return fmt.Sprintf("%q..", s[:shownText])
	}
	return fmt.Sprintf("%q", s)
}
