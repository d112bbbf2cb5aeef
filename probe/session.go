package probe

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// ServerError is an ErrorResponse.
type ServerError struct{ Severity, Code, Message string }

func (e *ServerError) Error() string {
	return fmt.Sprintf("%s %s %s", e.Severity, e.Code, quoted(e.Message))
}

// parseError reads the fields of an ErrorResponse or NoticeResponse.
func parseError(body []byte) *ServerError {
	e := &ServerError{}
	for len(body) > 1 && body[0] != 0 {
		kind := body[0]
		value, rest, ok := cutString(body[1:])
		if !ok {
			break
		}
		switch kind {
		case 'S':
			if e.Severity == "" {
				e.Severity = value
			}
		case 'V':
			e.Severity = value // not translated
		case 'C':
			e.Code = value
		case 'M':
			e.Message = value
		}
		body = rest
	}
	return e
}

// Negotiation is a NegotiateProtocolVersion.
type Negotiation struct {
	Version uint32 // as it stands on the wire
	Options []string
}

func parseNegotiation(body []byte) (Negotiation, error) {
	if len(body) < 8 {
		return Negotiation{}, &malformed{fmt.Sprintf("NegotiateProtocolVersion with a body of %d bytes", len(body))}
	}
	n := Negotiation{Version: binary.BigEndian.Uint32(body)}
	rest := body[8:]
	for range binary.BigEndian.Uint32(body[4:]) {
		name, after, ok := cutString(rest)
		if !ok {
			return n, &malformed{"NegotiateProtocolVersion counts more options than it names"}
		}
		n.Options = append(n.Options, name)
		rest = after
	}
	if len(rest) > 0 {
		return n, &malformed{fmt.Sprintf("%d bytes behind the last option of NegotiateProtocolVersion", len(rest))}
	}
	return n, nil
}

// Session is a login, whole or not: what came is here also when the login failed.
type Session struct {
	*Conn
	Version      uint32    // asked for
	Login        []Message // everything up to ReadyForQuery, in order
	Negotiations []Negotiation
	Keys         int    // how many BackendKeyData came
	PID          uint32 // of the last of them
	Key          []byte
	Params       map[string]string
	Status       byte // of the last ReadyForQuery: 'I', 'T' or 'E'; 0 before the first
}

// Answer is what came for one request, up to ReadyForQuery.
type Answer struct {
	Messages []Message
	Rows     [][]string // NULL is ""
	Tags     []string   // of CommandComplete
	Errors   []*ServerError
	Status   byte // of ReadyForQuery; 0 if none came
	Took     time.Duration
}

// Err is the first error, nil without.
func (a Answer) Err() *ServerError {
	if len(a.Errors) == 0 {
		return nil
	}
	return a.Errors[0]
}

// Value is the first column of the first row.
func (a Answer) Value() string {
	if len(a.Rows) == 0 || len(a.Rows[0]) == 0 {
		return ""
	}
	return a.Rows[0][0]
}

// Put sends messages.
func (s *Session) Put(messages ...pgproto3.FrontendMessage) error {
	p, err := Encode(messages...)
	if err != nil {
		return err
	}
	return s.Send(p)
}

// Ask sends a Query and doesn't wait.
func (s *Session) Ask(sql string) error { return s.Put(&pgproto3.Query{String: sql}) }

// Query sends a Query and waits for ReadyForQuery. The error is of the connection; one of the server's is in the
// Answer.
func (s *Session) Query(sql string) (Answer, error) {
	if err := s.Ask(sql); err != nil {
		return Answer{}, err
	}
	return s.Await()
}

// Await takes everything up to ReadyForQuery; each message may take Patience.
func (s *Session) Await() (Answer, error) { return s.AwaitWithin(s.b.Patience) }

// AwaitWithin is Await with a limit of its own for each message. Behind a FATAL error
// the connection ends: the Answer has it, and the error is what Read said.
func (s *Session) AwaitWithin(limit time.Duration) (Answer, error) {
	var a Answer
	begin := time.Now()
	for {
		m, err := s.ReadWithin(limit)
		a.Took = time.Since(begin)
		if err != nil {
			return a, err
		}
		a.Messages = append(a.Messages, m)
		switch m.Type {
		case 'Z':
			if len(m.Body) == 1 {
				a.Status, s.Status = m.Body[0], m.Body[0]
			}
			return a, nil
		case 'E':
			a.Errors = append(a.Errors, parseError(m.Body))
		case 'C':
			tag, _, _ := cutString(m.Body)
			a.Tags = append(a.Tags, tag)
		case 'D':
			var row pgproto3.DataRow
			if err := row.Decode(m.Body); err != nil {
				return a, &malformed{"a DataRow that can't be read: " + err.Error()}
			}
			columns := make([]string, len(row.Values))
			for i, v := range row.Values {
				columns[i] = string(v)
			}
			a.Rows = append(a.Rows, columns)
		}
	}
}
