package session

import (
	"bytes"

	"cancello/internal/unit"
	"cancello/internal/wire"
)

// Down verdicts: what becomes of the server's bytes.
type DownVerdict uint8

const (
	// DownPass: the n bytes go to the client.
	DownPass DownVerdict = iota
	// DownSwallow: the n bytes go nowhere.
	DownSwallow
	// DownInstead: Out goes to the client in place of the n bytes.
	DownInstead
	// DownMore: nothing was taken; the message in front is cut where it has to be seen.
	DownMore
	// DownParam: the n bytes go to the client; the last message in them is the ParameterStatus in Report.
	DownParam
	// DownLate: the n bytes go to the client, and what was delayed (Out) behind them.
	DownLate
	// DownNotify: the n bytes begin a NotificationResponse, header and pid; Report.Value is the pid. The rest follows.
	DownNotify
	// DownReady: the n bytes go to the client; the last message in them is a ReadyForQuery. A unit may have ended.
	DownReady
	// DownUndo: the n bytes go nowhere. A transaction block was left open in Single mode: see MustUndo.
	DownUndo
	// DownFatal: nothing was taken. The server says in Report.Body why it is about to close.
	DownFatal
	// DownBroken: the server broke the protocol; Err says how.
	DownBroken
)

// Down looks at the server's bytes b, which continue where the last call's n ended, and says what becomes of the first n
// of them.
func (s *Session) Down(b []byte) (n int, v DownVerdict) {
	s.wake()
	s.out = s.out[:0]
	for n < len(b) {
		if s.down.rest > 0 {
			if s.down.drop && n > 0 {
				return n, DownPass
			}
			k := min(s.down.rest, len(b)-n)
			s.down.rest -= k
			if s.down.drop {
				return k, DownSwallow
			}
			n += k
			if s.down.rest == 0 && len(s.late) > 0 {
				s.out, s.late = append(s.out, s.late...), nil
				return n, DownLate
			}
			continue
		}
		if len(b)-n < wire.HeaderLen {
			return orMore(n)
		}
		typ, body, err := wire.BackendHeader(b[n:])
		if err != nil {
			s.brokenBy(err.Error())
			return passFirst(n, DownBroken)
		}
		if plain(typ) {
			if whole := wire.HeaderLen + body; whole <= len(b)-n {
				if n += whole; n < len(b) && b[n] == typ && (typ == wire.MsgDataRow || typ == wire.MsgCopyData) {
					n += wire.Run(b[n:], typ)
				}
				continue
			}
			s.down = frame{rest: body}
			n += wire.HeaderLen
			continue
		}
		have := min(len(b)-n-wire.HeaderLen, body)
		if have < wanted(typ, body) {
			return orMore(n)
		}
		if v = s.peek(typ, b[n+wire.HeaderLen:n+wire.HeaderLen+have]); v != DownPass && v != DownReady && v != DownParam {
			if n > 0 {
				return n, DownPass
			}
			return s.divertDown(v, body, b), v
		}
		s.down = frame{rest: body}
		v = s.reply(typ, b[n+wire.HeaderLen:n+wire.HeaderLen+have])
		switch v {
		case DownParam, DownReady:
			s.down.rest = 0
			return n + wire.HeaderLen + body, v
		case DownBroken:
			s.down = frame{}
			return passFirst(n, v)
		}
		n += wire.HeaderLen
	}
	return n, DownPass
}

func orMore(n int) (int, DownVerdict) { return passFirst(n, DownMore) }

// passFirst lets the bytes in front of something special go first; Down meets it again.
func passFirst(n int, v DownVerdict) (int, DownVerdict) {
	if n > 0 {
		return n, DownPass
	}
	return 0, v
}

// plain tells whether a message changes nothing: rows, COPY data, notices.
func plain(typ byte) bool {
	switch typ {
	case wire.MsgDataRow, wire.MsgCopyData, wire.MsgNoticeResponse, wire.MsgCopyDone, wire.MsgParameterDescription, wire.MsgCopyOutResponse:
		return true
	}
	return false
}

