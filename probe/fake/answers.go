package fake

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// answer does the statements that take no time.
func (c *Session) answer(sql string) ([]byte, bool) {
	k := c.server.knobs.Pooler
	p := &c.server.pool
	switch {
	case sql == "SELECT 1":
		return row("1"), true
	case k.NoPID && strings.Contains(sql, "pg_backend_pid"):
		return nil, false
	case sql == "SELECT pg_backend_pid()":
		return row(fmt.Sprint(c.on.pid)), true
	case sql == "BEGIN":
		c.status = 'T'
	case sql == "COMMIT", sql == "ROLLBACK":
		c.status = 'I'
	case strings.HasPrefix(sql, "SELECT pg_backend_pid(), "):
		found := "f"
		if p.finds(c, subject(sql)) {
			found = "t"
		}
		return row(fmt.Sprint(c.on.pid), found), true
	case subject(sql) != "" && undoes(sql):
		p.undo(subject(sql))
	case subject(sql) != "":
		p.leave(c, subject(sql))
	default:
		return nil, false
	}
	return message('C', []byte(strings.SplitN(sql, " ", 2)[0]+"\x00")), true
}

// subject is what kind of state a statement is about; empty if none.
func subject(sql string) string {
	for _, s := range []struct{ part, what string }{
		{"statement_timeout", "set"}, {"TEMP TABLE", "temp-table"}, {"pg_temp", "temp-table"},
		{"PREPARE", "prepared"}, {"pg_prepared_statements", "prepared"}, {"DEALLOCATE", "prepared"},
		{"pg_advisory", "lock"}, {"pg_locks", "lock"}, {"LISTEN", "listen"}, {"pg_listening_channels", "listen"},
	} {
		if strings.Contains(sql, s.part) {
			return s.what
		}
	}
	return ""
}

func undoes(sql string) bool {
	for _, verb := range []string{"RESET", "DROP", "DEALLOCATE", "UNLISTEN", "SELECT pg_advisory_unlock"} {
		if strings.HasPrefix(sql, verb) {
			return true
		}
	}
	return false
}

// row is a result of one row of texts.
func row(values ...string) []byte {
	count := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
	description, data := append([]byte{}, count...), append([]byte{}, count...)
	for _, v := range values {
		description = append(description, "c\x00"...)
		description = append(description, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0)
		data = append(binary.BigEndian.AppendUint32(data, uint32(len(v))), v...)
	}
	out := message('T', description)
	out = append(out, message('D', data)...)
	return append(out, message('C', []byte("SELECT 1\x00"))...)
}
