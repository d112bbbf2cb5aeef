package main

import (
	"encoding/binary"
	"fmt"

	"cancello/internal/wire"
)

// script is what a client sends for one query, always the same.
type script struct {
	name   string
	before []byte // sent once, after the login
	bytes  []byte
	rows   int // of the answer
}

const query = "SELECT 1"

// The scripts: extended is what libpq's PQsendQueryParams sends, prepared what PQsendQueryPrepared does.
var (
	simple   = &script{name: "simple", bytes: wire.AppendQuery(nil, query), rows: 1}
	extended = &script{name: "extended", bytes: wire.AppendSync(appendBound(wire.AppendParse(nil, "", query), "")), rows: 1}
	prepared = &script{name: "prepared", before: wire.AppendSync(wire.AppendParse(nil, "p", query)), bytes: wire.AppendSync(appendBound(nil, "p")), rows: 1}
)

// rowsOf asks for so many rows of so many bytes.
func rowsOf(rows, size int) *script {
	sql := fmt.Sprintf("SELECT repeat('x', %d) FROM generate_series(1, %d)", size, rows)
	return &script{name: "rows", bytes: wire.AppendQuery(nil, sql), rows: rows}
}

// appendBound appends Bind, Describe and Execute of a statement without parameters.
func appendBound(b []byte, statement string) []byte {
	b = appendMessage(b, wire.MsgBind, "\x00"+statement+"\x00", int16s(0, 0, 0)) // portal, statement; formats, values, result formats
	b = appendMessage(b, wire.MsgDescribe, "P\x00", nil)
	return appendMessage(b, wire.MsgExecute, "\x00", []byte{0, 0, 0, 0}) // portal; all rows
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

// enter logs the i-th client of a load in and has it send what comes first.
func (s *script) enter(t target, i int) (*client, error) {
	v, err := enter(t, t.database(i))
	if err != nil {
		return nil, err
	}
	if len(s.before) > 0 {
		if _, _, err := v.exec(s.before); err != nil {
			v.leave()
			return nil, err
		}
	}
	return v.client()
}
