package session

import (
	"cancello/internal/unit"
	"cancello/internal/wire"
)

// enterCopy: the message at the head reads COPY data from now on. Every Sync sent behind it and before the end of the
// data is read, and swallowed, in that state, unless the COPY fails before it is read (trap A5).
func (s *Session) enterCopy(both bool) {
	s.inCopy, s.copyIn, s.copyBoth = true, true, both
	if both {
		return
	}
	for i := 1; i < s.queue.Len(); i++ {
		switch e := s.queue.At(i); e.Kind() {
		case unit.CopyEnd:
			s.copyIn = false
			return
		case unit.Sync:
			s.queue.Set(i, unit.MaybeSync)
		}
	}
}

// endCopy: the COPY came to its end in order, so what was in doubt was swallowed. Where that was the Sync of the batch,
// and no other one was sent behind the data, the batch is open still: its transaction is.
func (s *Session) endCopy() {
	if !s.inCopy {
		return
	}
	s.inCopy, s.copyIn, s.copyBoth = false, false, false
	entries := make([]unit.Entry, 0, s.queue.Len())
	swallowed := false
	doubt := true // up to the end of the data, or to the first message that cannot stand in front of it
	for i := range s.queue.Len() {
		e := s.queue.At(i)
		switch k := e.Kind(); {
		case i == 0 && k == unit.Query:
		case doubt && k == unit.MaybeSync:
			swallowed = true
			continue
		case doubt && k == unit.CopyEnd:
			doubt = false
			continue
		default:
			doubt = false
		}
		entries = append(entries, e)
	}
	s.queue.Reset()
	for _, e := range entries {
		s.queue.Push(e)
	}
	if swallowed && len(entries) == 0 {
		s.open = true
	}
}

// failed takes an error that ends the message at the head; the server discards what follows up to Sync.
func (s *Session) failed(code string) {
	s.failedUnit = s.ended + 1
	if code == "57014" {
		s.cancelled[s.ended%4] = s.ended + 1
	}
	head := s.queue.Head()
	s.inCopy, s.copyIn, s.copyBoth = false, false, false
	if head.Kind() == unit.Query && head.Has(unit.Failing) {
		s.popRefusal()
		s.queue.Set(0, unit.Query)
	}
	if !head.Extended() {
		return
	}
	s.renamedFailed(head, code)
	changes := 0
	if s.discarded(s.queue.Pop(), true) {
		changes++
	}
	defer func() {
		if changes > 0 {
			s.roll.failed(changes)
		}
	}()
	for s.queue.Len() > 0 {
		switch s.queue.Head().Kind() {
		case unit.MaybeSync:
			if s.onlyMaybe() {
				s.open, s.unsure = true, true
			}
			return
		case unit.Sync:
			return
		}
		if s.discarded(s.queue.Pop(), false) {
			changes++
		}
	}
	s.open, s.skip = true, true
	s.ended = s.begun - 1
}

// discarded: an entry will not be answered. first is the one that failed, the others were skipped unread. It tells whether
// a change in the roll goes with it.
func (s *Session) discarded(e unit.Entry, first bool) (change bool) {
	if e.Has(unit.Failing) {
		s.popRefusal()
	}
	if e.Has(unit.Named) {
		return e.Kind() == unit.Parse || e.Kind() == unit.Close
	}
	if e.Kind() != unit.Parse {
		return false
	}
	switch {
	case e.Has(unit.Unnamed) && first:
		s.unnamed.failed()
		s.unnamed.governed = true
	case e.Has(unit.Unnamed):
		s.unnamed.skipped()
	case e.Has(unit.Ours) && first:
		s.unnamed.governed = true
	}
	if len(s.unnamed.sent) == 0 {
		s.unnamed.sentIn, s.up.keep = 0, false
	}
	return false
}

func (s *Session) popRefusal() {
	s.refusals = s.refusals[1:]
	if len(s.refusals) == 0 {
		s.refusals = nil
	}
}

// doubtNextSync: a ReadyForQuery may have belonged to a Sync in doubt or to the one behind it.
func (s *Session) doubtNextSync() {
	for i := range s.queue.Len() {
		switch e := s.queue.At(i); e.Kind() {
		case unit.CopyEnd:
			continue
		case unit.Sync:
			if !e.Has(unit.Ours) {
				s.queue.Set(i, unit.MaybeSync)
			}
			return
		default:
			return
		}
	}
}

// onlyMaybe tells whether nothing is outstanding but Syncs in doubt.
func (s *Session) onlyMaybe() bool {
	for i := range s.queue.Len() {
		if k := s.queue.At(i).Kind(); k != unit.MaybeSync && k != unit.CopyEnd {
			return false
		}
	}
	return true
}

// Doubtful tells whether nothing is outstanding but a Sync that the server may have swallowed: Probe finds out. Of a batch
// that is discarded the server knows nothing.
func (s *Session) Doubtful() bool {
	return s.work != nil && s.doubt && (!s.open || s.discard) && !s.probing && s.up.whole() && s.queue.Len() > 0 && s.onlyMaybe()
}

// Probe returns what to ask the server, in doubt and with no cancel on the wire: the closing of a statement that does not
// exist, whose answer can be told from a ReadyForQuery. A ReadyForQuery in front of CloseComplete answered the client's
// Sync; the one behind it is swallowed. The bytes hold until the Session's next call.
func (s *Session) Probe() []byte {
	s.out = wire.AppendClose(s.out[:0], 'S', s.failName())
	s.out = wire.AppendSync(s.out)
	s.queue.Push(unit.Close | unit.Ours)
	s.queue.Push(unit.Sync | unit.Ours)
	s.probing, s.doubt = true, false
	return s.out
}
