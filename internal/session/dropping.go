package session

import (
	"cancello/internal/unit"
	"cancello/internal/wire"
)

// dropping is what is known of a DEALLOCATE that comes by the extended protocol, as psycopg sends it (trap D4): the
// server knows the client's statement by another name, so one that it can drop is made under the client's.
type dropping struct {
	name    string // which the client's unnamed statement drops; empty: none, or one that is not known
	planted int    // statements made in this lease to be dropped, and not dropped yet
}

// parsed notes the text of a Parse of the unnamed statement.
func (d *dropping) parsed(sql []byte, whole bool) {
	d.name = ""
	if whole {
		d.name, _ = unit.Deallocates(sql)
	}
}

// drops tells whether a Bind of the unnamed statement is of a DEALLOCATE of a statement that the client has.
func (s *Session) drops(d *decision) bool {
	if d.v != Pass || d.typ != wire.MsgBind || s.dropping.name == "" || s.shelf == nil {
		return false
	}
	_, ok := s.meaning([]byte(s.dropping.name))
	return ok
}

// plant makes a statement under the client's name ahead of the Bind in front, to be dropped by its Execute, and takes the
// name from the client. One that is not dropped is treated as one of PREPARE's: the server is reset at hand-over.
func (s *Session) plant(d decision) {
	s.start(d)
	name := string(cut([]byte(s.dropping.name)))
	was, _ := s.meaning([]byte(name))
	s.out = wire.AppendClose(s.out, 'S', name)
	s.queue.Push(unit.Close | unit.Ours | unit.Named)
	s.roll.note(change{}, s.begun)
	s.out = wire.AppendParse(s.out, name, "")
	s.queue.Push(unit.Parse | unit.Ours | unit.Named)
	s.roll.note(change{name: name, renamed: true, was: was}, s.begun)
	s.dropping.planted++
}
