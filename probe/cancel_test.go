package probe

import (
	"strings"
	"testing"
	"time"

	"cancello/probe/fake"
)

func cancelFaults() []fault {
	cancel := func(k fake.CancelKnobs) fake.Knobs { return fake.Knobs{Cancel: k} }
	secure := func(k fake.CancelKnobs) fake.Knobs {
		return fake.Knobs{Cancel: k, Encryption: fake.EncryptionKnobs{TLS: true}}
	}
	keyless := fake.Knobs{Key: fake.KeyKnobs{None: true}}
	return []fault{
		{"cancel.query", cancel(fake.CancelKnobs{Deaf: "query"}), Fail, "runs on"},
		{"cancel.query", cancel(fake.CancelKnobs{Fatal: true}), Fail, "the whole session ends, with FATAL 57014"},
		{"cancel.query", cancel(fake.CancelKnobs{Finish: true}), Fail, "without an error"},
		{"cancel.query", keyless, NotApplicable, "no BackendKeyData"},
		{"cancel.extended", cancel(fake.CancelKnobs{Deaf: "extended"}), Fail, "runs on"},
		{"cancel.extended", keyless, NotApplicable, "no BackendKeyData"},
		{"cancel.pipeline", cancel(fake.CancelKnobs{Deaf: "extended"}), Fail, "runs on"},
		{"cancel.pipeline", cancel(fake.CancelKnobs{RunBehind: true}), Fail, "behind the cancelled one runs all the same"},
		{"cancel.copy-out", cancel(fake.CancelKnobs{Deaf: "copy-out"}), Fail, "runs on"},
		{"cancel.copy-in", cancel(fake.CancelKnobs{Deaf: "copy-in"}), Fail, "as if nothing had been cancelled"},
		{"cancel.copy-in", cancel(fake.CancelKnobs{StuckCopy: true}), Differs, "only at CopyDone"},
		{"cancel.copy-in", cancel(fake.CancelKnobs{KeepBlock: true}), Fail, "not 'E'"},
		{"cancel.sqlstate", cancel(fake.CancelKnobs{Code: "XX000"}), Fail, "SQLSTATE XX000"},
		{"cancel.sqlstate", cancel(fake.CancelKnobs{Ignore: true}), Unknown, "nothing was cancelled"},
		{"cancel.answer", cancel(fake.CancelKnobs{Answer: true}), Fail, "answered with CommandComplete"},
		{"cancel.answer", cancel(fake.CancelKnobs{Reset: true}), Fail, "reset"},
		{"cancel.answer", cancel(fake.CancelKnobs{KeepOpen: true}), Fail, "still open"},
		{"cancel.answer", cancel(fake.CancelKnobs{Ignore: true}), Unknown, "no effect"},
		{"cancel.next-query", cancel(fake.CancelKnobs{BreakNext: true}), Fail, "query 1 after the cancel is not answered: nothing comes"},
		{"cancel.next-query", cancel(fake.CancelKnobs{Confused: true}), Fail, "query 1 after the cancel answers \"\""},
		{"cancel.transaction", cancel(fake.CancelKnobs{KeepBlock: true}), Fail, "ReadyForQuery says 'T'"},
		{"cancel.transaction", cancel(fake.CancelKnobs{UnasBlock: true}), Fail, "not refused with 25P02"},
		{"cancel.clear", cancel(fake.CancelKnobs{FromText: true}), Fail, "runs on"},
		{"cancel.tls", secure(fake.CancelKnobs{FromTLS: true}), Fail, "runs on"},
		{"cancel.tls", fake.Knobs{}, NotApplicable, "no TLS"},
		{"cancel.clear-for-tls", secure(fake.CancelKnobs{ForTLS: true}), Fail, "runs on"},
		{"cancel.clear-for-tls", fake.Knobs{}, NotApplicable, "no TLS"},
		{"cancel.tls-for-clear", secure(fake.CancelKnobs{ForText: true}), Fail, "runs on"},
		{"cancel.tls-for-clear", fake.Knobs{}, NotApplicable, "no TLS"},
		{"cancel.wrong-secret", cancel(fake.CancelKnobs{AnySecret: true}), Fail, "it ends the statement"},
		{"cancel.wrong-secret", cancel(fake.CancelKnobs{AnySecret: true, Fatal: true}), Fail, "it ends the"},
		{"cancel.wrong-secret", cancel(fake.CancelKnobs{Answer: true}), Differs, "answered with CommandComplete"},
		{"cancel.wrong-secret", cancel(fake.CancelKnobs{KeepOpen: true}), Fail, "still open"},
		{"cancel.wrong-secret", cancel(fake.CancelKnobs{Reset: true}), Differs, "reset"},
		{"cancel.no-key", cancel(fake.CancelKnobs{NoKey: true}), Fail, "it ends the statement"},
		{"cancel.short-key", cancel(fake.CancelKnobs{Prefix: true}), Fail, "it ends the statement"},
		{"cancel.long-key", cancel(fake.CancelKnobs{Suffix: true}), Differs, "it ends the statement"},
		{"cancel.257-bytes", cancel(fake.CancelKnobs{Suffix: true}), Differs, "it ends the statement"},
		{"cancel.crowd", fake.Knobs{Startup: fake.StartupKnobs{Most: 1}}, Unknown, "falls silent"},
		{"cancel.crowd", fake.Knobs{Startup: fake.StartupKnobs{Most: 3}}, Pass, "3 busy sessions"},
		{"races.zeros", fake.Knobs{Startup: fake.StartupKnobs{Most: 2}}, Unknown, "falls silent"},
		{"races.departed", fake.Knobs{Startup: fake.StartupKnobs{Most: 2}}, Unknown, "falls silent"},
		{"pooler.sharing", fake.Knobs{Startup: fake.StartupKnobs{Most: 3}}, Unknown, "falls silent"},
		{"cancel.crowd", cancel(fake.CancelKnobs{Busy: 3}), Fail, "does nothing"},
		{"cancel.crowd", cancel(fake.CancelKnobs{Stranger: true}), Fail, "session 1"},
	}
}

