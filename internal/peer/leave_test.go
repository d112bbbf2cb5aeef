package peer

import (
	"net"
	"testing"
	"time"

	"cancello/internal/event"
)

// A process that is about to end waits until who passed a request on to it has the outcome.
func TestOutcomeBeforeTheEnd(t *testing.T) {
	t.Parallel()
	older, newer := newEnd(t, 1, oneSecret), newEnd(t, 1, oneSecret)
	one, two := net.Pipe()
	go newer.Kin(one, true)
	go older.Kin(two, false)
	for !newer.HasKin() {
		time.Sleep(time.Millisecond) // sleeps: between two looks; the test's own limit ends it
	}
	newer.ask(1, 1, 9)
	j := older.asked()
	told := make(chan struct{})
	go func() {
		defer close(told)
		older.TellAll(t.Context())
		newer.mu.Lock()
		defer newer.mu.Unlock()
		for _, e := range newer.events {
			if s, ok := e.(event.CancelSettled); ok && s.There == event.Cancelled {
				return
			}
		}
		t.Error("it would end before the outcome is known where the request came from")
	}()
	older.answer(j, event.Cancelled)
	wait(t, told, "who asked to be told")
}
