package session

import (
	"bytes"

	"cancello/internal/sqlstate"
	"cancello/internal/unit"
	"cancello/internal/wire"
)

// Verdict is what becomes of the client's bytes given to Up.
type Verdict uint8

const (
	// Pass: the n bytes go to the server.
	Pass Verdict = iota
	// Drop: the n bytes go nowhere.
	Drop
	// More: nothing was taken; the message in front is cut where it has to be seen. Ask again with more behind it.
	More
	// Begin: nothing was taken; a unit begins here. Ask again with free set when it may be sent.
	Begin
	// Insert: nothing was taken; Out goes to the server first. Ask again.
	Insert
	// Instead: Out goes to the server in place of the n bytes.
	Instead
	// Answer: Out goes to the client; the n bytes go nowhere.
	Answer
	// Hold: nothing was taken, nor may anything be until more has been answered. Ask again after the next Down.
	Hold
	// Terminate: the n bytes end the session in order; what follows is ignored.
	Terminate
	// Broken: the client broke the protocol; Err says how.
	Broken
)

// decision is a verdict about one message before anything has changed.
type decision struct {
	v       Verdict
	typ     byte
	body    int
	begins  bool
	entry   unit.Entry
	refusal sqlstate.Error
	drops   bool // a DEALLOCATE is to meet a statement that it can drop
}

// Up looks at the client's bytes b, which continue where the last call's n ended, and says what becomes of the first n
// of them. free tells whether a new unit may be sent at once: the server is leased and nothing keeps it still.
func (s *Session) Up(b []byte, free bool) (n int, v Verdict) {
	if s.work == nil {
		if !free { // however many wait, they rest
			if v = s.knock(b); v != Pass {
				return 0, v
			}
		}
		s.wake()
	}
	s.out = s.out[:0]
	for n < len(b) {
		if s.up.rest > 0 {
			if s.up.drop && n > 0 {
				return n, Pass
			}
			k := s.continueUp(b[n:])
			if s.up.drop {
				return k, Drop
			}
			n += k
			continue
		}
		d := s.judge(b[n:], free)
		if d.v != Pass {
			if n > 0 {
				return n, Pass
			}
			return s.divert(d, b), d.v
		}
		s.accept(d, b[n:])
		n += wire.HeaderLen
		if d.typ == wire.MsgCopyData && d.body <= len(b)-n { // what is like it is judged like it
			n += s.continueUp(b[n:])
			n += wire.Run(b[n:], wire.MsgCopyData)
		}
	}
	return n, Pass
}

// knock is what judge says, in short, to a message that begins a unit of a client that rests: Begin, or More. Pass: it is
// not one, or something is wrong with it.
func (s *Session) knock(b []byte) Verdict {
	if len(b) < wire.HeaderLen {
		return More
	}
	typ, body, err := wire.FrontendHeader(b)
	if err != nil || s.copyIn {
		return Pass
	}
	switch typ {
	case wire.MsgQuery, wire.MsgFunctionCall, wire.MsgParse, wire.MsgBind, wire.MsgDescribe, wire.MsgExecute, wire.MsgClose, wire.MsgSync:
	default:
		return Pass
	}
	if len(b)-wire.HeaderLen < s.sought(typ, body, b[wire.HeaderLen:]) {
		return More
	}
	return Begin
}

// continueUp takes what b has of the message under way.
func (s *Session) continueUp(b []byte) int {
	k := min(s.up.rest, len(b))
	if s.up.keep {
		s.unnamed.more(b[:k])
	}
	s.up.rest -= k
	if s.up.rest == 0 {
		s.up.keep = false
	}
	return k
}

