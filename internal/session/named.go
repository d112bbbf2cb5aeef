package session

import (
	"bytes"

	"cancello/internal/sqlstate"
	"cancello/internal/unit"
	"cancello/internal/wire"
)

// Prepares lets the client have named statements on shared servers, which are taken from the Library of its pool.
func (s *Session) Prepares(lib *Library) { s.lib = lib }

// Reads says under which settings the server reads a text from now on: all that may change what a statement is.
func (s *Session) Reads(reading string) {
	s.wake()
	s.reading = reading
}

// Statements is the number of the client's named statements.
func (s *Session) Statements() int {
	if s.roll == nil {
		return 0
	}
	return len(s.roll.cards)
}

// Forget drops the client's named statements: it is gone.
func (s *Session) Forget() {
	if s.roll != nil {
		s.roll.failed(s.roll.outstanding())
		s.roll.clear(nil)
	}
	s.work, s.roll, s.lib = nil, nil, nil
}

// sought is how much of a Parse's body has to be here: one that is kept is looked at whole.
func (s *Session) sought(typ byte, body int, b []byte) int {
	if s.policesNames() && !s.skip && s.lib != nil {
		switch {
		case typ == wire.MsgParse && body <= maxKept && (len(b) == 0 || b[0] != 0):
			return body
		case typ == wire.MsgDescribe || typ == wire.MsgClose:
			return min(body, maxName+2)
		}
	}
	return seen(typ, body)
}

// policesNames tells whether names are looked at: where servers are shared, and where they were when a name was given.
func (s *Session) policesNames() bool { return s.mode != Keep || s.Statements() > 0 }

// polices tells whether statements are looked at: the unnamed one, too, may be left from when servers were shared, and
// has to follow the client to the server that it now has for itself.
func (s *Session) polices() bool { return s.policesNames() || len(s.unnamed.cur) > 0 }

// awaits tells whether what a name means, or what the server has, depends on answers to an earlier unit.
func (s *Session) awaits() bool {
	r := s.roll
	if r == nil {
		return false
	}
	return r.outstanding() > 0 && (r.unit != s.begun || !s.open) ||
		r.sweep > s.ended && (r.sweep != s.begun || !s.open) && s.earlier()
}

// earlier tells whether the answer to a unit in front of this message is on its way. It goes by what is owed: where a COPY
// leaves a Sync in doubt, serials are behind until all is answered.
func (s *Session) earlier() bool {
	for i := range s.queue.Len() {
		switch s.queue.At(i).Kind() {
		case unit.Sync, unit.Query, unit.Function:
			return true
		}
	}
	return false
}

// mayPrepare tells whether a unit that is not answered may be a PREPARE: those that may end a transaction include it.
func (s *Session) mayPrepare() bool { return s.protected.last > s.ended && s.earlier() }

// meaning is what a name means.
func (s *Session) meaning(name []byte) (card, bool) {
	if s.roll == nil {
		return card{}, false
	}
	c, ok := s.roll.cards[string(cut(name))]
	return c, ok
}

// prepared tells whether the server has the statement as the client may use it.
func (s *Session) prepared(c card) bool {
	return (c.st.large || c.st.reading == s.reading) && s.shelf.fresh(c, s.lease)
}

// judgeParse: a Parse with a name.
func (s *Session) judgeParse(d *decision, body []byte) {
	name, text, whole := wire.CString(body)
	switch {
	case s.lib == nil || s.shelf == nil || s.shelf.Max == 0:
		d.v, d.refusal = Instead, sqlstate.NamedStatementUnsupported()
	case len(name) > maxName || !whole && len(body) > maxName:
		d.v, d.refusal = Instead, sqlstate.NameTooLong("statement", maxName)
	case !whole: // the server says what is wrong with it
	case s.awaits():
		d.v = Hold
	default:
		d.v = Instead
		_, taken := s.meaning(name)
		switch r := s.roll; {
		case r != nil && !taken && len(r.cards) >= maxStatements:
			d.refusal = sqlstate.TooManyStatements("prepared statements", maxStatements)
		case r != nil && !taken && r.bytes+len(text) > maxStatementBytes:
			d.refusal = sqlstate.TooManyStatements("bytes of prepared statements", maxStatementBytes)
		case taken:
			d.entry |= unit.Named | unit.Failing
		default:
			d.entry |= unit.Named
		}
	}
}

