package probe

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// raceOthers lets some sessions cancel themselves all the time and looks at the others.
func raceOthers(ctx context.Context, b *Bench) Result {
	var quiet, loud []*runner
	for i := range min(b.Connections/2, 6) + 1 {
		r, err := b.newRunner(ctx)
		if err != nil {
			if i < 2 {
				return excused(err)
			}
			break
		}
		if i%3 == 0 {
			loud = append(loud, r)
		} else {
			quiet = append(quiet, r)
		}
	}
	if len(quiet) == 0 {
		return Conclude(NotApplicable, "--connections %d leaves no session to look at", b.Connections)
	}
	stop := make(chan struct{})
	var bystanders, cancellers sync.WaitGroup
	for _, r := range quiet {
		bystanders.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if !r.next() {
					return
				}
			}
		})
	}
	errs, counts := make([]error, len(loud)), make([]int, len(loud))
	for i, r := range loud {
		cancellers.Go(func() { counts[i], errs[i] = b.cancelOften(ctx, r) })
	}
	cancellers.Wait()
	close(stop)
	bystanders.Wait()
	sent, hits := 0, 0
	for _, n := range counts {
		sent += n
	}
	for _, r := range quiet {
		if r.lost != "" {
			return Conclude(Fail, "a session that nobody cancelled is lost: %s", r.lost)
		}
		hits += r.hits
	}
	for _, err := range errs {
		if err != nil {
			return broken(sent, err)
		}
	}
	if hits > 0 {
		return Conclude(Fail, "statements of other sessions ended per request: %s", odds(hits, sent))
	}
	return Conclude(Pass, "statements of other sessions ended per request: %s", odds(0, sent))
}

// cancelOften cancels short statements of its own, at any moment of them, and counts.
func (b *Bench) cancelOften(ctx context.Context, r *runner) (int, error) {
	sent := 0
	for range repeat(b.many()) {
		if err := r.s.Ask(r.short); err != nil {
			return sent, err
		}
		pause(ctx, rand.N(2*beat))
		if _, err := b.CancelSession(ctx, AsSession, r.s); err != nil {
			return sent, err
		}
		sent++
		if _, err := r.s.Await(); err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// raceDeparted sends the keys of sessions that have left while later ones are busy.
func raceDeparted(ctx context.Context, b *Bench) Result {
	n, hits := 0, 0
	for i := range repeat(2 * b.Tries) {
		first, err := b.newRunner(ctx)
		if err != nil {
			return excused(err)
		}
		_ = first.s.Close()
		second, err := b.newRunner(ctx)
		if err != nil {
			return excused(err)
		}
		if first.s.PID == second.s.PID && string(first.s.Key) == string(second.s.Key) {
			return Conclude(Fail, "two sessions, one after the other, are given the same key: the one's request ends the other's statement")
		}
		if err := second.s.Ask(second.slow); err != nil {
			return excused(err)
		}
		pause(ctx, 2*beat)
		if _, err := b.CancelSession(ctx, AsSession, first.s); err != nil {
			return excused(err)
		}
		if err := second.s.linger(2 * beat); err != nil {
			return Conclude(Fail, "try %d: the later session is lost", i+1)
		}
		n++
		if second.s.holds('E') {
			hits++
		}
		b.quit(ctx, second.s)
		_ = second.s.Close()
	}
	if hits > 0 {
		return Conclude(Fail, "statements of later sessions ended: %s", odds(hits, n))
	}
	return Conclude(Pass, "statements of later sessions ended: %s", odds(0, n))
}

// signalsOnce is the first version of PostgreSQL that signals once for one request.
const signalsOnce = 18

// racePipelined sends two queries at once and one request.
func racePipelined(ctx context.Context, b *Bench) Result {
	r, err := b.newRunner(ctx)
	if err != nil {
		return excused(err)
	}
	n := 0
	for range repeat(b.many()) {
		two := append(Frame('Q', append([]byte(r.slow), 0)), Frame('Q', append([]byte(r.short), 0))...)
		if err := r.s.Send(two); err != nil {
			return broken(n, err)
		}
		pause(ctx, begun)
		if _, err := b.CancelSession(ctx, AsSession, r.s); err != nil {
			return broken(n, err)
		}
		if err := r.repeatSwallowed(ctx, b); err != nil {
			return broken(n, err)
		}
		first, err := r.s.Await()
		if err != nil {
			return broken(n, err)
		}
		if first.Err() == nil {
			return Conclude(Fail, "try %d: the first query is not ended", n+1)
		}
		second, err := r.s.Await()
		if !r.count(second, err) {
			return Conclude(Fail, "try %d: %s", n+1, r.lost)
		}
		n++
	}
	switch version := major(r.s.Params["server_version"]); {
	case r.hits == 0:
		return Conclude(Pass, "the second query ended too: %s", odds(0, n))
	case version > 0 && version < signalsOnce:
		res := Conclude(Differs, "the second query ended too: %s", odds(r.hits, n))
		res.Means = "PostgreSQL up to 17 signals its backend twice for one request, and this server says it is one. What was queued behind a cancelled query may be lost with it."
		return res
	}
	return Conclude(Fail, "the second query ended too: %s", odds(r.hits, n))
}

// raceLatency measures the time from the request to the error.
func raceLatency(ctx context.Context, b *Bench) Result {
	r, err := b.newRunner(ctx)
	if err != nil {
		return excused(err)
	}
	var times []time.Duration
	n := 0
	for range repeat(2 * b.Tries) {
		if err := r.s.Ask(r.slow); err != nil {
			return broken(n, err)
		}
		pause(ctx, begun+rand.N(2*beat))
		t, err := b.end(ctx, r.s, AsSession)
		if err != nil {
			return broken(n, err)
		}
		n++
		if !t.ended() {
			return Conclude(Fail, "request %d has no effect: %s", n, t.judge().Seen)
		}
		for _, m := range t.answer.Messages {
			if m.Type == 'E' {
				times = append(times, m.At.Sub(t.request.Sent))
			}
		}
	}
	return Conclude(Pass, "lost: %s. From the request to the error: p50 %s, p99 %s", odds(0, n),
		milliseconds(percentile(times, 0.5)), milliseconds(percentile(times, 0.99)))
}
