package probe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// runner is a session that runs short statements and counts what goes wrong with them.
type runner struct {
	s     *Session
	short string // some milliseconds long where the server can
	slow  string // long
	hits  int
	lost  string // what ended the session; empty while it lives
}

// beat is how long a short statement takes.
const beat = 5 * time.Millisecond

// begun is after what time a statement has surely begun: PostgreSQL swallows a cancel that comes before it has read the
// query.
const begun = 50 * time.Millisecond

// repeatSwallowed sends one more request where the slow statement goes on: on a machine that is busy begun may not be
// enough.
func (r *runner) repeatSwallowed(ctx context.Context, b *Bench) error {
	if r.s.holds('E', 'Z') {
		return nil
	}
	if err := r.s.linger(b.Patience/4, 'E', 'Z'); err != nil || r.s.holds('E', 'Z') {
		return nil // a session that has ended says so when it is read
	}
	_, err := b.CancelSession(ctx, AsSession, r.s)
	return err
}

// newRunner logs in and finds out what is short and what is slow here.
func (b *Bench) newRunner(ctx context.Context) (*runner, error) {
	s, err := b.loginWithKey(ctx)
	if err != nil {
		return nil, err
	}
	r := &runner{s: s, short: fmt.Sprintf("SELECT pg_sleep(%g)", beat.Seconds()), slow: slowStatements(b.slowFor())[0]}
	a, err := s.Query(r.short)
	if err != nil {
		return nil, err
	}
	if a.Err() == nil {
		return r, nil
	}
	r.short = "SELECT 1"
	if r.slow, err = b.startFor(s, simpleQuery, b.slowFor()); err != nil {
		return nil, err
	}
	t, err := b.end(ctx, s, AsSession)
	if err == nil && !t.ended() {
		err = &excuse{Unknown, "nothing was cancelled: " + t.judge().Seen}
	}
	return r, err
}

// next runs a short statement that nobody cancels, and counts a hit. It says whether the session is still there.
func (r *runner) next() bool {
	a, err := r.s.Query(r.short)
	return r.count(a, err)
}

func (r *runner) count(a Answer, err error) bool {
	switch {
	case err != nil && a.Err() != nil:
		r.lost = "the session ended with " + a.Err().Error()
	case err != nil:
		r.lost = "after a statement that nobody cancelled " + lostOrSilent(err)
	case a.Err() != nil:
		r.hits++
	}
	return r.lost == ""
}

// verdict judges the hits of n tries; worst is what they mean.
func (r *runner) verdict(n int, worst Verdict) Result {
	switch {
	case r.lost != "":
		return Conclude(Fail, "try %d: %s", n, r.lost)
	case r.hits > 0:
		return Conclude(worst, "the next statement ended: %s", odds(r.hits, n))
	}
	return Conclude(Pass, "the next statement ended: %s", odds(0, n))
}

// sequence repeats a try and the statement that must not be hit by it.
func sequence(ctx context.Context, b *Bench, n int, try func(*runner) error) Result {
	r, err := b.newRunner(ctx)
	if err != nil {
		return excused(err)
	}
	done := 0
	for range repeat(n) {
		if err := try(r); err != nil {
			return broken(done, err)
		}
		done++
		if !r.next() {
			break
		}
	}
	return r.verdict(done, Fail)
}

// broken is a race that can't go on, after n tries that did no harm: a statement is not answered, or the session or a way
// to it is lost.
func broken(n int, err error) Result {
	var e *excuse
	if errors.As(err, &e) {
		return excused(err)
	}
	return Conclude(Fail, "after %s: %s", plural(n, "good try", "good tries"), lostOrSilent(err))
}

func raceIdle(ctx context.Context, b *Bench) Result {
	return sequence(ctx, b, b.many(), func(r *runner) error {
		_, err := b.CancelSession(ctx, AsSession, r.s)
		return err
	})
}

func raceTwice(ctx context.Context, b *Bench) Result {
	return sequence(ctx, b, b.Tries, func(r *runner) error {
		if err := r.s.Ask(r.slow); err != nil {
			return err
		}
		pause(ctx, begun)
		var both sync.WaitGroup
		var errs [2]error
		for i := range errs {
			both.Go(func() { _, errs[i] = b.CancelSession(ctx, AsSession, r.s) })
		}
		both.Wait()
		if err := errors.Join(append(errs[:], r.repeatSwallowed(ctx, b))...); err != nil {
			return err
		}
		_, err := r.s.Await()
		return err
	})
}

func raceLate(ctx context.Context, b *Bench) Result {
	return sequence(ctx, b, b.many(), func(r *runner) error {
		ahead, err := b.Dial(ctx)
		if err != nil {
			return err
		}
		defer ahead.Close()
		if a, err := r.s.Query(r.short); err != nil {
			return err
		} else if a.Err() != nil {
			r.hits++
		}
		if err := ahead.Send(CancelPacket(r.s.PID, r.s.Key)); err != nil {
			return err
		}
		ahead.AwaitEnd(b.Patience)
		return nil
	})
}

// flight is a request that is sent about when a statement ends.
type flight struct {
	over chan struct{} // closed at the end of the request's connection
	sent time.Time     // set before over is closed; zero if it was not sent
}

// around sends a short statement and such a request, and waits for the statement's end, by the request or by itself.
func (b *Bench) around(ctx context.Context, r *runner) (*flight, error) {
	ahead, err := b.Dial(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.s.Ask(r.short); err != nil {
		return nil, err
	}
	f := &flight{over: make(chan struct{})}
	go func() {
		defer close(f.over)
		defer ahead.Close()
		pause(ctx, beat/4+rand.N(beat))
		at := time.Now()
		if ahead.Send(CancelPacket(r.s.PID, r.s.Key)) == nil {
			f.sent = at
			ahead.AwaitEnd(b.Patience)
		}
	}()
	if _, err = r.s.Await(); err != nil {
		<-f.over
	}
	return f, err
}

func raceNext(ctx context.Context, b *Bench) Result {
	return sequence(ctx, b, b.many(), func(r *runner) error {
		f, err := b.around(ctx, r)
		if err == nil {
			<-f.over
		}
		return err
	})
}

// raceNextAtOnce counts only requests that were sent before ReadyForQuery came: a later one may well mean the next
// statement.
func raceNextAtOnce(ctx context.Context, b *Bench) Result {
	r, err := b.newRunner(ctx)
	if err != nil {
		return excused(err)
	}
	before := 0
	for range repeat(b.many()) {
		f, err := b.around(ctx, r)
		if err != nil {
			return broken(before, err)
		}
		ready, hits := time.Now(), r.hits
		alive := r.next()
		<-f.over
		if f.sent.IsZero() || f.sent.After(ready) {
			r.hits = hits
		} else {
			before++
		}
		if !alive {
			break
		}
		_, _ = r.s.Query("SELECT 1") // takes what may still be under way to the session
	}
	if before == 0 {
		return Conclude(Unknown, "no request came before its statement's end")
	}
	return r.verdict(before, Differs)
}