// wanted is how much of the body has to be seen.
func wanted(typ byte, body int) int {
	switch typ {
	case wire.MsgReadyForQuery:
		return min(body, 1)
	case wire.MsgErrorResponse:
		return min(body, maxError)
	case wire.MsgParameterStatus:
		if body <= maxParameter {
			return body
		}
	case wire.MsgCommandComplete:
		return min(body, 16) // the longest tag that is watched
	case wire.MsgNotificationResponse:
		return min(body, 4)
	}
	return 0
}

// peek tells, changing nothing, whether a message is one of those that do not simply pass.
func (s *Session) peek(typ byte, body []byte) DownVerdict {
	head := s.headFor(typ)
	switch typ {
	case wire.MsgErrorResponse:
		if fatal(body) {
			s.report = Report{Body: body}
			return DownFatal
		}
		if head.Has(unit.Failing|unit.Named) && !bytes.Contains(body, []byte(s.refusals[0].as)) {
			return DownPass // PostgreSQL has something else against it
		}
		if head.Has(unit.Failing) {
			return DownInstead
		}
		if head == unit.Close|unit.Ours || head == unit.Query|unit.Ours {
			return DownSwallow // a cancel met the probe, something the ROLLBACK
		}
	case wire.MsgParseComplete, wire.MsgCloseComplete:
		if head.Has(unit.Ours) && (head.Kind() == unit.Parse && typ == wire.MsgParseComplete || head.Kind() == unit.Close && typ == wire.MsgCloseComplete) {
			return DownSwallow
		}
	case wire.MsgCommandComplete:
		if head == unit.Query|unit.Ours|unit.Named || head == unit.Query|unit.Ours {
			return DownSwallow
		}
	case wire.MsgReadyForQuery:
		if head.Has(unit.Ours) && head.Kind() == unit.Sync {
			return DownSwallow
		}
		if len(body) > 0 && head != unit.None {
			if v := s.judgeReady(body[0]); v != DownPass {
				return v
			}
		}
		if head == unit.Query|unit.Ours {
			return DownInstead
		}
	case wire.MsgNotificationResponse:
		if len(body) >= 4 {
			s.report = Report{Value: body[:4]}
			return DownNotify
		}
	}
	return DownPass
}

// headFor is the entry that a message of this type answers: marks that have no reply of their own are passed over.
func (s *Session) headFor(typ byte) unit.Entry {
	for i := range s.queue.Len() {
		e := s.queue.At(i)
		if k := e.Kind(); k == unit.CopyEnd || (k == unit.MaybeSync && typ != wire.MsgReadyForQuery) {
			continue
		}
		return e
	}
	return unit.None
}

func fatal(body []byte) bool {
	severity := wire.ErrorField(body, 'V')
	if severity == nil {
		severity = wire.ErrorField(body, 'S')
	}
	return string(severity) == "FATAL" || string(severity) == "PANIC"
}

// divertDown takes the message in front of b in another way than passing it.
func (s *Session) divertDown(v DownVerdict, body int, b []byte) int {
	n := min(len(b), wire.HeaderLen+body)
	switch v {
	case DownFatal:
		return 0
	case DownNotify:
		s.down = frame{rest: body - 4}
		return wire.HeaderLen + 4
	}
	s.down = frame{rest: wire.HeaderLen + body - n, drop: true}
	s.acted = true
	s.normalise(b[0])
	switch {
	case v == DownBroken:
		s.down = frame{}
		return 0
	case v == DownUndo:
		s.undo()
		return n
	case s.Undoing():
		if b[0] == wire.MsgReadyForQuery {
			s.undone()
		}
		return n
	}
	if v == DownInstead {
		if r := s.refusals[0]; r.as != "" && n == wire.HeaderLen+body {
			s.reword(r, b[wire.HeaderLen:n])
		} else {
			s.out = wire.AppendError(s.out, r.err.Severity, r.err.Code, r.err.Message, r.err.Detail, r.err.Hint)
		}
		s.failed("") // an error of ours is not the answer to a cancel that was sent
		return n
	}
	if s.queue.Head().Kind() == unit.Query { // the PREPARE in front of a DEALLOCATE
		s.queue.Set(0, unit.Query|unit.Named)
		return n
	}
	switch e := s.queue.Pop(); e.Kind() { // ours, swallowed
	case unit.Close:
		s.answeredChange(e)
	case unit.Parse:
		if e.Has(unit.Named) {
			s.answeredChange(e)
			break
		}
		s.unnamed.governed, s.unnamed.sentIn = true, 0
	case unit.Sync:
		s.probing = false
		s.settleSerials()
	}
	return n
}