// judgeUse: a Bind or Describe of a named statement.
func (s *Session) judgeUse(d *decision, name []byte) {
	if s.lib == nil || s.shelf == nil {
		return
	}
	if s.awaits() {
		d.v = Hold
		return
	}
	c, ok := s.meaning(name)
	switch {
	case !ok && s.tags&TagPrepare != 0: // it may be one of SQL's; nobody else's is there
	case !ok && s.mayPrepare(): // so it may be soon
		d.v = Hold
	case !ok:
		d.v, d.entry = Instead, d.entry|unit.Named|unit.Failing
	case s.prepared(c):
		d.v, d.entry = Instead, d.entry|unit.Named
	case c.st.large:
		d.v, d.refusal = Instead, sqlstate.StatementTooLarge(string(name), maxKept)
	default:
		d.v, d.entry = Insert, d.entry|unit.Named
	}
}

// judgeClose: a Close of a named statement.
func (s *Session) judgeClose(d *decision, name []byte) {
	if s.lib == nil || s.shelf == nil {
		return
	}
	switch _, ok := s.meaning(name); {
	case s.awaits() || !ok && s.tags&TagPrepare == 0 && s.mayPrepare():
		d.v = Hold
	case ok || s.tags&TagPrepare == 0:
		d.v, d.entry = Instead, d.entry|unit.Named
	}
}

// judgeQuery: a DEALLOCATE of a statement of the protocol, by SQL (trap D4).
func (s *Session) judgeQuery(d *decision, body []byte) {
	if s.Statements() == 0 || s.shelf == nil || len(body) < d.body || s.open {
		return
	}
	name, ok := unit.Deallocates(body)
	if !ok {
		return
	}
	if _, ok = s.meaning([]byte(name)); ok {
		if d.v, d.entry = Instead, d.entry|unit.Named; s.awaits() {
			d.v = Hold
		}
	}
}

// rename sends a message of a named statement under the name that the server knows it by, and returns how much of b is
// done with: what stands behind the names passes as it is.
func (s *Session) rename(d decision, b []byte) int {
	s.start(d)
	if s.roll == nil {
		s.roll = newRoll(s.lib)
	}
	body := b[wire.HeaderLen:min(len(b), wire.HeaderLen+d.body)]
	done := 0 // of the body
	switch d.typ {
	case wire.MsgParse:
		name, rest, _ := wire.CString(body)
		done = len(body) - len(rest)
		s.renameParse(d, name, rest)
	case wire.MsgBind:
		portal, rest, _ := wire.CString(body)
		name, rest, _ := wire.CString(rest)
		done = len(body) - len(rest)
		as := s.use(d, name)
		s.out = wire.AppendHeader(s.out, wire.MsgBind, d.body-len(name)+len(as))
		s.out = append(append(s.out, portal...), 0)
		s.out = append(append(s.out, as...), 0)
	case wire.MsgDescribe:
		name, rest, _ := wire.CString(body[1:])
		done = len(body) - len(rest)
		as := s.use(d, name)
		s.out = wire.AppendHeader(s.out, wire.MsgDescribe, d.body-len(name)+len(as))
		s.out = append(append(append(s.out, 'S'), as...), 0)
	case wire.MsgClose:
		name, rest, _ := wire.CString(body[1:])
		done = len(body) - len(rest)
		s.renameClose(d, name)
	case wire.MsgQuery:
		done = len(body)
		s.deallocate(body)
		d.entry |= unit.Ours
	}
	s.up = frame{rest: d.body - done, owed: true}
	s.queue.Push(d.entry)
	return wire.HeaderLen + done
}

