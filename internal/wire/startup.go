package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

const (
	// MaxStartupLen bounds a packet before login, its length word included (MAX_STARTUP_PACKET_LENGTH).
	MaxStartupLen = 10000
	// MaxCancelKeyLen is the longest cancel key that protocol 3.2 allows.
	MaxCancelKeyLen = 256

	minStartupLen   = 8 // length and code
	cancelHeaderLen = 12
)

// Param is a startup parameter or a ParameterStatus.
type Param struct {
	Name, Value string
}

// StartupKind says what a packet before login is.
type StartupKind uint8

// The packets that come without a type byte (protocol-flow).
const (
	StartupMessage StartupKind = iota
	SSLRequest
	GSSENCRequest
	CancelRequest
)

// Startup is a packet before login. It holds no reference to the bytes it was read from.
type Startup struct {
	Kind StartupKind
	// Version is the version or, for the other kinds, the request code in its place. A repeated SSLRequest is
	// answered as PostgreSQL answers it by giving this to Negotiate.
	Version Version
	// Params are the parameters of a StartupMessage of major 3, user and database included, in order, duplicates
	// kept (the last one counts).
	Params []Param
	// PID and Key are those of a CancelRequest. Key may be empty: some drivers send what they never got.
	PID uint32
	Key []byte
}

// StartupLen reads the length word in front of a packet before login: the bytes of the whole packet, these four
// included. The error is a *ProtocolError for less than 8 or more than MaxStartupLen; nothing must be allocated
// or read on then. first4 has at least 4 bytes.
func StartupLen(first4 []byte) (int, error) {
	n := binary.BigEndian.Uint32(first4)
	if n < minStartupLen || n > MaxStartupLen {
		return 0, &ProtocolError{"invalid length of startup packet"}
	}
	return int(n), nil
}

// ParseStartup reads a whole packet before login, the length word included. Errors: a *ProtocolError where the
// length or the layout is wrong, or one that wraps ErrMalformedCancel. A code that is none of the known requests
// makes a StartupMessage of that Version; unless its major is 3 its parameters are not looked at, because nothing
// is known of their layout, and Negotiate refuses it.
func ParseStartup(pkt []byte) (Startup, error) {
	if len(pkt) < minStartupLen {
		return Startup{}, &ProtocolError{"invalid length of startup packet"}
	}
	if n, err := StartupLen(pkt); err != nil {
		return Startup{}, err
	} else if n != len(pkt) {
		return Startup{}, &ProtocolError{"invalid length of startup packet"}
	}
	s := Startup{Version: Version(binary.BigEndian.Uint32(pkt[4:]))}
	switch s.Version {
	case codeSSL:
		s.Kind = SSLRequest
		return s, nil
	case codeGSSENC:
		s.Kind = GSSENCRequest
		return s, nil
	case codeCancel:
		s.Kind = CancelRequest
		return parseCancel(s, pkt)
	}
	if s.Version.Major() != V30.Major() {
		return s, nil
	}
	params, err := parseParams(pkt[8:])
	if err != nil {
		return Startup{}, err
	}
	s.Params = params
	return s, nil
}

func parseCancel(s Startup, pkt []byte) (Startup, error) {
	if len(pkt) < cancelHeaderLen {
		return Startup{}, fmt.Errorf("%w: it has no pid", ErrMalformedCancel)
	}
	key := pkt[cancelHeaderLen:]
	if len(key) > MaxCancelKeyLen {
		return Startup{}, fmt.Errorf("%w: its key has %d bytes, the protocol allows %d", ErrMalformedCancel, len(key), MaxCancelKeyLen)
	}
	s.PID = binary.BigEndian.Uint32(pkt[8:])
	s.Key = bytes.Clone(key)
	return s, nil
}

// parseParams reads name and value pairs up to the terminator, which must be the last byte (ProcessStartupPacket
// in backend_startup.c).
func parseParams(b []byte) ([]Param, error) {
	var params []Param
	for len(b) > 0 && b[0] != 0 {
		name, rest, ok := CString(b)
		if !ok {
			return nil, errLayout()
		}
		value, rest, ok := CString(rest)
		if !ok {
			return nil, errLayout()
		}
		params = append(params, Param{Name: string(name), Value: string(value)})
		b = rest
	}
	if len(b) != 1 {
		return nil, errLayout()
	}
	return params, nil
}

func errLayout() error {
	return &ProtocolError{"invalid startup packet layout: expected terminator as last byte"}
}