// TestCancelFaults: each case finds what it is there for, and says so in its own words.
func TestCancelFaults(t *testing.T) { checkFaults(t, cancelFaults()) }

func raceFaults() []fault {
	cancel := func(k fake.CancelKnobs) fake.Knobs { return fake.Knobs{Cancel: k} }
	old := func(k fake.CancelKnobs) fake.Knobs {
		return fake.Knobs{Cancel: k, Startup: fake.StartupKnobs{Version: "17.6"}}
	}
	return []fault{
		{"races.zeros", cancel(fake.CancelKnobs{Zeros: true}), Fail, "ended the statement of session"},
		{"races.wrong-pid", cancel(fake.CancelKnobs{AnyPID: true}), Fail, "ended the statement of session"},
		{"races.idle", cancel(fake.CancelKnobs{Sticky: true}), Fail, "the next statement ended: 15 of 15"},
		{"races.twice", cancel(fake.CancelKnobs{Second: true}), Fail, "the next statement ended: 3 of 3"},
		{"races.late", cancel(fake.CancelKnobs{Sticky: true}), Fail, "the next statement ended: "},
		{"races.next-query", cancel(fake.CancelKnobs{Lag: 3 * time.Millisecond}), Fail, "the next statement ended: "},
		{"races.next-at-once", cancel(fake.CancelKnobs{Lag: 3 * time.Millisecond}), Differs, "the next statement ended: "},
		{"races.other-session", cancel(fake.CancelKnobs{Stranger: true}), Fail, "statements of other sessions ended per request: "},
		{"races.departed", cancel(fake.CancelKnobs{KeysLive: true}), Fail, "statements of later sessions ended: 6 of 6"},
		{"races.pipelined", cancel(fake.CancelKnobs{Twice: true}), Fail, "the second query ended too: "},
		{"races.pipelined", old(fake.CancelKnobs{Twice: true}), Differs, "the second query ended too: "},
		{"races.latency", cancel(fake.CancelKnobs{DropNth: 4}), Fail, "has no effect"},
		{"races.zeros", cancel(fake.CancelKnobs{Ignore: true}), NotApplicable, "no effect here"},
		{"races.idle", cancel(fake.CancelKnobs{KeepOpen: true}), NotApplicable, "doesn't end"},
		{"races.departed", fake.Knobs{Key: fake.KeyKnobs{None: true}}, NotApplicable, "no BackendKeyData"},
	}
}

// TestRaceFaults: each race finds what it is there for.
func TestRaceFaults(t *testing.T) { checkFaults(t, raceFaults()) }

