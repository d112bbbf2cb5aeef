package probe

import (
	"context"
	"fmt"
	"strconv"
)

// keyCases are the cases of the group Key.
func keyCases() []Case {
	return []Case{
		{
			ID: "key.length-30", Group: GroupKey,
			Title:    "At protocol 3.0 the key has 4 bytes.",
			Source:   "PostgreSQL documentation, protocol-message-formats-BackendKeyData; libpq fe-protocol3.c, getBackendKeyData",
			Expected: "a key of 4 bytes",
			Means:    "libpq refuses to connect to a server whose 3.0 key has another length; drivers that take the first four bytes send a wrong key and cancel nothing.",
			Run:      keyLength30,
		},
		{
			ID: "key.length-32", Group: GroupKey,
			Title:    "At protocol 3.2 the key has 4 to 256 bytes, and is long enough not to be guessed.",
			Source:   "PostgreSQL documentation, protocol-message-formats-BackendKeyData; PostgreSQL 18 sends 32",
			Expected: "a key of 16 to 255 bytes; 4 to 256 are allowed",
			Means:    "libpq 18 refuses lengths outside 4 to 256. A short key brings nothing over 3.0; one of 256 leaves no room for a proxy to wrap it.",
			Run:      keyLength32,
		},
		{
			ID: "key.pid", Group: GroupKey,
			Title:    "The process id in BackendKeyData is positive.",
			Source:   "PostgreSQL documentation, protocol-message-formats-BackendKeyData (Int32); commit 613f647122 refuses pid 0",
			Expected: "1 to 2147483647",
			Means:    "At 0 npgsql turns cancel off, and PostgreSQL 18 refuses the request. Negative numbers broke pg_basebackup and what prints them as unsigned.",
			Run:      keyPID,
		},
		{
			ID: "key.zeros", Group: GroupKey,
			Title:    "The key is not made of zeros.",
			Source:   "PostgreSQL documentation, protocol-flow-canceling-requests; postgres.c, InitProcessPhase2 and pg_strong_random",
			Expected: "random bytes",
			Means:    "Whoever knows or guesses the process id can cancel the session's queries.",
			Run:      keyZeros,
		},
		{
			ID: "key.distinct", Group: GroupKey,
			Title:    "Sessions that are open at the same time have different process ids and different keys.",
			Source:   "PostgreSQL documentation, protocol-flow-canceling-requests",
			Expected: "no two alike",
			Means:    "A cancel cannot say whom it means: it ends somebody else's query, or nothing.",
			Run:      keyDistinct,
		},
		{
			ID: "key.guessable", Group: GroupKey,
			Title:    "64 keys, one after another, show no pattern to guess the next one by.",
			Source:   "PostgreSQL documentation, protocol-flow-canceling-requests; postgres.c uses pg_strong_random",
			Expected: "all bits vary, no value repeats, neighbours are neither close nor a fixed distance apart, and the process id is not in the key",
			Means:    "Whoever can reach the port can cancel other people's queries. 64 keys can show that a generator is bad; that it is good they cannot show.",
			Run:      keyGuessable,
		},
		{
			ID: "key.backend", Group: GroupKey,
			Title:    "The process id in BackendKeyData is that of the backend.",
			Source:   "PostgreSQL documentation, functions-info, pg_backend_pid()",
			Expected: "the number that pg_backend_pid() returns",
			Means:    "The number is virtual, as a pooler must make it. pg_terminate_backend() and pg_stat_activity do not know it; where it looks like a real one they may even mean somebody else's.",
			Run:      keyBackend,
		},
	}
}

// withKey logs in and gives the session, or the verdict where there is no key to look at.
func withKey(ctx context.Context, b *Bench, o LoginOptions) (*Session, *Result) {
	s, err := b.Login(ctx, o)
	if err != nil {
		r := unable(err)
		return s, &r
	}
	if s.Keys == 0 {
		r := Conclude(NotApplicable, "no BackendKeyData")
		return s, &r
	}
	return s, nil
}

func keyLength30(ctx context.Context, b *Bench) Result {
	s, r := withKey(ctx, b, LoginOptions{})
	switch {
	case r != nil:
		return *r
	case len(s.Key) != 4:
		return Conclude(Fail, "%d bytes", len(s.Key))
	}
	return Conclude(Pass, "4 bytes")
}