// judge decides about the message in front of b and changes nothing.
func (s *Session) judge(b []byte, free bool) decision {
	if len(b) < wire.HeaderLen {
		return decision{v: More}
	}
	typ, body, err := wire.FrontendHeader(b)
	d := decision{typ: typ, body: body}
	switch {
	case err != nil:
		d.v, d.refusal = Broken, sqlstate.ProtocolViolation(err.Error())
		return d
	case typ == wire.MsgPassword: // only known during login
		d.v, d.refusal = Broken, sqlstate.InvalidMessageType(typ)
		return d
	case typ == wire.MsgTerminate:
		d.v = Terminate
		return d
	case s.discard:
		d.v = Drop
		if typ == wire.MsgSync {
			d.v = Answer
		}
		return d
	case s.doomed && typ != wire.MsgSync:
		d.v = Drop
		return d
	}
	s.classify(&d)
	switch {
	case d.v != Pass:
		return d
	case len(b)-wire.HeaderLen < s.sought(typ, body, b[wire.HeaderLen:]):
		d.v = More
		return d
	case d.begins && (!free || s.Solitary() || s.returns && typ != wire.MsgSync && s.resetting()):
		d.v = Begin
	case s.queue.Len() >= maxOutstanding:
		d.v = Hold
	case d.begins && s.nextRefusal != nil:
		d.v, d.refusal = Instead, *s.nextRefusal
	case s.polices() && !s.skip:
		s.police(&d, b[wire.HeaderLen:min(len(b), wire.HeaderLen+body)])
	}
	return d
}

// seen is how much of a message's body has to be here before it is decided about: the names in front, and of a text enough
// to know what it does to a transaction.
func seen(typ byte, body int) int {
	switch typ {
	case wire.MsgQuery, wire.MsgParse, wire.MsgBind:
		return min(body, maxName+2)
	case wire.MsgDescribe, wire.MsgClose:
		return min(body, 2)
	}
	return 0
}

// classify says what the message is to the reply queue, and whether a unit begins with it.
func (s *Session) classify(d *decision) {
	switch d.typ {
	case wire.MsgCopyData, wire.MsgCopyDone, wire.MsgCopyFail:
		if s.ended == s.begun && !s.copyIn {
			d.v = Drop // late COPY data never leases a server (trap A5)
		} else if d.typ != wire.MsgCopyData && !s.copyIn {
			d.entry = unit.CopyEnd
		}
		return
	case wire.MsgFlush:
		if s.ended == s.begun && !s.open {
			d.v = Drop
		}
		return
	case wire.MsgSync:
		d.entry = unit.Sync
		if s.copyIn && !s.copyBoth {
			d.entry = unit.MaybeSync
			return
		}
	case wire.MsgQuery:
		d.entry = unit.Query
	case wire.MsgFunctionCall:
		d.entry = unit.Function
	case wire.MsgParse:
		d.entry = unit.Parse
	case wire.MsgBind:
		d.entry = unit.Bind
	case wire.MsgDescribe:
		d.entry = unit.Describe
	case wire.MsgExecute:
		d.entry = unit.Execute
	case wire.MsgClose:
		d.entry = unit.Close
	}
	d.begins = !s.open
}

// police looks at the names of a message to a shared server: named statements do not outlive the lease, and the unnamed
// one must be this client's own.
func (s *Session) police(d *decision, body []byte) {
	switch d.typ {
	case wire.MsgParse:
		switch {
		case s.judgeBlock(d, skipName(body, true), len(body) == d.body):
		case d.body > 0 && body[0] != 0:
			if s.policesNames() {
				s.judgeParse(d, body)
			}
		default:
			d.entry |= unit.Unnamed
		}
	case wire.MsgBind:
		end := bytes.IndexByte(body[:min(len(body), maxName+1)], 0) // of the portal's name
		switch {
		case end < 0 && len(body) > maxName:
			d.v, d.refusal = Instead, sqlstate.NameTooLong("portal", maxName)
		case end >= 0 && end+1 < len(body):
			if body[end+1] == 0 {
				s.useUnnamed(d)
				return
			}
			s.policeName(d, body[end+1:])
		}
	case wire.MsgDescribe, wire.MsgClose:
		if len(body) < 2 || body[0] != 'S' {
			return
		}
		if body[1] != 0 {
			s.policeName(d, body[1:])
			return
		}
		if d.typ == wire.MsgClose {
			d.entry |= unit.Unnamed
			return
		}
		s.useUnnamed(d)
	case wire.MsgQuery:
		if !s.judgeBlock(d, body, len(body) == d.body) {
			s.judgeQuery(d, body)
		}
	}
}

