package probe

import (
	"context"
	"math/rand/v2"
	"time"
)

// many is how often is tried what takes little time.
func (b *Bench) many() int { return 5 * b.Tries }

// onlookers is how many sessions are there only to be hit.
func (b *Bench) onlookers() int { return max(1, min(4, b.Connections-2)) }

func raceZeros(ctx context.Context, b *Bench) Result {
	return raceSpare(ctx, b, func(int, []*member) []byte { return CancelPacket(0, make([]byte, 4)) })
}

func raceWrongPID(ctx context.Context, b *Bench) Result {
	return raceSpare(ctx, b, func(i int, all []*member) []byte {
		s := all[0].s
		switch other := all[len(all)-1].s; {
		case i%4 == 0:
			return CancelPacket(s.PID+1+uint32(i/4), s.Key)
		case i%4 == 1:
			return CancelPacket(s.PID-1-uint32(i/4), s.Key)
		case i%4 == 2 && other.PID != s.PID:
			return CancelPacket(other.PID, s.Key)
		}
		return CancelPacket(1+rand.Uint32N(1<<31-1), s.Key)
	})
}

// raceSpare sends requests that name nobody while sessions are busy. None of them may end.
func raceSpare(ctx context.Context, b *Bench, packet func(int, []*member) []byte) Result {
	all, err := b.crowd(ctx, b.onlookers(), b.slowFor()+2*raceTime)
	defer disperse(all)
	if err != nil {
		return excused(err)
	}
	sent := 0
	for i := range repeat(b.many()) {
		if same(all) {
			return Conclude(NotApplicable, "all sessions have the same key")
		}
		request, err := b.Cancel(ctx, AsSession, packet(i, all))
		if err != nil {
			return excused(err)
		}
		sent++
		for j, m := range all {
			if m.done() {
				return Conclude(Fail, "request %d ended the statement of session %d: %s", sent, j+1, m.trial.judge().Seen)
			}
		}
		if request.How == Open {
			break // the next ones would take as long; cancel.wrong-secret speaks of this
		}
	}
	pause(ctx, b.Quiet)
	for j, m := range all {
		if m.done() {
			return Conclude(Fail, "one of %d requests ended the statement of session %d: %s", sent, j+1, m.trial.judge().Seen)
		}
	}
	for _, m := range all {
		if _, err := b.CancelSession(ctx, AsSession, m.s); err != nil {
			return excused(err)
		}
		select {
		case <-m.ready:
		case <-time.After(b.Quiet):
		}
	}
	return Conclude(Pass, "statements ended: %s", odds(0, sent))
}

// same says whether several sessions were given one key: then a request can't mean one of them.
func same(all []*member) bool {
	return len(all) > 1 && all[0].s.PID == all[1].s.PID && string(all[0].s.Key) == string(all[1].s.Key)
}