// normalise removes marks in front that the server has passed.
func (s *Session) normalise(typ byte) {
	for {
		switch s.queue.Head().Kind() {
		case unit.CopyEnd:
		case unit.MaybeSync:
			if typ == wire.MsgReadyForQuery {
				return
			}
		default:
			return
		}
		s.queue.Pop()
	}
}

// reply takes a message that passes to the client and that may answer the oldest entry.
func (s *Session) reply(typ byte, body []byte) DownVerdict {
	switch typ {
	case wire.MsgParameterStatus:
		name, value, ok := wire.ParameterStatus(body)
		if !ok {
			return DownPass
		}
		s.report = Report{Name: name, Value: value}
		return DownParam
	case wire.MsgNotificationResponse:
		return DownPass
	}
	s.normalise(typ)
	head := s.queue.Head()
	ok := true
	switch typ {
	case wire.MsgReadyForQuery:
		return s.ready(body)
	case wire.MsgCloseComplete:
		if ok = s.popKind(unit.Close); ok {
			s.answeredChange(head)
		}
		if ok && head.Has(unit.Unnamed) {
			s.unnamed.drop()
			s.unnamed.governed = true
		}
		return s.asked(ok, typ)
	}
	s.acted = true
	switch typ {
	case wire.MsgErrorResponse:
		ok = head != unit.None
		s.failed(string(wire.ErrorField(body, 'C')))
	case wire.MsgParseComplete:
		if ok = head.Kind() == unit.Parse && !head.Has(unit.Failing) && !(head.Has(unit.Unnamed) && s.unnamed.cut()); ok {
			s.queue.Pop()
			s.parsed(head)
		}
	case wire.MsgBindComplete:
		ok = !head.Has(unit.Failing) && s.popKind(unit.Bind)
	case wire.MsgRowDescription, wire.MsgNoData:
		if head.Kind() == unit.Describe {
			ok = !head.Has(unit.Failing)
			s.queue.Pop()
		}
	case wire.MsgCommandComplete:
		s.watchTag(body, head)
		ok = s.executed(head)
	case wire.MsgEmptyQueryResponse, wire.MsgPortalSuspended:
		ok = s.executed(head)
	case wire.MsgFunctionCallResponse:
		ok = head.Kind() == unit.Function
	case wire.MsgCopyInResponse, wire.MsgCopyBothResponse:
		if ok = head.Kind() == unit.Execute || head.Kind() == unit.Query; ok {
			s.enterCopy(typ == wire.MsgCopyBothResponse)
		}
	default:
		s.brokenBy("unexpected message type " + string(rune(typ)) + " from the server")
		return DownBroken
	}
	return s.asked(ok, typ)
}

// asked is the verdict about a reply, which is what the server was asked for or not.
func (s *Session) asked(ok bool, typ byte) DownVerdict {
	if !ok {
		s.brokenBy("the server answered what it was not asked, with a message of type " + string(rune(typ)))
		return DownBroken
	}
	return DownPass
}

func (s *Session) popKind(k unit.Entry) bool {
	if s.queue.Head().Kind() != k {
		return false
	}
	s.queue.Pop()
	return true
}

