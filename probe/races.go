package probe

import "context"

// raceCases are the cases of the group Races. Each repeats what needs luck to go wrong, and says what not seeing it
// proves.
func raceCases() []Case {
	stray := "A statement that nobody asked to cancel is lost, now and then: the hardest kind of failure to find."
	all := []Case{
		{
			ID: "races.zeros", Title: "A CancelRequest with pid 0 and a key of zeros ends nothing.",
			Source:   "libpq up to 17, asyncpg, node-pg, pgjdbc up to 42.7.5 send it to servers without BackendKeyData; procsignal.c: pid 0 is no process",
			Expected: "no statement ends",
			Means:    "One client without a key ends everybody's statements.", Run: raceZeros,
		}, {
			ID: "races.wrong-pid", Title: "A right secret with a wrong pid ends nothing.",
			Source: "src/backend/storage/ipc/procsignal.c SendCancelRequest: pid and key must both match", Expected: "no statement ends", Means: stray, Run: raceWrongPID,
		}, {
			ID: "races.idle", Title: "A cancel of an idle session doesn't end its next statement.",
			Source:   "src/backend/tcop/postgres.c ProcessInterrupts: swallowed while the next command is read",
			Expected: "the statement sent after the end of the request's connection runs",
			Means:    "postgrex sends a cancel at every disconnect, timers fire late: the next statement is lost.", Run: raceIdle,
		}, {
			ID: "races.twice", Title: "Two requests for one statement don't end the next one.",
			Source: "protocol.sgml, Canceling Requests in Progress", Expected: "the statement sent after both connections' end runs",
			Means: "An impatient Ctrl-C, twice, loses the next statement too.", Run: raceTwice,
		}, {
			ID: "races.late", Title: "A cancel that comes right after its statement's end doesn't end the next one.",
			Source: "src/backend/tcop/postgres.c ProcessInterrupts", Expected: "the statement sent after the end of the request's connection runs", Means: stray, Run: raceLate,
		}, {
			ID: "races.next-query", Title: "A cancel around its statement's end doesn't end the next one, sent after the request's end.",
			Source:   "protocol.sgml, Canceling Requests in Progress; src/interfaces/libpq/fe-cancel.c waits for the end",
			Expected: "the statement sent after ReadyForQuery and after the end of the request's connection runs", Means: stray, Run: raceNext,
		}, {
			ID: "races.next-at-once", Title: "A cancel sent before its statement's end doesn't end the next one, sent at ReadyForQuery.",
			Source:   "protocol.sgml, Canceling Requests in Progress: a request names a session and not a statement, so in PostgreSQL itself it happens, most often up to 17, which signals twice",
			Expected: "the next statement runs. PostgreSQL itself promises it only after the end of the request's connection",
			Means:    "Clients that don't wait for the end of their cancel (tokio-postgres, epgsql, node-postgres) lose the next statement now and then.", Run: raceNextAtOnce,
		}, {
			ID: "races.other-session", Title: "Cancels never end another session's statement.",
			Source: "protocol.sgml, Canceling Requests in Progress: the backend whose key it is", Expected: "sessions that nobody cancels see no error", Means: stray, Run: raceOthers,
		}, {
			ID: "races.departed", Title: "The key of a client that has left ends nothing.",
			Source: "a key is a backend's, and dies with it", Expected: "sessions that came after it see no error",
			Means: "A late cancel of one client ends the statement of the next one on the same server connection.", Run: raceDeparted,
		}, {
			ID: "races.pipelined", Title: "One request ends one of two pipelined queries.",
			Source:   "PostgreSQL up to 17: two signals for one request (signal_child signals the process and its group); from 18 on one (src/backend/storage/ipc/procsignal.c)",
			Expected: "the first query ends with 57014, the second one runs",
			Means:    "What was queued behind the cancelled query may be lost with it. On PostgreSQL up to 17 that is its own habit.", Run: racePipelined,
		}, {
			ID: "races.latency", Title: "Cancels take effect, each time, and how soon.",
			Source: "protocol.sgml, Canceling Requests in Progress", Expected: "every request ends its statement",
			Means: lostCancel, Run: raceLatency,
		},
	}
	for i := range all {
		all[i].Group, all[i].Races = GroupRaces, true
		all[i].Run = ifCancelWorks(all[i].Run)
	}
	return all
}

// ifCancelWorks runs a race only where a plain cancel has an effect: elsewhere nothing can be hit, and that nothing was
// proves nothing.
func ifCancelWorks(run func(context.Context, *Bench) Result) func(context.Context, *Bench) Result {
	return func(ctx context.Context, b *Bench) Result {
		s, err := b.loginWithKey(ctx)
		if err != nil {
			return excused(err)
		}
		t, err := b.try(ctx, s, simpleQuery, AsSession)
		if err != nil {
			return excused(err)
		}
		_ = s.Close()
		if !t.ended() {
			return Conclude(NotApplicable, "a plain cancel has no effect here, so none can go astray: %s", t.judge().Seen)
		}
		if t.request.How == Open {
			return Conclude(NotApplicable, "the connection of a CancelRequest doesn't end, so there is no moment after which the next statement is safe")
		}
		return run(ctx, b)
	}
}