// use is what the server knows a statement by, for a Bind or Describe. What it may do when it is executed is noted. One
// that the client does not have goes under a name that does not exist, so that PostgreSQL says so.
func (s *Session) use(d decision, name []byte) string {
	if d.entry.Has(unit.Failing) {
		s.refusals = append(s.refusals, refusal{err: sqlstate.StatementMissing(string(name)), as: s.failName(), name: string(name)})
		return s.failName()
	}
	c, _ := s.meaning(name)
	s.shelf.used(c.st)
	if d.typ == wire.MsgBind {
		s.counts.Binds++
		s.markUnit(c.st.commits, c.st.begins)
		s.stirred = s.stirred || c.st.stirs
		if c.st.sweeps {
			s.roll.sweep = s.begun
		}
	}
	return c.st.name
}

// reword gives the client the server's own error, with the client's name of the statement in the place of ours.
func (s *Session) reword(r refusal, body []byte) {
	before, after, _ := bytes.Cut(body, []byte(r.as))
	s.out = wire.AppendHeader(s.out, wire.MsgErrorResponse, len(before)+len(r.name)+len(after))
	s.out = append(append(append(s.out, before...), r.name...), after...)
}

// renameParse sends a client's Parse. It is always the server that answers it: the state of the transaction, and what a
// name in the text means by now, are judged there and nowhere else (trap A7).
func (s *Session) renameParse(d decision, name, text []byte) {
	if d.entry.Has(unit.Failing) {
		s.clash(d, name)
		return
	}
	var st *Statement
	if d.body > maxKept {
		st = s.lib.oversized()
	} else {
		st = s.lib.find(text, s.reading)
	}
	s.counts.parse()
	s.makeRoom(st)
	c := card{st: st, at: s.lib.tick()}
	s.roll.note(change{
		name: string(cut(name)), renamed: true, now: c,
		shelf: s.shelf, put: &edition{st: st, at: c.at, epoch: s.shelf.epoch},
	}, s.begun)
	s.markUnit(st.commits, st.begins)
	s.out = wire.AppendHeader(s.out, wire.MsgParse, d.body-len(name)+len(st.name))
	s.out = append(append(s.out, st.name...), 0)
}

// clash sends a Parse whose name is in use: under a name of ours that is in use as well, so that whatever PostgreSQL has
// against it comes first, and the clash last.
func (s *Session) clash(d decision, name []byte) {
	taken := s.failName() + "_taken"
	s.out = wire.AppendClose(s.out, 'S', taken)
	s.out = wire.AppendParse(s.out, taken, "")
	for _, e := range [...]unit.Entry{unit.Close, unit.Parse} {
		s.queue.Push(e | unit.Ours | unit.Named)
		s.roll.note(change{}, s.begun)
	}
	s.refusals = append(s.refusals, refusal{err: sqlstate.StatementExists(string(name)), as: taken, name: string(name)})
	s.out = wire.AppendHeader(s.out, wire.MsgParse, d.body-len(name)+len(taken))
	s.out = append(append(s.out, taken...), 0)
	s.roll.note(change{}, s.begun)
}

// makeRoom closes what stands in the way of st on the server: an edition of it, and where that is not there, the one
// that was not used for longest.
func (s *Session) makeRoom(st *Statement) {
	for ed := s.shelf.editions[st]; ed != nil || s.shelf.full(); ed = nil {
		if ed == nil {
			ed = s.shelf.oldest
		}
		s.out = wire.AppendClose(s.out, 'S', ed.st.name)
		s.queue.Push(unit.Close | unit.Ours | unit.Named)
		s.roll.note(change{shelf: s.shelf, took: ed}, s.begun)
	}
}

