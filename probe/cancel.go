package probe

import (
	"context"
	"errors"
	"fmt"
)

const (
	cancelSection = "protocol.sgml, Canceling Requests in Progress (protocol-flow-canceling-requests)"
	lostCancel    = "Ctrl-C, a driver's time limit or a closed tab leave the statement running: it goes on using the server and holding its locks."
)

// cancelCases are the cases of the group Cancel.
func cancelCases() []Case {
	ended := "the statement ends with ERROR 57014, the session goes on"
	return []Case{
		{
			ID: "cancel.query", Group: GroupCancel, Title: "A running simple query can be cancelled.",
			Source: cancelSection, Expected: ended, Means: lostCancel, Run: cancelRun(simpleQuery, AsSession),
		}, {
			ID: "cancel.extended", Group: GroupCancel, Title: "A running extended query can be cancelled.",
			Source: cancelSection, Expected: ended, Means: lostCancel, Run: cancelRun(extendedQuery, AsSession),
		}, {
			ID: "cancel.pipeline", Group: GroupCancel, Title: "A cancel in a pipeline ends the running statement and what stands behind it up to Sync.",
			Source:   "protocol.sgml, Pipelining (protocol-flow-pipelining): after an error messages are skipped up to Sync",
			Expected: "the first statement's result, ERROR 57014 for the second, nothing of the third, one ReadyForQuery",
			Means:    "Answers and requests get out of step, or work goes on that the client takes for cancelled.", Run: cancelPipeline,
		}, {
			ID: "cancel.copy-out", Group: GroupCancel, Title: "A running COPY TO STDOUT can be cancelled.",
			Source: cancelSection, Expected: ended, Means: lostCancel, Run: cancelRun(copyOut, AsSession),
		}, {
			ID: "cancel.sqlstate", Group: GroupCancel, Title: "A cancelled statement's error is 57014, query_canceled.",
			Source:   "errcodes.txt, 57014 query_canceled; src/backend/tcop/postgres.c ProcessInterrupts",
			Expected: "severity ERROR, SQLSTATE 57014",
			Means:    "Drivers and retry loops tell a cancel from a failure by this code.", Run: cancelState,
		}, {
			ID: "cancel.answer", Group: GroupCancel, Title: "Nothing is sent back on the connection of a CancelRequest, and it is closed in order.",
			Source:   cancelSection + "; src/interfaces/libpq/fe-cancel.c PQcancelPoll",
			Expected: "no byte, then FIN (or close_notify)",
			Means:    "libpq from 17 on takes a byte or a reset for a failed cancel; PQcancel and pgjdbc wait for the end, PQcancel for ever.", Run: cancelAnswer,
		}, {
			ID: "cancel.next-query", Group: GroupCancel, Title: "After a cancel the session's next queries run.",
			Source: cancelSection, Expected: "SELECT 1 answers 1, five times",
			Means: "A pool that puts the connection back after a cancel hands its next user a broken one.", Run: cancelNext,
		}, {
			ID: "cancel.transaction", Group: GroupCancel, Title: "A cancel inside a transaction block leaves the block failed, and ROLLBACK ends it.",
			Source:   "protocol.sgml, ReadyForQuery; src/backend/access/transam/xact.c",
			Expected: "ReadyForQuery 'E', then 25P02 for any statement, then 'I' after ROLLBACK",
			Means:    "Half a transaction may be committed.", Run: cancelTransaction,
		},
		clearCase(), tlsCase(), clearForTLSCase(), tlsForClearCase(),
		formCase("wrong-secret", "A CancelRequest with a wrong secret does nothing.", Fail, wrongSecret),
		formCase("no-key", "A CancelRequest without a key, 12 bytes long, does nothing.", Fail, func(s *Session) []byte { return CancelPacket(s.PID, nil) }),
		formCase("short-key", "A CancelRequest with half of the key does nothing.", Fail, func(s *Session) []byte { return CancelPacket(s.PID, s.Key[:len(s.Key)/2]) }),
		// Whoever sends these two knows the key: where they end the statement nobody is worse off.
		formCase("long-key", "A CancelRequest with the key and one more byte does nothing.", Differs, func(s *Session) []byte { return CancelPacket(s.PID, padded(s.Key, len(s.Key)+1)) }),
		formCase("257-bytes", "A CancelRequest with a key of 257 bytes, one more than is allowed, does nothing.", Differs, func(s *Session) []byte { return CancelPacket(s.PID, padded(s.Key, 257)) }),
		{
			ID: "cancel.crowd", Group: GroupCancel, Title: "With all of our connections busy each cancel ends its own statement and no other.",
			Source: cancelSection, Expected: "each session's own request ends its statement; no other ends",
			Means: "Under load, when cancels matter most, they are lost or end somebody else's statement.", Run: cancelCrowd,
		}, {
			ID: "cancel.copy-in", Group: GroupCancel, Title: "A COPY FROM STDIN that waits for data can be cancelled.",
			Source:   "src/backend/commands/copyfromparse.c: interrupts are held while COPY waits for data, the next CopyData ends it",
			Expected: "ERROR 57014 at once or with the next CopyData, then ReadyForQuery",
			Means:    "A load that was cancelled is committed all the same, or the session is stuck.", Run: cancelCopyIn,
		},
	}
}

