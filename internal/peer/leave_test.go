package peer

import (
	"testing"
	"time"

	"cancello/internal/event"
)

// A process that is about to end waits until who passed a request on to it has the outcome.
func TestOutcomeBeforeTheEnd(t *testing.T) {
	t.Parallel()
	older, newer := newEnd(t, 1, oneSecret), newEnd(t, 1, oneSecret)
	kin(newer, older, nil)
	newer.kinIs(true, true)
	newer.ask(1, 1, 9)
	j := older.asked()
	told := make(chan struct{})
	go func() { older.TellAll(t.Context()); close(told) }()
	select {
	case <-told:
		t.Fatal("it would end with a request under way")
	case <-time.After(20 * time.Millisecond): // it is not to happen, however long that takes
	}
	older.answer(j, event.Cancelled)
	wait(t, told, "the outcome to be told")
	if e := newer.settled(); e.There != event.Cancelled {
		t.Errorf("%+v", e)
	}
}