func (s *Session) parsed(e unit.Entry) {
	s.answeredChange(e)
	if !e.Has(unit.Unnamed) {
		return
	}
	s.unnamed.succeeded()
	s.unnamed.governed = true
	if len(s.unnamed.sent) == 0 {
		s.unnamed.sentIn = 0
	}
}

// executed: an Execute came to its end, or a statement of a Query did.
func (s *Session) executed(head unit.Entry) bool {
	switch head.Kind() {
	case unit.Query:
		s.endCopy()
		return !head.Has(unit.Failing)
	case unit.Execute:
		s.queue.Pop()
		s.endCopy()
		return true
	}
	return false
}

// watchTag notes what will outlive the transaction.
func (s *Session) watchTag(body []byte, head unit.Entry) {
	tag, _, ok := wire.CString(body)
	if !ok {
		return
	}
	switch string(tag) {
	case "PREPARE":
		s.tags |= TagPrepare
	case "LISTEN":
		s.tags |= TagListen
	case "SET":
		s.tags |= TagSet
		s.stirred = true
	case "RESET":
		s.tags |= TagReset
		s.stirred = true
	case "DO", "CALL":
		s.stirred = true
	case "DISCARD ALL", "DEALLOCATE ALL", "DEALLOCATE":
		if string(tag) == "DISCARD ALL" {
			s.tags |= TagReset
		}
		s.swept(string(tag), head)
	}
}

// ready takes a ReadyForQuery: the unit in front has ended.
func (s *Session) ready(body []byte) DownVerdict {
	head := s.queue.Head()
	if s.down.rest != 1 || (body[0] != 'I' && body[0] != 'T' && body[0] != 'E') {
		s.brokenBy("malformed ReadyForQuery from the server")
		return DownBroken
	}
	switch head.Kind() {
	case unit.Query:
		if head.Has(unit.Failing) {
			s.brokenBy("the server did not fail where it was made to")
			return DownBroken
		}
		s.queue.Pop()
		s.unnamed.drop() // a simple Query drops the unnamed statement (trap A1)
		s.unnamed.governed = true
		s.inCopy, s.copyIn, s.copyBoth = false, false, false
	case unit.Sync, unit.Function:
		s.queue.Pop()
	case unit.MaybeSync:
		s.queue.Pop()
		s.doubtNextSync()
		s.open = s.open && !s.unsure
		s.unsure = false
	default:
		s.brokenBy("the server is ready though it was not asked")
		return DownBroken
	}
	s.standing(head, body[0])
	s.ended = min(s.ended+1, s.begun)
	s.popMarks()
	s.settleSerials()
	if s.doubt = s.queue.Len() > 0 && s.onlyMaybe() && !s.open; s.doubt {
		s.ended = s.begun // nothing runs
	}
	return DownReady
}

// standing notes the transaction status that a ReadyForQuery says. A Sync with nothing behind a Query within its batch
// makes PostgreSQL 18 say that it is idle, while the transaction of that batch is still open: it fails at whatever comes
// next, and is rolled back then. That is the client's, as on a direct connection, and not for the next one to have.
func (s *Session) standing(head unit.Entry, status byte) {
	if status == 'I' && s.tx == 'T' && head.Kind() == unit.Sync && !s.acted {
		status = 'T'
	}
	s.tx, s.acted = status, false
}

// popMarks removes marks in front that nothing can refer to any more.
func (s *Session) popMarks() {
	for s.queue.Head().Kind() == unit.CopyEnd {
		s.queue.Pop()
	}
}

// settleSerials: with nothing outstanding and no batch open all units have ended.
func (s *Session) settleSerials() {
	if s.queue.Len() == 0 && !s.open {
		s.ended = s.begun
	}
}

func (s *Session) brokenBy(what string) {
	s.err.Severity, s.err.Code, s.err.Message = "FATAL", "08P01", what
}
