package peer

import (
	"testing"
	"time"

	"cancello/internal/event"
)

// Where only one end of a link can reach the other, and there one process takes over from another, it dials again: the new
// process, which can't, has a link. The one to the old process stays as long as that one does.
func TestOneWayTakeover(t *testing.T) {
	t.Parallel()
	for _, only := range []uint16{1, 2} { // who dials: the link that the lower node dialed is kept where both do
		a, old := newEnd(t, only, oneSecret), newEnd(t, 3-only, oneSecret)
		old.peers(unreachable(only))
		w := newCable(t, old.Addr().String())
		a.peers(at(3-only, w.Addr().String()))
		a.up(3 - only)
		old.up(only)

		next := newEnd(t, 3-only, oneSecret)
		next.peers(unreachable(only))
		w.lead(next.Addr().String())
		old.Yield()
		next.up(only)

		released := next.ask(1, only, 9)
		a.answer(a.asked(), event.Cancelled)
		wait(t, released, "a request of the new process")
		if e := next.settled(); e.There != event.Cancelled {
			t.Errorf("%+v", e)
		}
		released = old.ask(1, only, 9)
		a.answer(a.asked(), event.Cancelled)
		wait(t, released, "a request of the old process")
		released = a.ask(1, 3-only, 9)
		next.answer(next.asked(), event.Cancelled)
		wait(t, released, "a request for the new process")

		old.Stop()
		for len(sessions(a)) != 1 {
			time.Sleep(time.Millisecond) // sleeps: between two looks; the test's own limit ends it
		}
		a.mu.Lock()
		for _, e := range a.events {
			switch e.(type) {
			case event.PeerUp, event.PeerDown:
				t.Errorf("node %d was never lost, and it is told %+v", 3-only, e)
			}
		}
		a.mu.Unlock()
		w.cut()
		a.down(3 - only)
		a.up(3 - only)
	}
}
