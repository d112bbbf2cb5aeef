package probe

import (
	"context"
	"fmt"
	"time"
)

// member is one session of a crowd, with what came for its statement.
type member struct {
	s     *Session
	ready chan struct{} // closed when the answer is here
	trial trial
}

func (m *member) done() bool {
	select {
	case <-m.ready:
		return true
	default:
		return false
	}
}

// crowd keeps n sessions busy for a time, or as many as are let in. Of a pooler with fewer servers the later ones wait;
// they were asked in order, so that the first always runs.
func (b *Bench) crowd(ctx context.Context, n int, long time.Duration) ([]*member, error) {
	var all []*member
	sql := ""
	for range n {
		s, err := b.loginWithKey(ctx)
		if err != nil {
			if len(all) > 1 {
				b.Note("the server lets no more than %d of us in: %s", len(all), failure(err))
				break
			}
			return all, err
		}
		m := &member{s: s, ready: make(chan struct{})}
		if len(all) == 0 { // finds out what is slow here; the others are not waited for
			sql, err = b.startFor(s, simpleQuery, long)
		} else {
			err = s.Ask(sql)
		}
		if err != nil {
			return all, err
		}
		all = append(all, m)
		go func() {
			defer close(m.ready)
			m.trial.session = m.s
			m.trial.answer, m.trial.err = m.s.AwaitWithin(long)
		}()
	}
	return all, nil
}

// disperse ends what of a crowd is left.
func disperse(all []*member) {
	for _, m := range all {
		if !m.done() {
			_ = m.s.Vanish()
			<-m.ready
		}
	}
}

func cancelCrowd(ctx context.Context, b *Bench) Result {
	// The statement must outlast all the others' cancels, and a wait for one session more than there may be.
	long := b.slowFor() + 2*b.Patience + time.Duration(b.Connections)*(b.settle()+b.Quiet)
	all, err := b.crowd(ctx, b.Connections, long)
	defer disperse(all)
	if err != nil {
		return excused(err)
	}
	for i, m := range all {
		pause(ctx, b.settle()) // a pooler gives its free server to the next in line
		for j, other := range all[i:] {
			if other.done() {
				return Conclude(Fail, "session %d ended before its own request was sent: %s", i+j+1, other.trial.judge().Seen)
			}
		}
		request, err := b.CancelSession(ctx, AsSession, m.s)
		if err != nil {
			return Conclude(Fail, "with %d sessions busy a CancelRequest can't be sent: %s", len(all)-i, err)
		}
		select {
		case <-m.ready:
		case <-time.After(b.Patience - request.After):
			return Conclude(Fail, "with %s busy the request of session %d does nothing in %s", plural(len(all)-i, "session"), i+1, b.Patience)
		}
		if !m.trial.ended() {
			return Conclude(Fail, "session %d of %d: %s", i+1, len(all), m.trial.judge().Seen)
		}
		_ = m.s.Close() // a pooler in session mode now gives its server to the next
	}
	return Conclude(Pass, "%s, each ended by its own request", plural(len(all), "busy session"))
}

// pause waits a moment, or until the check is interrupted.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// plural counts things: the word for many is the word for one and an s, unless it is given.
func plural(n int, one string, many ...string) string {
	switch {
	case n == 1:
		return "1 " + one
	case len(many) > 0:
		return fmt.Sprintf("%d %s", n, many[0])
	}
	return fmt.Sprintf("%d %ss", n, one)
}
