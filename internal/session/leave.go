package session

import (
	"cancello/internal/sqlstate"
	"cancello/internal/unit"
	"cancello/internal/wire"
)

// Unqueue answers the unit that waits in pending, which starts at a message, with e and ReadyForQuery. If that unit would
// open a transaction block, all units received behind it are answered so too: they would run outside of it (trap A6). n
// is how much of pending is done with; out goes to the client. What is still missing of a message is dropped when it
// comes. n is 0 where no unit waits.
func (s *Session) Unqueue(pending []byte, e sqlstate.Error) (n int, out []byte) {
	s.wake()
	s.out = s.out[:0]
	for all := false; ; {
		u := unit.Scan(pending[n:], s.boundBegins)
		if u.Kind == unit.NoUnit {
			return n, s.out
		}
		n += u.Len
		s.begun++
		s.ended = s.begun
		s.out = wire.AppendError(s.out, e.Severity, e.Code, e.Message, e.Detail, e.Hint)
		s.up = frame{rest: u.Missing, drop: u.Missing > 0}
		if u.Kind == unit.BatchUnit && !u.Whole {
			s.discard, s.open = true, true
			return n, s.out
		}
		s.out = wire.AppendReadyForQuery(s.out, s.tx)
		all = all || u.Begins
		if !all || !u.Whole {
			return n, s.out
		}
	}
}

// boundBegins tells whether a statement that the client has prepared opens a transaction block.
func (s *Session) boundBegins(name []byte) bool {
	if len(name) == 0 {
		return unit.VerbsOf(s.unnamed.sql()).Has(unit.Begin)
	}
	return s.roll != nil && s.roll.mayBegin(name)
}

// Waits tells what sort of unit waits in pending, which starts at a message.
func (s *Session) Waits(pending []byte) unit.Kind {
	if s.open || s.work != nil && s.up.rest > 0 {
		return unit.NoUnit
	}
	return unit.Scan(pending, nil).Kind
}

// RefuseNext makes the next unit fail with e: on the server, so that a transaction it stands in fails with it.
func (s *Session) RefuseNext(e sqlstate.Error) { s.nextRefusal = &e }

// Terminates tells whether pending, which starts at a message, ends with whole units and a Terminate behind them.
func (s *Session) Terminates(pending []byte) bool {
	if s.work != nil {
		if s.up.rest > len(pending) {
			return false
		}
		pending = pending[s.up.rest:]
	}
	for {
		u := unit.Scan(pending, nil)
		if u.Kind == unit.NoUnit {
			return u.Terminate
		}
		if u.Len == 0 || u.Missing > 0 {
			return false
		}
		pending = pending[u.Len:]
		if !u.Whole {
			return unit.Scan(pending, nil).Terminate
		}
	}
}

// Abandon says what to send to the server for a client that is gone, so that it ends what the client left open and
// rolls back what a direct connection would have (trap A3): a bare Sync would commit it. ok is false where a
// message was sent in part: then only closing helps. Called again it adds what has become necessary since, such as the
// end of a COPY whose CopyInResponse came later.
func (s *Session) Abandon() (out []byte, ok bool) {
	s.wake()
	s.out = s.out[:0]
	s.nextRefusal = nil
	if !s.up.whole() {
		return nil, false
	}
	swallowed := s.unsure
	if s.copyIn {
		s.out = wire.AppendCopyFail(s.out, "the client is gone")
		swallowed = s.queue.Head().Kind() == unit.Execute && !s.open
		s.copyIn, s.copyBoth = false, false
		s.queue.Push(unit.CopyEnd)
	}
	switch {
	case s.discard || (!s.open && !swallowed):
		return s.out, true
	case swallowed:
		// The COPY has failed, or will. The server discards up to a Sync, and has perhaps read the client's as data.
	case !s.skip && !s.doomed:
		s.out = wire.AppendParse(s.out, s.failName(), unparsable)
		s.queue.Push(unit.Parse | unit.Failing)
		// Only a client that has said Terminate can still hear it, in front of a ReadyForQuery: so not as a FATAL.
		e := sqlstate.AdminShutdown()
		e.Severity = sqlstate.SeverityError
		s.refusals = append(s.refusals, refusal{err: e})
	}
	s.out = wire.AppendSync(s.out)
	s.queue.Push(unit.Sync)
	s.open, s.skip, s.doomed, s.unsure = false, false, false, false
	return s.out, true
}

// ServerGone forgets all that was outstanding at a server that died, or was taken away at rest. What is still missing of
// a message is dropped when it comes.
func (s *Session) ServerGone() {
	s.wake()
	s.queue.Reset()
	s.refusals, s.nextRefusal = nil, nil
	s.ended = s.begun
	s.tx, s.acted = 'I', false
	s.open, s.skip, s.doomed = s.discard, false, false // what was answered here is dropped up to its Sync all the same
	s.copyIn, s.inCopy, s.copyBoth = false, false, false
	s.unsure, s.doubt, s.probing, s.undoing = false, false, false, false
	s.down, s.late = frame{}, nil
	if s.up.rest > 0 {
		s.up.drop, s.up.keep = true, false
	}
	if s.roll != nil {
		s.roll.failed(s.roll.outstanding())
	}
	s.shelf = nil
	s.unnamed.sent = s.unnamed.sent[:0]
	s.unnamed.sentIn, s.unnamed.governed = 0, false
}