func poolerFaults() []fault {
	pooler := func(k fake.PoolerKnobs) fake.Knobs { return fake.Knobs{Pooler: k} }
	faults := []fault{
		{"pooler.sharing", pooler(fake.PoolerKnobs{Size: 2}), Differs, "while both are connected"},
		{"pooler.sharing", pooler(fake.PoolerKnobs{Size: 2, Session: true}), Differs, "when the first has left"},
		{"pooler.sharing", pooler(fake.PoolerKnobs{NoPID: true}), Unknown, "which process"},
		{"pooler.waiting-cancel", pooler(fake.PoolerKnobs{}), NotApplicable, "had to wait"},
		{"pooler.waiting-cancel", fake.Knobs{Pooler: fake.PoolerKnobs{Size: 2}, Cancel: fake.CancelKnobs{Deaf: "waiting"}}, Fail, "the client waits on"},
		{"pooler.waiting-cancel", pooler(fake.PoolerKnobs{Size: 2, WaitCode: "53300"}), Fail, "53300"},
		{"pooler.waiting-cancel", pooler(fake.PoolerKnobs{Size: 2, DeadWaiter: true}), Fail, "doesn't work"},
	}
	for _, name := range []string{"set", "temp-table", "prepared", "advisory-lock", "listen"} {
		id := "pooler.leak-" + name
		faults = append(faults,
			fault{id, pooler(fake.PoolerKnobs{}), NotApplicable, "no other session of ours"},
			fault{id, pooler(fake.PoolerKnobs{Size: 2, LeakDuring: true}), Fail, "while its owner is connected"},
			fault{id, pooler(fake.PoolerKnobs{Size: 2, LeakAfter: true}), Fail, "the next client finds it after its owner has left"},
			fault{id, pooler(fake.PoolerKnobs{Size: 2, LeakDuring: true, LeakAfter: true, Stuck: true}), Fail, "still after it has left; it could not be undone"},
			fault{id, pooler(fake.PoolerKnobs{NoPID: true}), NotApplicable, "the server can't do"},
		)
	}
	return faults
}

// TestPoolerFaults: each case finds what it is there for.
func TestPoolerFaults(t *testing.T) { checkFaults(t, poolerFaults()) }

// TestCancelPasses: on a server without a fault every case passes, each on the server where it can.
func TestCancelPasses(t *testing.T) {
	secure := fake.Knobs{Encryption: fake.EncryptionKnobs{TLS: true}}
	pooled := fake.Knobs{Pooler: fake.PoolerKnobs{Size: 2}}
	calm := fake.Knobs{Cancel: fake.CancelKnobs{Calm: 50 * time.Millisecond}}
	for _, c := range Cases() {
		k := secure
		switch {
		case c.ID == "races.next-at-once":
			k = calm
		case c.Group == GroupPooler && c.ID != "pooler.sharing":
			k = pooled
		case c.Group != GroupCancel && c.Group != GroupRaces && c.Group != GroupPooler:
			continue
		}
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			if got := ask(t, c.ID, k, patient); got.Verdict != Pass {
				t.Errorf("%s: %s\n%s", got.Verdict, got.Seen, lines(got.Evidence))
			}
		})
	}
}

// TestEachCancelCaseFails: no case of these groups is without a fault that it finds.
func TestEachCancelCaseFails(t *testing.T) {
	found := map[string]bool{}
	for _, f := range append(append(cancelFaults(), raceFaults()...), poolerFaults()...) {
		if f.verdict == Fail || f.verdict == Differs {
			found[f.id] = true
		}
	}
	for _, c := range Cases() {
		if !firstGroups(c) && !found[c.ID] {
			t.Errorf("%s: no test where it fails", c.ID)
		}
	}
}

// TestEarlyError: PostgreSQL up to 16 refuses what came in clear behind SSLRequest when TLS stands.
func TestEarlyError(t *testing.T) {
	got := ask(t, "encryption.smuggled", fake.Knobs{Encryption: fake.EncryptionKnobs{TLS: true, TellEarly: true}}, patient)
	if got.Verdict != Pass || !strings.Contains(got.Seen, "an error over TLS") {
		t.Errorf("%s: %s\n%s", got.Verdict, got.Seen, lines(got.Evidence))
	}
}