func keyLength32(ctx context.Context, b *Bench) Result {
	s, r := withKey(ctx, b, LoginOptions{Version: V32})
	if r != nil {
		return *r
	}
	if agreed := s.Agreed(); agreed < V32 {
		return Conclude(NotApplicable, "the server speaks %s", VersionName(agreed))
	}
	switch n := len(s.Key); {
	case n < 4 || n > 256:
		return Conclude(Fail, "%d bytes", n)
	case n < 16 || n == 256:
		return Conclude(Differs, "%d bytes", n)
	default:
		return Conclude(Pass, "%d bytes", n)
	}
}

func keyPID(ctx context.Context, b *Bench) Result {
	s, r := withKey(ctx, b, LoginOptions{})
	switch {
	case r != nil:
		return *r
	case s.PID == 0:
		return Conclude(Fail, "the process id is 0")
	case int32(s.PID) < 0:
		return Conclude(Differs, "the process id is negative")
	}
	return Conclude(Pass, "the process id is positive")
}

func keyZeros(ctx context.Context, b *Bench) Result {
	for range 3 { // one key of zeros is luck only once in four billion
		s, r := withKey(ctx, b, LoginOptions{})
		switch {
		case r != nil:
			return *r
		case allZero(s.Key):
			return Conclude(Fail, "the key is %d zero bytes", len(s.Key))
		}
	}
	return Conclude(Pass, "three keys, none of zeros")
}

func keyDistinct(ctx context.Context, b *Bench) Result {
	pids, keys := map[uint32]bool{}, map[string]bool{}
	n := 0
	for range max(2, b.Connections) {
		s, r := withKey(ctx, b, LoginOptions{})
		if r != nil {
			if n >= 2 {
				break // the server takes no more at once
			}
			return *r
		}
		n++
		pids[s.PID], keys[string(s.Key)] = true, true
	}
	switch {
	case len(pids) == 1 && len(keys) == 1:
		return Conclude(Fail, "%d sessions have the same process id and the same key", n)
	case len(pids) < n && len(keys) < n:
		return Conclude(Fail, "%d sessions have %d process ids and %d keys", n, len(pids), len(keys))
	case len(pids) < n:
		return Conclude(Fail, "%d sessions have %d process ids", n, len(pids))
	case len(keys) < n:
		return Conclude(Fail, "%d sessions have %d keys", n, len(keys))
	}
	return Conclude(Pass, "%d sessions at once, all different", n)
}

// guessKeys is how many keys are looked at: enough that a bit which never varies is no luck (2^-63).
const guessKeys = 64

func keyGuessable(ctx context.Context, b *Bench) Result {
	var pids []uint32
	var keys [][]byte
	for len(keys) < guessKeys {
		s, r := withKey(ctx, b, LoginOptions{})
		if r != nil {
			if len(keys) >= guessKeys/4 {
				b.Note("only %d keys: %s", len(keys), r.Seen)
				break
			}
			return *r
		}
		pids, keys = append(pids, s.PID), append(keys, s.Key)
		s.Close()
	}
	j := judgeKeys(pids, keys)
	for _, note := range j.notes {
		b.Note("%s", note)
	}
	return Conclude(j.verdict, "%s", j.seen)
}

func keyBackend(ctx context.Context, b *Bench) Result {
	s, r := withKey(ctx, b, LoginOptions{})
	if r != nil {
		return *r
	}
	a, err := s.Query("SELECT pg_backend_pid()")
	if err != nil {
		return Conclude(Unknown, "SELECT pg_backend_pid() is not answered: %s", mute(err))
	}
	if e := a.Err(); e != nil {
		return Conclude(Unknown, "SELECT pg_backend_pid() fails: %s", e)
	}
	if a.Value() == strconv.FormatInt(int64(int32(s.PID)), 10) {
		return Conclude(Pass, "it is")
	}
	b.Note("%s", fmt.Sprintf("BackendKeyData says %d, pg_backend_pid() %s", int32(s.PID), quoted(a.Value())))
	return Conclude(Differs, "it is another number")
}
