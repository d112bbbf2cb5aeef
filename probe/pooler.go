package probe

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// poolerCases are the cases of the group Pooler.
func poolerCases() []Case {
	all := []Case{
		{
			ID: "pooler.sharing", Group: GroupPooler, Title: "Each session has a server process of its own, while it lasts and after.",
			Source:   "pg_backend_pid() of several sessions; PostgreSQL starts a process for each",
			Expected: "as many processes as sessions, and new ones for new sessions. A pooler shares them: that is what it is for",
			Means:    "There is a pooler in between: what belongs to a session (settings, temporary tables, locks) may not last, or meet another client.", Run: poolerSharing,
		}, {
			ID: "pooler.waiting-cancel", Group: GroupPooler, Title: "A client that waits for a server can be cancelled.",
			Source:   "protocol.sgml, Canceling Requests in Progress, seen by a client: its query was sent and is not answered",
			Expected: "ERROR 57014 and ReadyForQuery at once; the query never runs",
			Means:    "When all servers are busy, when people do press Ctrl-C, nothing happens.", Run: poolerWaiting,
		},
	}
	for _, s := range states() {
		all = append(all, s.asCase())
	}
	return all
}

// processSQL asks which server process answers.
const processSQL = "SELECT pg_backend_pid()"

// process asks a session for its server process.
func process(s *Session) (string, error) {
	a, err := s.Query(processSQL)
	switch {
	case err != nil:
		return "", err
	case a.Err() != nil:
		return "", &excuse{Unknown, "the server doesn't say which process answers: " + a.Err().Error()}
	}
	return a.Value(), nil
}

func poolerSharing(ctx context.Context, b *Bench) Result {
	seen := map[string]int{} // process -> the first session it answered, from 1
	shared, moved := false, false
	var open []*Session
	for i := range b.Connections {
		s, err := b.Login(ctx, LoginOptions{})
		if err != nil {
			if i < 2 {
				return excused(err)
			}
			break
		}
		open = append(open, s)
	}
	for i, s := range open {
		if err := s.Ask("SELECT 1"); err != nil {
			return excused(err)
		}
		if err := s.linger(b.Quiet, 'Z'); err != nil {
			return excused(err)
		}
		if i > 0 && !s.holds('Z') { // a pooler's client that waits for a server, as those behind it will
			for _, w := range open[i:] {
				_ = w.Vanish()
			}
			open = open[:i]
			break
		}
		if _, err := s.Await(); err != nil {
			return excused(err)
		}
		before := ""
		for range 3 {
			p, err := process(s)
			if err != nil {
				return excused(err)
			}
			moved = moved || before != "" && p != before
			shared = shared || seen[p] != 0 && seen[p] != i+1
			if seen[p] == 0 {
				seen[p] = i + 1
			}
			before = p
		}
	}
	if shared || moved {
		return Conclude(Differs, "a pooler that gives a server process to another client while both are connected (transaction or statement mode): %s, %s",
			plural(len(open), "session"), plural(len(seen), "process", "processes"))
	}
	for _, s := range open {
		_ = s.Close()
	}
	pause(ctx, b.settle())
	for range 3 {
		s, err := b.Login(ctx, LoginOptions{})
		if err != nil {
			return excused(err)
		}
		p, err := process(s)
		if err != nil {
			return excused(err)
		}
		if seen[p] != 0 {
			return Conclude(Differs, "a pooler that gives a server process to another client when the first has left (session mode)")
		}
		seen[p] = -1
		_ = s.Close()
	}
	return Conclude(Pass, "%s, each with a process of its own, and later ones with new ones", plural(len(open), "session"))
}

