package proxy

import (
	"encoding/binary"
	"errors"
	"strings"

	"cancello/internal/config"
	"cancello/internal/sqlstate"
	"cancello/internal/wire"
)

// badge is who a server said it is, in the words of cancel_sql's placeholders: what a statement means it by.
type badge map[string]string

// What servers are asked. The start of the session tells one pid from its next user, the address one server behind a
// balancer from another.
const (
	askPostgres = `SELECT pid, pg_catalog.to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), ` +
		`coalesce(pg_catalog.host(pg_catalog.inet_server_addr()), ''), coalesce(pg_catalog.inet_server_port(), 0) ` +
		`FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()`
	askCockroach = `SHOW session_id`
)

// The statements of the presets.
const (
	cancelPostgres = `SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.pg_stat_activity WHERE pid = {pid}::int ` +
		`AND pg_catalog.to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') = {backend_start} ` +
		`AND coalesce(pg_catalog.host(pg_catalog.inet_server_addr()), '') = {address} ` +
		`AND coalesce(pg_catalog.inet_server_port(), 0) = {port}::int`
	cancelCockroach = `CANCEL QUERIES IF EXISTS (SELECT query_id FROM [SHOW CLUSTER QUERIES] WHERE session_id = {session_id})`
)

// cancelStatement is the text of a database's cancel_sql.
func cancelStatement(c config.DatabaseCancel) string {
	switch c.SQL {
	case "", config.SQLPostgres:
		return cancelPostgres
	case config.SQLCockroach:
		return cancelCockroach
	}
	return c.SQL
}

// needs says which of the placeholders a statement has.
func needs(statement string) (names []string) {
	for _, name := range config.Placeholders() {
		if strings.Contains(statement, name) {
			names = append(names, name)
		}
	}
	return names
}

// fill puts a badge into a statement; ok is false where it doesn't know all that is needed.
func (i badge) fill(statement string) (sql string, ok bool) {
	var pairs []string
	for _, name := range needs(statement) {
		value, known := i[name]
		if !known || strings.ContainsAny(value, "\x00\\") {
			return "", false
		}
		pairs = append(pairs, name, "'"+strings.ReplaceAll(value, "'", "''")+"'")
	}
	return strings.NewReplacer(pairs...).Replace(statement), true
}

// identify asks the server who it is, where a statement may have to mean it. A server that doesn't say is none that a
// statement can mean: no error.
func (l *serverLogin) identify() error {
	c := l.target.Entry.Cancel
	if !c.UsesSQL() || l.target.Replication != "" {
		return nil
	}
	who := badge{}
	for _, name := range needs(cancelStatement(c)) {
		sql, names := askPostgres, []string{"{pid}", "{backend_start}", "{address}", "{port}"}
		if name == "{session_id}" {
			sql, names = askCockroach, []string{name}
		}
		if _, known := who[name]; known {
			continue
		}
		a, err := l.query(sql)
		if err != nil {
			return err
		}
		if a.refused != "" || len(a.row) != len(names) {
			return nil
		}
		for i := range names {
			who[names[i]] = a.row[i]
		}
	}
	l.backend.who = who
	_, l.info.Known = who.fill(cancelStatement(c))
	return nil
}

// reply is what a server answered to one Query.
type reply struct {
	row     []string // the first one; a NULL is empty
	rows    bool     // there were to be rows
	refused string   // SQLSTATE of an ErrorResponse; empty: none
	tag     string
	status  byte // of the transaction, as ReadyForQuery says; 0: none came
}

// did says whether a statement that cancels did so: it says t, or says nothing and doesn't say that it was none.
func (a reply) did() bool {
	switch {
	case a.refused != "":
		return false
	case a.rows:
		return len(a.row) > 0 && strings.HasPrefix(a.row[0], "t")
	}
	return !strings.HasSuffix(a.tag, " 0")
}

// unread says that the server closed the session for being idle before it had read the Query.
func (a reply) unread() bool { return a.refused == sqlstate.CodeIdleSession && !a.rows && a.tag == "" }

var errUnread = errors.New("it sent a row that cannot be read")

// query runs one Query and reads up to ReadyForQuery.
func (l *serverLogin) query(sql string) (a reply, err error) {
	if _, err = l.nc.Write(wire.AppendQuery(nil, sql)); err != nil {
		return a, err
	}
	return l.answer()
}

// answer reads up to ReadyForQuery.
func (l *serverLogin) answer() (a reply, err error) {
	l.read = 0
	for {
		typ, body, err := l.message()
		if err != nil {
			return a, err
		}
		switch typ {
		case wire.MsgReadyForQuery:
			if len(body) == 1 {
				a.status = body[0]
			}
			return a, nil
		case wire.MsgErrorResponse:
			if a.refused = string(wire.ErrorField(body, 'C')); a.refused == "" {
				a.refused = "XX000"
			}
		case wire.MsgRowDescription:
			a.rows = true
		case wire.MsgCommandComplete:
			tag, _, _ := wire.CString(body)
			a.tag = string(tag)
		case wire.MsgDataRow:
			if a.row != nil {
				continue
			}
			if a.row, err = texts(body); err != nil {
				return a, err
			}
		}
	}
}

// texts are the values of a DataRow.
func texts(body []byte) ([]string, error) {
	if len(body) < 2 {
		return nil, errUnread
	}
	list := make([]string, 0, 4)
	n := int(binary.BigEndian.Uint16(body))
	for body = body[2:]; n > 0; n-- {
		if len(body) < 4 {
			return nil, errUnread
		}
		size := int(int32(binary.BigEndian.Uint32(body)))
		body = body[4:]
		if size < 0 {
			list = append(list, "")
			continue
		}
		if size > len(body) {
			return nil, errUnread
		}
		list = append(list, string(body[:size]))
		body = body[size:]
	}
	return list, nil
}
