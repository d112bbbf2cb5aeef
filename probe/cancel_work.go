package probe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// work is a way to keep a session busy with a statement that takes long.
type work struct {
	name string
	ask  func(s *Session, sql string) error
}

// The works that a request has to end.
var (
	simpleQuery   = work{"a simple query", func(s *Session, sql string) error { return s.Ask(sql) }}
	extendedQuery = work{"an extended query", func(s *Session, sql string) error { return s.Put(batch(sql)...) }}
	pipeline      = work{"a pipeline", func(s *Session, sql string) error { return s.Put(batch("SELECT 1", sql, "SELECT 1")...) }}
	copyOut       = work{"COPY TO STDOUT", func(s *Session, sql string) error { return s.Ask("COPY (" + sql + ") TO STDOUT") }}
)

// batch is extended messages for statements one behind the other, with one Sync behind all.
func batch(statements ...string) []pgproto3.FrontendMessage {
	var all []pgproto3.FrontendMessage
	for _, sql := range statements {
		all = append(all, &pgproto3.Parse{Query: sql}, &pgproto3.Bind{}, &pgproto3.Execute{})
	}
	return append(all, &pgproto3.Sync{})
}

// slowStatements take long on one server or another, the gentlest first. The others are for servers without pg_sleep,
// and end by themselves too.
func slowStatements(d time.Duration) []string {
	return []string{
		fmt.Sprintf("SELECT pg_sleep(%g)", d.Seconds()),
		"SELECT count(*) FROM generate_series(1, 50000000)",
		"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 20000000) SELECT count(*) FROM r",
	}
}

// excuse is why a case could not look.
type excuse struct {
	verdict Verdict
	why     string
}

func (e *excuse) Error() string { return e.why }

// excused makes a Result of an error: what an excuse says, otherwise that the case could not see.
func excused(err error) Result {
	var e *excuse
	if errors.As(err, &e) {
		return Conclude(e.verdict, "%s", e.why)
	}
	return Conclude(Unknown, "%s", failure(err))
}

// noKey is the excuse of every case that needs a key.
var noKey = &excuse{NotApplicable, "the server sends no BackendKeyData: there is no key to cancel with"}

// loginWithKey is a session that can be cancelled.
func (b *Bench) loginWithKey(ctx context.Context) (*Session, error) {
	s, err := b.Login(ctx, LoginOptions{})
	if err == nil && !s.HasKey() {
		err = noKey
	}
	return s, err
}

// settle is how long a statement must run before it is taken to run on.
func (b *Bench) settle() time.Duration { return b.Quiet / 3 }

// slowFor is how long a statement takes that a request is to end: longer than anything is waited for.
func (b *Bench) slowFor() time.Duration { return b.Patience + time.Second }

// start keeps a session busy. The error is an excuse where nothing that the server can do takes long.
func (b *Bench) start(s *Session, w work) error {
	_, err := b.startFor(s, w, b.slowFor())
	return err
}

// startFor is start for a time, and says which statement it is that runs.
func (b *Bench) startFor(s *Session, w work, d time.Duration) (string, error) {
	why := ""
	for _, sql := range slowStatements(d) {
		if err := w.ask(s, sql); err != nil {
			return "", err
		}
		if err := s.linger(b.settle(), 'Z'); err != nil {
			return "", err
		}
		if !s.holds('Z', 'E') {
			return sql, nil
		}
		a, err := s.Await()
		if err != nil {
			return "", err
		}
		switch {
		case a.Err() != nil:
			why = a.Err().Error()
		default:
			why = "it ends at once: " + quoted(sql)
		}
	}
	return "", &excuse{NotApplicable, "the server can't keep " + w.name + " running: " + why}
}

// linger takes what comes in that time, or until a message of one of these types has, and leaves it to be read. The error
// is of a connection that ended.
func (c *Conn) linger(d time.Duration, until ...byte) error {
	if err := c.nc.SetReadDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	for {
		n, err := c.nc.Read(buf)
		c.in = append(c.in, buf[:n]...)
		switch {
		case timedOut(err), err != nil && len(c.in) > 0: // what came is looked at first
			return nil
		case err != nil:
			return err
		case c.holds(until...):
			return nil
		}
	}
}

// holds says whether a message of one of these types was received and not yet read, be it whole or not.
func (c *Conn) holds(types ...byte) bool {
	for p := c.in; len(p) > 0; {
		for _, t := range types {
			if p[0] == t {
				return true
			}
		}
		n := frameLength(p)
		if n > len(p) {
			return false
		}
		p = p[n:]
	}
	return false
}

// frameLength is the length of the first message, or more than there is.
func frameLength(p []byte) int {
	if len(p) < 5 {
		return len(p) + 1
	}
	n := 1 + (int(p[1])<<24 | int(p[2])<<16 | int(p[3])<<8 | int(p[4]))
	if n < 5 {
		return len(p) + 1
	}
	return n
}

// trial is one cancel of one statement.
type trial struct {
	session *Session
	request CancelAnswer
	answer  Answer
	err     error // of the session's connection
}

// try keeps a session busy, sends a request and waits for both ends.
func (b *Bench) try(ctx context.Context, s *Session, w work, way Way) (trial, error) {
	if err := b.start(s, w); err != nil {
		return trial{session: s}, err
	}
	return b.end(ctx, s, way)
}

// end sends a request for a busy session. The session is read meanwhile, so that its answer has the time it came.
func (b *Bench) end(ctx context.Context, s *Session, way Way) (trial, error) {
	t := trial{session: s}
	ready := make(chan struct{})
	go func() {
		defer close(ready)
		t.answer, t.err = s.Await()
	}()
	var err error
	t.request, err = b.CancelSession(ctx, way, s)
	<-ready
	return t, err
}

// judge passes a trial whose statement ended with an error of its own and whose session is ready again.
func (t trial) judge() Result {
	e := t.answer.Err()
	switch {
	case t.err != nil && timedOut(t.err) && e == nil:
		return Conclude(Fail, "the statement runs on: it has not ended in %s", t.answer.Took.Round(time.Second))
	case t.err != nil && timedOut(t.err):
		return Conclude(Fail, "ReadyForQuery doesn't come in %s", t.answer.Took.Round(time.Second))
	case t.err != nil && e != nil:
		return Conclude(Fail, "the whole session ends, with %s %s", e.Severity, e.Code)
	case t.err != nil:
		return Conclude(Fail, "the whole session ends: the connection is lost")
	case e == nil:
		return Conclude(Fail, "the statement ends without an error, as if it had run to its end")
	}
	return Conclude(Pass, "%s %s, then ReadyForQuery", e.Severity, e.Code)
}

// ended says whether the trial did what it should.
func (t trial) ended() bool { return t.judge().Verdict == Pass }

// quit ends a session that may still be busy with something slow, by its own key where that works.
func (b *Bench) quit(ctx context.Context, s *Session) {
	if !s.HasKey() {
		_ = s.Vanish()
		return
	}
	if t, err := b.end(ctx, s, AsSession); err != nil || t.err != nil {
		_ = s.Vanish()
	}
}
