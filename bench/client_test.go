package main

import (
	"errors"
	"strings"
	"testing"

	"cancello/internal/wire"
)

// row is an answer to SELECT 1 without its description.
func row() []byte {
	b := appendMessage(nil, wire.MsgDataRow, "", []byte{0, 1, 0, 0, 0, 1, '1'})
	b = appendMessage(b, wire.MsgCommandComplete, "SELECT 1\x00", nil)
	return wire.AppendReadyForQuery(b, 'I')
}

// An answer is understood however it is cut.
func TestReplyInPieces(t *testing.T) {
	whole := row()
	for size := 1; size <= len(whole); size++ {
		var r reply
		rest := whole
		for len(rest) > 0 {
			n := min(size, len(rest))
			err := r.take(rest[:n])
			rest = rest[n:]
			if len(rest) > 0 && !errors.Is(err, errNotDone) || len(rest) == 0 && err != nil {
				t.Fatalf("pieces of %d bytes, %d left: %v", size, len(rest), err)
			}
		}
		if r.rows != 1 {
			t.Errorf("pieces of %d bytes: %d rows", size, r.rows)
		}
	}
}

func TestReplyFaults(t *testing.T) {
	for name, c := range map[string]struct {
		bytes []byte
		want  string
	}{
		"error":         {wire.AppendError(nil, "FATAL", "53300", "too many", "", ""), "too many (53300)"},
		"behind":        {append(row(), 'N'), "1 bytes behind"},
		"not a message": {[]byte{'?', 0, 0, 0, 4}, "unknown type"},
	} {
		var r reply
		if err := r.take(c.bytes); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