// policeName looks at the name of a statement in front of b, of a Bind, Describe or Close.
func (s *Session) policeName(d *decision, b []byte) {
	name, _, ok := wire.CString(b)
	switch {
	case !s.policesNames() || s.lib == nil || !ok && len(b) <= maxName: // the server says what is wrong with it
	case !ok || len(name) > maxName:
		d.v, d.refusal = Instead, sqlstate.NameTooLong("statement", maxName)
	case d.typ == wire.MsgClose:
		s.judgeClose(d, name)
	default:
		s.judgeUse(d, name)
	}
}

// useUnnamed makes sure that a Bind or Describe of the unnamed statement meets the client's own (trap A1).
func (s *Session) useUnnamed(d *decision) {
	u := &s.unnamed
	switch {
	case u.governed || (u.sentIn != 0 && u.sentIn == s.begun && s.open):
	case u.sentIn != 0:
		d.v = Hold // a Parse in an earlier unit: whether it succeeded is not known yet
	case len(u.cur) == 0:
		d.v, d.refusal = Instead, sqlstate.UnnamedStatementMissing()
	case u.cur[0] == tooLong:
		d.v, d.refusal = Instead, sqlstate.UnnamedStatementTooLarge(maxKept)
	default:
		d.v = Insert
	}
	if s.drops(d) {
		if d.v, d.drops = Insert, true; s.awaits() {
			d.v = Hold
		}
	}
}

// accept takes the header of a message that passes.
func (s *Session) accept(d decision, b []byte) {
	text := b[wire.HeaderLen:min(len(b), wire.HeaderLen+d.body)]
	s.start(d)
	s.up = frame{rest: d.body}
	switch d.typ {
	case wire.MsgCopyDone, wire.MsgCopyFail:
		s.copyIn, s.copyBoth = false, false
	case wire.MsgQuery:
		s.mark(text, d.body)
	case wire.MsgParse:
		s.counts.parse()
		if d.entry.Has(unit.Unnamed) && !s.skip {
			s.up.keep = s.unnamed.begin(b[:wire.HeaderLen], d.body)
			s.unnamed.sentIn = s.begun
		}
		s.mark(text, d.body)
	case wire.MsgBind:
		s.counts.Binds++
		s.markUnit(s.commitsKept, s.beginsKept)
		if s.sweepsKept && s.roll != nil {
			s.roll.sweep = s.begun
		}
	}
	if d.entry == unit.None || (s.skip && d.entry != unit.Sync) {
		return
	}
	if d.entry == unit.Sync {
		s.skip = false
	}
	s.up.owed = true
	s.queue.Push(d.entry)
}

// start does what the message means for the unit: it may begin one, and it may be the last of one.
func (s *Session) start(d decision) {
	if d.begins {
		s.begun++
	}
	if d.entry != unit.None {
		s.unsure = false
	}
	s.flushed = d.typ == wire.MsgFlush
	switch d.typ {
	case wire.MsgQuery, wire.MsgFunctionCall:
		if s.skip {
			return // the server ignores it as it ignores all else before Sync
		}
		s.kind = unit.QueryUnit
		if d.typ == wire.MsgFunctionCall {
			s.kind = unit.FunctionUnit
		}
		s.open = false
	case wire.MsgSync:
		s.kind = unit.BatchUnit
		s.open, s.doomed = false, false
	case wire.MsgParse, wire.MsgBind, wire.MsgDescribe, wire.MsgExecute, wire.MsgClose:
		s.kind = unit.BatchUnit
		s.open = true
	}
}

