package session

import (
	"cancello/internal/sqlstate"
	"cancello/internal/unit"
	"cancello/internal/wire"
)

// judgeBlock refuses, in Single mode, a text that would leave a transaction block open: before any of it is sent (trap A2).
// Of a Query the whole is needed for that; a Parse has one statement, whose first word tells.
func (s *Session) judgeBlock(d *decision, sql []byte, whole bool) bool {
	if s.mode != Single || !whole && d.typ == wire.MsgQuery || !unit.EndsOpen(sql) {
		return false
	}
	d.v, d.refusal = Instead, sqlstate.TransactionRefused()
	return true
}

// Solitary tells whether nothing may be sent behind the units under way: in Single mode they may leave a transaction
// block open, which ends with them, and what stood behind them would run in it.
func (s *Session) Solitary() bool {
	return s.mode == Single && s.work != nil && s.opening.last > s.ended
}

// judgeReady looks at the status in a ReadyForQuery where no transaction block may be left open.
func (s *Session) judgeReady(status byte) DownVerdict {
	switch {
	case s.mode != Single || status == 'I':
		return DownPass
	case s.open || s.owedBehindReady() > 0:
		s.brokenBy("a transaction block is open in statement mode, and more was sent behind it")
		return DownBroken
	}
	return DownUndo
}

// owedBehindReady is how many messages wait for an answer behind the one that a ReadyForQuery answers.
func (s *Session) owedBehindReady() int {
	n := -1
	for i := range s.queue.Len() {
		if s.queue.At(i).Kind() != unit.CopyEnd {
			n++
		}
	}
	return n
}

// undo takes the ReadyForQuery of a unit that left a transaction block open: the unit goes on until the block is rolled
// back, which is the next thing to be sent.
func (s *Session) undo() {
	switch head := s.queue.Head(); {
	case s.Undoing(): // something met the ROLLBACK
	case head.Kind() == unit.Query:
		s.unnamed.drop()
	}
	s.queue.Reset()
	s.unnamed.governed = false // our Query drops it on the server
	s.inCopy, s.copyIn, s.copyBoth = false, false, false
	s.queue.Push(unit.Query | unit.Ours)
	s.undoing = true
}

// Undoing tells whether all that is left of the unit under way is the rolling back of its block: nothing of the client's
// runs any more.
func (s *Session) Undoing() bool {
	return s.work != nil && s.queue.Head() == unit.Query|unit.Ours
}

// MustUndo tells whether a transaction block that may not be is to be rolled back: Undo says how.
func (s *Session) MustUndo() bool { return s.undoing }

// Undo is what rolls it back. It is a query of our own: not to be sent with a cancel on the wire. The bytes hold until
// the Session's next call.
func (s *Session) Undo() []byte {
	s.undoing = false
	s.out = wire.AppendQuery(s.out[:0], "ROLLBACK")
	return s.out
}

// undone ends the unit of which the block was rolled back, with an error: the client believes that it is in a block.
func (s *Session) undone() {
	s.queue.Pop()
	if s.failedUnit != s.ended+1 { // else it has its error
		e := sqlstate.TransactionUndone()
		s.out = wire.AppendError(s.out, e.Severity, e.Code, e.Message, e.Detail, e.Hint)
		s.failedUnit = s.ended + 1
	}
	s.out = wire.AppendReadyForQuery(s.out, 'I')
	s.tx = 'I'
	s.ended = min(s.ended+1, s.begun)
	s.settleSerials()
}
