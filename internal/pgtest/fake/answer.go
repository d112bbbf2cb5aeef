package fake

import "strings"

// answerAll answers messages until Terminate or the end of the connection.
func (s *Session) answerAll() {
	var skip bool   // an error in a batch: discard to Sync
	var text string // of the last Parse
	for {
		m, err := s.Read()
		if err != nil || m.Type == 'X' {
			return
		}
		if skip && m.Type != 'S' {
			continue
		}
		switch m.Type {
		case 'Q':
			sql := strings.TrimRight(string(m.Body), "\x00")
			if s.Server.Query != nil {
				s.Server.Query(s, sql)
			} else {
				s.Answer(sql)
			}
		case 'P':
			_, rest := cstring(m.Body)
			text, _ = cstring(rest)
			s.Send(Msg('1'))
		case 'B':
			s.Send(Msg('2'))
		case 'D':
			if m.Body[0] == 'S' {
				s.Send(Msg('t', uint16(0)))
			}
			s.Send(Msg('n'))
		case 'E':
			answer, ok := s.execute(text)
			s.Send(answer)
			skip = !ok
		case 'C':
			s.Send(Msg('3'))
		case 'S':
			skip = false
			s.Send(s.ready())
		case 'H':
		default:
			s.Send(Error("FATAL", "08P01", "invalid frontend message type"))
			return
		}
	}
}

func (s *Session) ready() []byte { return Msg('Z', s.Status) }

// Answer answers a simple Query: BEGIN, COMMIT, ROLLBACK, "sleep" (runs until a cancel comes), "fail"
// (42601), the empty one; anything else is a statement without rows that is tagged by its first word.
func (s *Session) Answer(sql string) {
	if sql == "" {
		s.Send(Msg('I'), s.ready())
		return
	}
	answer, _ := s.execute(sql)
	s.Send(answer, s.ready())
}

// execute does one statement and returns its reply without the ReadyForQuery, and whether it went well.
func (s *Session) execute(sql string) (reply []byte, ok bool) {
	word, _, _ := strings.Cut(strings.ToUpper(strings.TrimRight(sql, ";")), " ")
	fail := func(code, text string) ([]byte, bool) {
		if s.Status == 'T' {
			s.Status = 'E'
		}
		return Error("ERROR", code, text), false
	}
	switch {
	case word == "ROLLBACK", word == "COMMIT" && s.Status == 'E':
		s.Status, word = 'I', "ROLLBACK"
	case word == "COMMIT", word == "END":
		s.Status, word = 'I', "COMMIT"
	case s.Status == 'E':
		return fail("25P02", "current transaction is aborted, commands ignored until end of transaction block")
	case word == "BEGIN":
		s.Status = 'T'
	case word == "SLEEP":
		if s.Run(nil) {
			return fail("57014", "canceling statement due to user request")
		}
	case word == "FAIL":
		return fail("42601", `syntax error at or near "fail"`)
	}
	return Msg('C', word), true
}
