package wire

// The codes of an Authentication message that Cancello sends to clients (protocol-message-formats).
const (
	authOK           = 0
	authCleartext    = 3
	authMD5          = 5
	authSASL         = 10
	authSASLContinue = 11
	authSASLFinal    = 12
)

// AppendAuthOK appends an AuthenticationOk.
func AppendAuthOK(dst []byte) []byte { return appendAuth(dst, authOK, nil) }

// AppendAuthCleartext appends an AuthenticationCleartextPassword.
func AppendAuthCleartext(dst []byte) []byte { return appendAuth(dst, authCleartext, nil) }

// AppendAuthMD5 appends an AuthenticationMD5Password with its salt.
func AppendAuthMD5(dst []byte, salt [4]byte) []byte { return appendAuth(dst, authMD5, salt[:]) }

// AppendAuthSASL appends an AuthenticationSASL that offers the mechanisms, the preferred one first.
func AppendAuthSASL(dst []byte, mechs ...string) []byte {
	start := len(dst)
	dst = appendUint32(begin(dst, MsgAuthentication), authSASL)
	for _, m := range mechs {
		dst = appendCString(dst, m)
	}
	return end(append(dst, 0), start)
}

// AppendAuthSASLContinue appends an AuthenticationSASLContinue with a challenge.
func AppendAuthSASLContinue(dst, data []byte) []byte { return appendAuth(dst, authSASLContinue, data) }

// AppendAuthSASLFinal appends an AuthenticationSASLFinal with the mechanism's last words.
func AppendAuthSASLFinal(dst, data []byte) []byte { return appendAuth(dst, authSASLFinal, data) }

func appendAuth(dst []byte, code uint32, data []byte) []byte {
	start := len(dst)
	return end(append(appendUint32(begin(dst, MsgAuthentication), code), data...), start)
}

// AppendParameterStatus appends a ParameterStatus.
func AppendParameterStatus(dst []byte, name, value string) []byte {
	start := len(dst)
	return end(appendCString(appendCString(begin(dst, MsgParameterStatus), name), value), start)
}

// AppendBackendKeyData appends a BackendKeyData. The key has 4 bytes at protocol 3.0 and 4 to 256 at 3.2; the
// caller sees to that.
func AppendBackendKeyData(dst []byte, pid uint32, key []byte) []byte {
	start := len(dst)
	return end(append(appendUint32(begin(dst, MsgBackendKeyData), pid), key...), start)
}

// AppendReadyForQuery appends a ReadyForQuery. status is 'I' (not in a transaction block), 'T' (in one) or 'E' (in a failed
// one, where all is refused until it ends).
func AppendReadyForQuery(dst []byte, status byte) []byte {
	return append(AppendHeader(dst, MsgReadyForQuery, 1), status)
}

// AppendError appends an ErrorResponse with the severity in both forms (S may be translated by a server, V never
// is), the SQLSTATE code, the message and, where not empty, detail and hint (protocol-error-fields).
func AppendError(dst []byte, severity, code, message, detail, hint string) []byte {
	return appendReport(dst, MsgErrorResponse, severity, code, message, detail, hint)
}

// AppendNotice appends a NoticeResponse. severity is WARNING, NOTICE, DEBUG, INFO or LOG.
func AppendNotice(dst []byte, severity, code, message string) []byte {
	return appendReport(dst, MsgNoticeResponse, severity, code, message, "", "")
}

func appendReport(dst []byte, typ byte, severity, code, message, detail, hint string) []byte {
	start := len(dst)
	dst = begin(dst, typ)
	dst = appendField(dst, 'S', severity)
	dst = appendField(dst, 'V', severity)
	dst = appendField(dst, 'C', code)
	dst = appendField(dst, 'M', message)
	if detail != "" {
		dst = appendField(dst, 'D', detail)
	}
	if hint != "" {
		dst = appendField(dst, 'H', hint)
	}
	return end(append(dst, 0), start)
}

func appendField(dst []byte, field byte, s string) []byte {
	return appendCString(append(dst, field), s)
}

// AppendNegotiateProtocolVersion appends a NegotiateProtocolVersion. It carries the whole version: the
// documentation says minor, but PostgreSQL sends the full number and libpq takes a bare minor for a version
// before 3.0.
func AppendNegotiateProtocolVersion(dst []byte, v Version, unsupported []string) []byte {
	start := len(dst)
	dst = appendUint32(begin(dst, MsgNegotiateProtocolVersion), uint32(v))
	dst = appendUint32(dst, uint32(len(unsupported)))
	for _, name := range unsupported {
		dst = appendCString(dst, name)
	}
	return end(dst, start)
}