// mark notes a unit that may end or open a transaction block. A text that is cut may hide that behind a semicolon, or in
// a first word that is cut.
func (s *Session) mark(text []byte, body int) {
	sql := skipName(text, s.open)
	hidden := len(text) < body && (bytes.IndexByte(text, ';') >= 0 || !unit.Opens(sql))
	verbs := unit.VerbsOf(sql)
	commits, begins := verbs.Has(unit.Commit), verbs.Has(unit.Begin)
	s.markUnit(commits || hidden, begins || hidden)
	if bytes.Contains(sql, []byte("idle_session_timeout")) || bytes.Contains(sql, []byte("IDLE_SESSION_TIMEOUT")) {
		s.tags |= TagSet // set_config has another tag than SET
	}
	if hidden || verbs.Has(unit.Reset) {
		s.resets.add(s.begun, s.ended)
	}
	if s.lib != nil {
		s.stirred = s.stirred || stirs(sql)
		sweeps := hidden || verbs.Has(unit.Sweep)
		if s.open {
			s.sweepsKept = sweeps
			s.dropping.parsed(sql, sweeps && len(text) >= body)
		}
		if sweeps && s.roll != nil {
			s.roll.sweep = s.begun
		}
	}
	if s.open { // a Parse
		keep := s.mode == Keep
		s.commitsKept = commits || hidden || (keep && s.commitsKept)
		s.beginsKept = begins || hidden || (keep && s.beginsKept)
	}
}

func (s *Session) markUnit(commits, begins bool) {
	if commits {
		s.protected.add(s.begun, s.ended)
	}
	if begins {
		s.opening.add(s.begun, s.ended)
	}
}

// skipName passes the statement name in front of a Parse's text.
func skipName(text []byte, parse bool) []byte {
	if !parse {
		return text
	}
	_, sql, _ := wire.CString(text)
	return sql
}

// divert takes the message in front of b in another way than passing it, and returns how many bytes are done with.
func (s *Session) divert(d decision, b []byte) int {
	switch d.v {
	case Drop:
		return s.dropFrame(d, b)
	case Terminate:
		return len(b)
	case Broken:
		s.err = d.refusal
		return 0
	case Answer:
		s.discard, s.open = false, false
		s.out = wire.AppendReadyForQuery(s.out, s.tx)
		return s.dropFrame(d, b)
	case Insert:
		if d.drops {
			s.plant(d)
			return 0
		}
		if d.entry.Has(unit.Named) {
			s.prepare(d, b)
			return 0
		}
		s.start(d)
		s.stirred = s.stirred || stirs(s.unnamed.cur)
		s.out = append(s.out, s.unnamed.cur...)
		s.unnamed.sentIn = s.begun
		s.counts.ServerParses++
		s.queue.Push(unit.Parse | unit.Ours)
		return 0
	case Instead:
		if d.entry.Has(unit.Named) {
			return s.rename(d, b)
		}
		s.refuse(d)
		return s.dropFrame(d, b)
	}
	return 0
}

// dropFrame passes the message over: what is here of it, and what comes of it later.
func (s *Session) dropFrame(d decision, b []byte) int {
	n := min(len(b), wire.HeaderLen+d.body)
	s.up = frame{rest: wire.HeaderLen + d.body - n, drop: true}
	return n
}

// refuse makes the server fail in place of the message, so that it discards to Sync and rolls back as it would for an
// error of its own (trap A2).
func (s *Session) refuse(d decision) {
	s.nextRefusal = nil
	s.refusals = append(s.refusals, refusal{err: d.refusal})
	s.start(d)
	if d.typ == wire.MsgQuery || d.typ == wire.MsgFunctionCall {
		s.out = wire.AppendQuery(s.out, unparsable)
		s.queue.Push(unit.Query | unit.Failing)
		return
	}
	if d.typ == wire.MsgSync { // a batch of nothing else
		s.out = wire.AppendParse(s.out, s.failName(), unparsable)
		s.out = wire.AppendSync(s.out)
		s.queue.Push(unit.Parse | unit.Failing)
		s.queue.Push(unit.Sync)
		return
	}
	s.out = wire.AppendParse(s.out, s.failName(), unparsable)
	s.queue.Push(unit.Parse | unit.Failing)
	s.doomed = true
}

// unparsable is what makes a server fail; a person may meet it in the server's log.
const unparsable = "cancello: refused for the client"