// cancelRun is one statement, one request, with both connections as the connection string says.
func cancelRun(w work, way Way) func(context.Context, *Bench) Result {
	return func(ctx context.Context, b *Bench) Result {
		s, err := b.loginWithKey(ctx)
		if err != nil {
			return excused(err)
		}
		return b.tryAndJudge(ctx, s, w, way)
	}
}

func (b *Bench) tryAndJudge(ctx context.Context, s *Session, w work, way Way) Result {
	t, err := b.try(ctx, s, w, way)
	if err != nil {
		return excused(err)
	}
	return t.judge()
}

func cancelPipeline(ctx context.Context, b *Bench) Result {
	s, err := b.loginWithKey(ctx)
	if err != nil {
		return excused(err)
	}
	t, err := b.try(ctx, s, pipeline, AsSession)
	if err != nil {
		return excused(err)
	}
	r := t.judge()
	switch {
	case r.Verdict != Pass:
		return r
	case len(t.answer.Tags) > 1:
		return Conclude(Fail, "the statement behind the cancelled one runs all the same")
	case len(t.answer.Tags) == 0:
		return Conclude(Fail, "the result of the statement before the cancelled one is missing")
	case len(t.answer.Errors) > 1:
		return Conclude(Fail, "%d errors for one cancel", len(t.answer.Errors))
	}
	if err := s.linger(b.settle()); err != nil || len(s.in) > 0 {
		return Conclude(Fail, "more comes behind ReadyForQuery: the answers are out of step")
	}
	return Conclude(Pass, "the first result, %s %s for the second statement, nothing of the third, one ReadyForQuery", t.answer.Err().Severity, t.answer.Err().Code)
}

// clearCase: everything in clear.
func clearCase() Case {
	return Case{
		ID: "cancel.clear", Group: GroupCancel, Title: "A session in clear can be cancelled in clear.",
		Source: cancelSection, Expected: "the statement ends with ERROR 57014", Means: lostCancel,
		Run: mixed(func(ctx context.Context, b *Bench) (*Conn, error) { return b.DialPlain(ctx) }, InClear),
	}
}

// overTLS opens a session's connection over TLS.
func overTLS(ctx context.Context, b *Bench) (*Conn, error) { return b.DialTLS(ctx, false) }

func tlsCase() Case {
	return Case{
		ID: "cancel.tls", Group: GroupCancel, Title: "A session over TLS can be cancelled over TLS.",
		Source:   cancelSection + "; libpq.sgml, PQcancelStart: encrypted as the session",
		Expected: "the statement ends with ERROR 57014",
		Means:    "Clients that encrypt their cancels (libpq from 17, pgx, npgsql, asyncpg) can't cancel.", Run: mixed(overTLS, OverTLS),
	}
}

func clearForTLSCase() Case {
	return Case{
		ID: "cancel.clear-for-tls", Group: GroupCancel, Title: "A session over TLS can be cancelled in clear.",
		Source:   cancelSection + "; src/backend/tcop/backend_startup.c looks at a CancelRequest before pg_hba.conf",
		Expected: "the statement ends with ERROR 57014",
		Means:    "psql, psycopg2, pgjdbc and node-postgres cancel in clear whatever their session uses: with these nothing can be cancelled.", Run: mixed(overTLS, InClear),
	}
}

func tlsForClearCase() Case {
	return Case{
		ID: "cancel.tls-for-clear", Group: GroupCancel, Title: "A session in clear can be cancelled over TLS.",
		Source:   "src/backend/tcop/backend_startup.c: a CancelRequest is taken in clear and behind SSLRequest",
		Expected: "the statement ends with ERROR 57014", Means: lostCancel,
		Run: mixed(func(ctx context.Context, b *Bench) (*Conn, error) { return b.DialPlain(ctx) }, OverTLS),
	}
}

// mixed opens the session one way and sends the request another.
func mixed(dial func(context.Context, *Bench) (*Conn, error), way Way) func(context.Context, *Bench) Result {
	return func(ctx context.Context, b *Bench) Result {
		c, err := dial(ctx, b)
		if err != nil {
			return excused(tlsExcuse(err))
		}
		s, err := b.LoginOn(c, LoginOptions{})
		var refusal *ServerError
		switch {
		case errors.As(err, &refusal):
			return Conclude(NotApplicable, "the server lets no such session in: %s", refusal.Error())
		case err != nil:
			return excused(err)
		case !s.HasKey():
			return excused(noKey)
		}
		if way == OverTLS && c.State == nil { // before anything runs: is there TLS at all?
			look, err := b.DialTLS(ctx, false)
			if err != nil {
				return excused(tlsExcuse(err))
			}
			_ = look.Close()
		}
		t, err := b.try(ctx, s, simpleQuery, way)
		if errors.Is(err, errNoTLS) {
			b.quit(ctx, s)
			return Conclude(Fail, "SSLRequest is granted for a session and declined for a CancelRequest")
		}
		if err != nil {
			return excused(err)
		}
		return t.judge()
	}
}

// tlsExcuse is a server without TLS.
func tlsExcuse(err error) error {
	if errors.Is(err, errNoTLS) {
		return &excuse{NotApplicable, "the server speaks no TLS here"}
	}
	if err != nil {
		return fmt.Errorf("no connection: %w", err)
	}
	return nil
}
