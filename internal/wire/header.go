package wire

import "encoding/binary"

const (
	// HeaderLen is the size of every header after startup: one byte of type, four of length.
	HeaderLen = 5

	// MaxMessageLen bounds the length word, itself included, of a client's Query, Parse, Bind, FunctionCall and
	// CopyData: PQ_LARGE_MESSAGE_LIMIT, which is MaxAllocSize - 1.
	MaxMessageLen = 0x3fffffff - 1
	// MaxSmallLen bounds the length word of a client's other messages: PQ_SMALL_MESSAGE_LIMIT.
	MaxSmallLen = 10000

	// MaxServerLen bounds the length word of a server's messages whose size follows the data. PostgreSQL builds
	// a message in at most MaxAllocSize bytes; other servers may count the header in another way, so there is slack.
	MaxServerLen = 1<<30 + 64
	// MaxServerSmallLen bounds the length word of a server's other messages, which can therefore be collected
	// whole. libpq takes a longer one for a loss of synchronization (VALID_LONG_MESSAGE_TYPE in fe-protocol3.c).
	MaxServerSmallLen = 30000

	// lenOfLength is what the length word counts for itself.
	lenOfLength = 4
)

// FrontendHeader reads the header of a message from a client; b has at least HeaderLen bytes. body is how many
// bytes follow the header. The error is a *ProtocolError: an unknown type, or a length outside the bounds that
// SocketBackend in postgres.c sets for the type. MsgPassword is accepted here, though it has no place after login.
func FrontendHeader(b []byte) (typ byte, body int, err error) {
	_ = b[HeaderLen-1]
	typ = b[0]
	limit := frontendLimit(typ)
	if limit == 0 {
		return typ, 0, errFrontendType(typ)
	}
	n := binary.BigEndian.Uint32(b[1:])
	if n < lenOfLength || n > limit {
		return typ, 0, errFrontendLength()
	}
	return typ, int(n - lenOfLength), nil
}

// BackendHeader reads the header of a message from a server; b has at least HeaderLen bytes. body is how many bytes
// follow the header. The error is a *ProtocolError: an unknown type, or a length that no server sends for the type.
// A ReadyForQuery has exactly one byte of body.
func BackendHeader(b []byte) (typ byte, body int, err error) {
	_ = b[HeaderLen-1]
	typ = b[0]
	least, limit := backendBounds(typ)
	if limit == 0 {
		return typ, 0, errBackendType(typ)
	}
	n := binary.BigEndian.Uint32(b[1:])
	if n < least || n > limit {
		return typ, 0, errBackendLength(typ, n)
	}
	return typ, int(n - lenOfLength), nil
}

// Run is how many bytes in front of b are messages that are whole and of one type, whose size follows the data: rows are
// many and small, and nothing is to be known of each.
func Run(b []byte, typ byte) (n int) {
	for len(b)-n >= HeaderLen && b[n] == typ {
		size := binary.BigEndian.Uint32(b[n+1:])
		if size < lenOfLength || uint64(size) > uint64(len(b)-n-1) {
			break
		}
		n += 1 + int(size)
	}
	return n
}

// frontendLimit is the greatest length word for a type, 0 for an unknown type.
func frontendLimit(typ byte) uint32 {
	switch typ {
	case MsgQuery, MsgParse, MsgBind, MsgFunctionCall, MsgCopyData:
		return MaxMessageLen
	case MsgDescribe, MsgExecute, MsgClose, MsgFlush, MsgSync, MsgTerminate, MsgPassword, MsgCopyDone, MsgCopyFail:
		return MaxSmallLen
	}
	return 0
}

// backendBounds are the least and greatest length word for a type, 0 and 0 for an unknown type.
func backendBounds(typ byte) (least, limit uint32) {
	switch typ {
	case MsgDataRow, MsgCopyData, MsgRowDescription, MsgParameterDescription, MsgFunctionCallResponse,
		MsgErrorResponse, MsgNoticeResponse, MsgNotificationResponse:
		return lenOfLength, MaxServerLen
	case MsgReadyForQuery:
		return lenOfLength + 1, lenOfLength + 1
	case MsgAuthentication, MsgParameterStatus, MsgBackendKeyData, MsgCommandComplete, MsgEmptyQueryResponse,
		MsgPortalSuspended, MsgParseComplete, MsgBindComplete, MsgCloseComplete, MsgNoData, MsgCopyInResponse,
		MsgCopyOutResponse, MsgCopyBothResponse, MsgCopyDone, MsgNegotiateProtocolVersion:
		return lenOfLength, MaxServerSmallLen
	}
	return 0, 0
}
