package probe

import (
	"context"

	"github.com/jackc/pgx/v5/pgproto3"
)

const queryCanceled = "57014" // errcodes.txt

// cancelled keeps a new session busy and cancels it. Where nothing ends the statement, there is nothing to look at after.
func cancelled(ctx context.Context, b *Bench, before ...string) (trial, error) {
	s, err := b.loginWithKey(ctx)
	if err != nil {
		return trial{}, err
	}
	for _, sql := range before {
		if a, err := s.Query(sql); err != nil {
			return trial{}, err
		} else if a.Err() != nil {
			return trial{}, &excuse{NotApplicable, "the server can't do " + quoted(sql) + ": " + a.Err().Error()}
		}
	}
	if len(before) > 0 && s.Status != 'T' {
		return trial{}, &excuse{NotApplicable, "the server knows no transaction blocks: ReadyForQuery after BEGIN doesn't say 'T'"}
	}
	t, err := b.try(ctx, s, simpleQuery, AsSession)
	if err == nil && !t.ended() {
		err = &excuse{Unknown, "nothing was cancelled: " + t.judge().Seen}
	}
	return t, err
}

func cancelState(ctx context.Context, b *Bench) Result {
	t, err := cancelled(ctx, b)
	if err != nil {
		return excused(err)
	}
	e := t.answer.Err()
	if e.Code != queryCanceled || e.Severity != "ERROR" {
		return Conclude(Fail, "severity %s, SQLSTATE %s: %s", e.Severity, e.Code, quoted(e.Message))
	}
	return Conclude(Pass, "ERROR 57014")
}

func cancelNext(ctx context.Context, b *Bench) Result {
	t, err := cancelled(ctx, b)
	if err != nil {
		return excused(err)
	}
	for i := range 5 {
		a, err := t.session.Query("SELECT 1")
		switch {
		case err != nil:
			return Conclude(Fail, "query %d after the cancel is not answered: %s", i+1, lostOrSilent(err))
		case a.Err() != nil:
			return Conclude(Fail, "query %d after the cancel ends with %s", i+1, a.Err().Error())
		case a.Value() != "1" || a.Status != 'I':
			return Conclude(Fail, "query %d after the cancel answers %q and ReadyForQuery %q", i+1, a.Value(), a.Status)
		}
	}
	return Conclude(Pass, "five queries after the cancel answer as they should")
}

// lostOrSilent puts a connection's error into words.
func lostOrSilent(err error) string {
	if timedOut(err) {
		return "nothing comes"
	}
	return "the connection is lost"
}

func cancelTransaction(ctx context.Context, b *Bench) Result {
	t, err := cancelled(ctx, b, "BEGIN")
	if err != nil {
		return excused(err)
	}
	if t.answer.Status != 'E' {
		return Conclude(Fail, "ReadyForQuery says %q after the cancel, not 'E'", t.answer.Status)
	}
	a, err := t.session.Query("SELECT 1")
	if err != nil {
		return Conclude(Fail, "the next statement is not answered: %s", lostOrSilent(err))
	}
	if a.Err() == nil || a.Err().Code != "25P02" {
		return Conclude(Fail, "the next statement in the failed block is not refused with 25P02: it answers %s", summary(a))
	}
	a, err = t.session.Query("ROLLBACK")
	if err != nil || a.Err() != nil || a.Status != 'I' {
		return Conclude(Fail, "ROLLBACK doesn't end the failed block: %s", summary(a))
	}
	if a, err = t.session.Query("SELECT 1"); err != nil || a.Value() != "1" {
		return Conclude(Fail, "the query after ROLLBACK is not answered: %s", summary(a))
	}
	return Conclude(Pass, "ReadyForQuery 'E', 25P02, and 'I' after ROLLBACK")
}

// summary is an answer in few words.
func summary(a Answer) string {
	switch {
	case a.Err() != nil:
		return a.Err().Error()
	case a.Status == 0:
		return "nothing"
	case len(a.Tags) > 0:
		return quoted(a.Tags[0])
	}
	return "ReadyForQuery " + quoted(string(a.Status))
}

// copyTable is made in a transaction that never commits.
const copyTable = "cancello_check_copy"

func cancelCopyIn(ctx context.Context, b *Bench) Result {
	s, err := b.loginWithKey(ctx)
	if err != nil {
		return excused(err)
	}
	for _, sql := range []string{"BEGIN", "CREATE TEMP TABLE " + copyTable + " (line text) ON COMMIT DROP"} {
		if a, err := s.Query(sql); err != nil {
			return excused(err)
		} else if a.Err() != nil {
			return Conclude(NotApplicable, "the server can't do %s: %s", quoted(sql), a.Err().Error())
		}
	}
	if err := s.Ask("COPY " + copyTable + " FROM STDIN"); err != nil {
		return excused(err)
	}
	m, err := s.Read()
	if err != nil {
		return excused(err)
	}
	if m.Type != 'G' {
		return Conclude(NotApplicable, "the server can't do COPY FROM STDIN: %s instead of CopyInResponse", describeType(m))
	}
	request, err := b.CancelSession(ctx, AsSession, s)
	if err != nil {
		return excused(err)
	}
	if err := s.linger(b.settle()); err != nil {
		return Conclude(Fail, "the whole session ends")
	}
	when := "at once"
	if !s.holds('E') {
		when = "with the next CopyData"
		if err := s.Put(&pgproto3.CopyData{Data: []byte("x\n")}); err != nil {
			return excused(err)
		}
		if err := s.linger(b.Quiet); err != nil {
			return Conclude(Fail, "the whole session ends")
		}
	}
	if !s.holds('E') {
		when = "with CopyDone"
		if err := s.Put(&pgproto3.CopyDone{}); err != nil {
			return excused(err)
		}
	}
	t := trial{session: s, request: request}
	t.answer, t.err = s.Await()
	r := t.judge()
	if r.Verdict == Fail && t.err == nil && t.answer.Err() == nil {
		return Conclude(Fail, "COPY goes on and ends as if nothing had been cancelled")
	}
	if r.Verdict == Pass {
		if when == "with CopyDone" {
			return Conclude(Differs, "%s %s only at CopyDone: what came in between is read for nothing", t.answer.Err().Severity, t.answer.Err().Code)
		}
		if t.answer.Status != 'E' {
			return Conclude(Fail, "ReadyForQuery says %q after the cancel, not 'E'", t.answer.Status)
		}
		r = Conclude(Pass, "%s %s %s, then ReadyForQuery", t.answer.Err().Severity, t.answer.Err().Code, when)
	}
	return r
}

func describeType(m Message) string {
	_, text := describeReceived(Frame(m.Type, m.Body))
	return text
}
