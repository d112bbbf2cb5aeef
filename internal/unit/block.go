package unit

import "bytes"

// EndsOpen tells whether the text opens a transaction block and does not end it. In doubt it says no: then the
// ReadyForQuery behind it will tell.
func EndsOpen(sql []byte) bool {
	open := false
	var s blockStatement
	for i := 0; i < len(sql); {
		n, sure := skip(sql, i)
		if !sure {
			return false
		}
		switch c := sql[i]; {
		case n > 0:
			i += n
		case c == ';':
			open = s.leaves(open)
			s = blockStatement{}
			i++
		case isWord(c):
			n := wordLen(sql[i:])
			s.word(sql[i : i+n])
			i += n
		default:
			i++
		}
	}
	return s.leaves(open)
}

// blockStatement is what the words of one statement say about a transaction block.
type blockStatement struct {
	first, last []byte
	part        bool // ROLLBACK TO a savepoint, PREPARE of a statement: the block goes on
	chain       bool // AND CHAIN: another one follows
}

func (s *blockStatement) word(w []byte) {
	switch {
	case s.first == nil:
		s.first = w
		s.part = is(w, "prepare")
	case is(s.first, "prepare") && bytes.Equal(s.last, s.first):
		s.part = !is(w, "transaction")
	case is(w, "to"):
		s.part = true
	case is(w, "chain"):
		s.chain = !is(s.last, "no")
	}
	s.last = w
}

// leaves tells whether a block is open behind the statement.
func (s *blockStatement) leaves(open bool) bool {
	ends := verb(s.first).Has(Commit) || is(s.first, "rollback") || is(s.first, "abort")
	switch {
	case verb(s.first).Has(Begin):
		return true
	case ends && !s.part && !s.chain:
		return false
	}
	return open
}
