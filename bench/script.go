package main

import (
	"encoding/binary"

	"cancello/internal/wire"
)

// script is what a client sends for one query, always the same.
type script struct {
	name  string
	bytes []byte
}

const query = "SELECT 1"

// scripts are what is measured. The extended one is what libpq's PQsendQueryParams sends.
var scripts = []script{
	{"simple", wire.AppendQuery(nil, query)},
	{"extended", appendExtended(nil)},
}

func appendExtended(b []byte) []byte {
	b = wire.AppendParse(b, "", query)
	b = appendMessage(b, wire.MsgBind, "\x00\x00", int16s(0, 0, 0)) // portal, statement; formats, values, result formats
	b = appendMessage(b, wire.MsgDescribe, "P\x00", nil)
	b = appendMessage(b, wire.MsgExecute, "\x00", []byte{0, 0, 0, 0}) // portal; all rows
	return wire.AppendSync(b)
}

func appendMessage(b []byte, typ byte, text string, rest []byte) []byte {
	b = wire.AppendHeader(b, typ, len(text)+len(rest))
	b = append(b, text...)
	return append(b, rest...)
}

func int16s(values ...uint16) []byte {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}