// poolerWaiting holds servers until a client waits for one, and cancels that client.
func poolerWaiting(ctx context.Context, b *Bench) Result {
	var holders []*Session
	var waiting *Session
	for range b.Connections {
		s, err := b.loginWithKey(ctx)
		if err != nil {
			if len(holders) == 0 {
				return excused(err)
			}
			return Conclude(NotApplicable, "the server lets no more than %s of ours in, so none waits with a key: %s", plural(len(holders), "session"), failure(err))
		}
		for _, sql := range []string{"SELECT 1", "BEGIN"} {
			if err := s.Ask(sql); err != nil {
				return excused(err)
			}
			if err := s.linger(b.Quiet, 'Z'); err != nil {
				return excused(err)
			}
			if !s.holds('Z') {
				waiting = s
				break
			}
			if a, err := s.Await(); err != nil {
				return excused(err)
			} else if a.Err() != nil {
				return Conclude(NotApplicable, "the server can't do %s: %s", quoted(sql), a.Err().Error())
			}
		}
		if waiting != nil {
			break
		}
		holders = append(holders, s)
	}
	if waiting == nil {
		return Conclude(NotApplicable, "none of %s at once, each in a transaction, had to wait", plural(len(holders), "session"))
	}
	t, err := b.end(ctx, waiting, AsSession)
	if err != nil {
		return excused(err)
	}
	if r := t.judge(); r.Verdict != Pass {
		return Conclude(Fail, "the client waits on: %s", r.Seen)
	}
	if t.answer.Err().Code != queryCanceled {
		return Conclude(Fail, "the wait ends with %s", t.answer.Err().Error())
	}
	if a, err := holders[0].Query("COMMIT"); err != nil || a.Err() != nil {
		return Conclude(Fail, "a session that held a server is hit")
	}
	_ = holders[0].Close()
	a, err := waiting.Query("SELECT 1")
	if err != nil || a.Value() != "1" {
		return Conclude(Fail, "the wait ends with 57014, and afterwards the session doesn't work")
	}
	return Conclude(Pass, "with %s of ours in transactions the next waited; it was answered ERROR 57014 after %s, and works", plural(len(holders), "session"), t.answer.Took.Round(10*time.Millisecond))
}

// state is something that a session leaves on its server process.
type state struct {
	name, title, means string
	set, see, undo     string // see: whether it is there
}

// states are what leaks. Names and numbers are of this run: two checks at once don't meet.
func states() []state {
	own := rand.Int32N(1 << 30)
	lock := fmt.Sprintf("1128484675, %d", own) // "CHEK"
	channel := fmt.Sprintf("cancello_check_%d", own)
	return []state{
		{
			name: "set", title: "A setting made by SET",
			set: "SET statement_timeout = '86399s'", see: "current_setting('statement_timeout') = '86399s'", undo: "RESET statement_timeout",
			means: "One client's time limit, role, search_path or time zone applies to another's statements.",
		}, {
			name: "temp-table", title: "A temporary table",
			set: "CREATE TEMP TABLE " + channel + " (n int)", see: "to_regclass('pg_temp." + channel + "') IS NOT NULL", undo: "DROP TABLE IF EXISTS pg_temp." + channel,
			means: "One client's rows are read by another, or its CREATE TEMP TABLE fails with 42P07.",
		}, {
			name: "prepared", title: "A statement made by PREPARE",
			set: "PREPARE " + channel + " AS SELECT 1", see: "EXISTS (SELECT FROM pg_prepared_statements WHERE name = '" + channel + "')", undo: "DEALLOCATE " + channel,
			means: "Another client's statement runs under a name one thought one's own, or PREPARE fails with 42P05.",
		}, {
			name: "advisory-lock", title: "An advisory lock",
			set: "SELECT pg_advisory_lock(" + lock + ")", undo: "SELECT pg_advisory_unlock(" + lock + ")",
			see:   fmt.Sprintf("EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objid = %d)", own),
			means: "Two clients hold a lock that only one can have, or nobody can take it any more.",
		}, {
			name: "listen", title: "A LISTEN",
			set: "LISTEN " + channel, see: "EXISTS (SELECT FROM pg_listening_channels() AS c WHERE c = '" + channel + "')", undo: "UNLISTEN " + channel,
			means: "Notifications go to a client that didn't ask for them, and not to the one that did.",
		},
	}
}