// prepare sends the client's own Parse ahead of the message in front, for a server that does not have the statement.
func (s *Session) prepare(d decision, b []byte) {
	s.start(d)
	name := statementName(d.typ, b[wire.HeaderLen:])
	c, _ := s.meaning(name)
	if st := s.lib.under(c.st, s.reading); st != c.st {
		c.st = st
		s.roll.set(string(cut(name)), c)
		if s.prepared(c) {
			return
		}
	}
	s.makeRoom(c.st)
	s.roll.note(change{shelf: s.shelf, put: &edition{st: c.st, at: s.lib.tick(), epoch: s.shelf.epoch}}, s.begun)
	s.out = wire.AppendHeader(s.out, wire.MsgParse, len(c.st.name)+1+len(c.st.body))
	s.out = append(append(s.out, c.st.name...), 0)
	s.out = append(s.out, c.st.body...)
	s.counts.ServerParses++
	s.queue.Push(unit.Parse | unit.Ours | unit.Named)
}

// statementName is the name of the statement in the body of a Bind or Describe.
func statementName(typ byte, body []byte) []byte {
	if typ == wire.MsgBind {
		_, body, _ = wire.CString(body)
	} else {
		body = body[1:]
	}
	name, _, _ := wire.CString(body)
	return name
}

// renameClose sends a Close of a name: of a statement that does not exist, which PostgreSQL takes, as what the client
// parsed may be in use by others. Only what is the client's own is closed.
func (s *Session) renameClose(d decision, name []byte) {
	ch, as := change{}, s.failName()
	if c, ok := s.meaning(name); ok {
		ch = change{name: string(cut(name)), renamed: true, was: c, shelf: s.shelf}
		if ed := s.shelf.editions[c.st]; ed != nil && c.st.key == "" {
			ch.took, as = ed, c.st.name
		}
	}
	s.roll.note(ch, s.begun)
	s.out = wire.AppendHeader(s.out, wire.MsgClose, d.body-len(name)+len(as))
	s.out = append(append(append(s.out, 'S'), as...), 0)
}

// deallocate sends something in the place of a DEALLOCATE that has the same answer in any state of the transaction.
func (s *Session) deallocate(text []byte) {
	s.roll.falling, _ = unit.Deallocates(text)
	s.roll.sweep = s.begun
	name := s.lib.newName()
	s.out = wire.AppendQuery(s.out, "PREPARE "+name+" AS SELECT; DEALLOCATE "+name)
}

// answeredChange: the server did what the Parse or Close at the head said.
func (s *Session) answeredChange(e unit.Entry) {
	if !e.Has(unit.Named) {
		return
	}
	if c := s.roll.answered(); c.put != nil && s.stirred {
		c.put.lease = s.lease
	}
}

// renamedFailed: the server refused a message of a named statement. Two refusals tell that what it has is of no use
// (trap D2): each statement is prepared anew before it is used again.
func (s *Session) renamedFailed(e unit.Entry, code string) {
	if e.Has(unit.Named) && (code == "0A000" || code == "26000") && (e.Kind() == unit.Bind || e.Kind() == unit.Describe) {
		s.shelf.expire()
	}
}

// swept: a tag says that prepared statements were dropped by SQL.
func (s *Session) swept(tag string, head unit.Entry) {
	switch {
	case s.shelf == nil:
	case tag == "DEALLOCATE" && head.Has(unit.Named) && head.Kind() == unit.Query:
		s.roll.set(s.roll.falling[:min(len(s.roll.falling), nameLength)], card{})
	case tag == "DEALLOCATE" && head.Kind() == unit.Execute && s.dropping.planted > 0:
		s.dropping.planted--
	case tag == "DISCARD ALL" || tag == "DEALLOCATE ALL":
		s.dropping.planted = 0
		if s.roll == nil {
			s.shelf.Clear()
			return
		}
		s.roll.clear(s.shelf)
	}
}
