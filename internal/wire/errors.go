package wire

import (
	"errors"
	"strconv"
)

// ErrMalformedCancel is what ParseStartup returns, wrapped, for a CancelRequest without a pid or with a key of more
// than MaxCancelKeyLen bytes. Such a connection is closed without a word, as PostgreSQL does.
var ErrMalformedCancel = errors.New("malformed CancelRequest")

// ProtocolError is a breach of the protocol after which the stream can't be read on: the connection must be
// closed. To a client it is SQLSTATE 08P01.
type ProtocolError struct {
	// Message is the text for people, in PostgreSQL's words where PostgreSQL has any.
	Message string
}

func (e *ProtocolError) Error() string { return e.Message }

// VersionError is a protocol version that can't be spoken. To a client it is SQLSTATE 0A000.
type VersionError struct {
	Asked Version
}

func (e *VersionError) Error() string {
	return "unsupported frontend protocol " + e.Asked.String() + ": server supports " + V30.String() + " to " + V32.String()
}

func errFrontendType(typ byte) error {
	return &ProtocolError{"invalid frontend message type " + strconv.Itoa(int(typ))}
}

func errFrontendLength() error {
	return &ProtocolError{"invalid message length"}
}

func errBackendType(typ byte) error {
	return &ProtocolError{"the server sent a message of unknown type " + strconv.Itoa(int(typ))}
}

func errBackendLength(typ byte, n uint32) error {
	return &ProtocolError{"the server sent a message of type " + strconv.QuoteRune(rune(typ)) +
		" with the impossible length " + strconv.FormatUint(uint64(n), 10)}
}
