package wire

// noData is the length that stands for an absent initial response.
const noData = 1<<32 - 1

// AppendQuery appends a Query.
func AppendQuery(dst []byte, sql string) []byte { return appendStringMessage(dst, MsgQuery, sql) }

// AppendParse appends a Parse without parameter types. An empty name is the unnamed statement.
func AppendParse(dst []byte, name, sql string) []byte {
	start := len(dst)
	dst = appendCString(appendCString(begin(dst, MsgParse), name), sql)
	return end(append(dst, 0, 0), start)
}

// AppendSync appends a Sync.
func AppendSync(dst []byte) []byte { return AppendHeader(dst, MsgSync, 0) }

// AppendTerminate appends a Terminate.
func AppendTerminate(dst []byte) []byte { return AppendHeader(dst, MsgTerminate, 0) }

// AppendClose appends a Close; kind is 'S' for a prepared statement, 'P' for a portal.
func AppendClose(dst []byte, kind byte, name string) []byte {
	start := len(dst)
	return end(appendCString(append(begin(dst, MsgClose), kind), name), start)
}

// AppendCopyFail appends a CopyFail.
func AppendCopyFail(dst []byte, reason string) []byte {
	return appendStringMessage(dst, MsgCopyFail, reason)
}

// AppendPassword appends a PasswordMessage: a password in clear, or an md5 response.
func AppendPassword(dst []byte, password string) []byte {
	return appendStringMessage(dst, MsgPassword, password)
}

// AppendSASLInitialResponse appends a SASLInitialResponse. Nil data is an absent response, which is not the same
// as an empty one.
func AppendSASLInitialResponse(dst []byte, mech string, data []byte) []byte {
	start := len(dst)
	dst = appendCString(begin(dst, MsgPassword), mech)
	if data == nil {
		return end(appendUint32(dst, noData), start)
	}
	return end(append(appendUint32(dst, uint32(len(data))), data...), start)
}

// AppendSASLResponse appends a SASLResponse.
func AppendSASLResponse(dst, data []byte) []byte {
	return append(AppendHeader(dst, MsgPassword, len(data)), data...)
}

// AppendStartup appends a StartupMessage with the parameters in order. A parameter without a name is left out: it
// would end the packet.
func AppendStartup(dst []byte, v Version, params []Param) []byte {
	start := len(dst)
	dst = appendUint32(append(dst, 0, 0, 0, 0), uint32(v))
	for _, p := range params {
		if p.Name == "" || p.Name[0] == 0 {
			continue
		}
		dst = appendCString(appendCString(dst, p.Name), p.Value)
	}
	return endStartup(append(dst, 0), start)
}

// AppendCancelRequest appends a CancelRequest; key is the server's, byte for byte.
func AppendCancelRequest(dst []byte, pid uint32, key []byte) []byte {
	start := len(dst)
	dst = appendUint32(append(dst, 0, 0, 0, 0), uint32(codeCancel))
	return endStartup(append(appendUint32(dst, pid), key...), start)
}

// AppendSSLRequest appends an SSLRequest.
func AppendSSLRequest(dst []byte) []byte {
	return appendUint32(appendUint32(dst, minStartupLen), uint32(codeSSL))
}
