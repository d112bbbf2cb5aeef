package relay

import (
	"fmt"
	"testing"
	"time"

	"cancello/internal/event"
)

// What all have the answer of is remembered while there is another process of this node, and not without limit.
func TestKeptIsBounded(t *testing.T) {
	w := &world{t: t, now: time.Hour, pings: map[Link]time.Duration{}}
	w.r = New(w)
	w.r.Configure(w.now, Config{Peers: []Peer{{Node: 1}}, Timeout: time.Second})
	w.r.LinkUp(w.now, 1, Far{Node: 1, Incarnation: 100})
	w.r.LinkUp(w.now, 2, Far{Incarnation: 200, Kin: true})
	for n := range uint64(3 * maxKept) {
		w.r.Heard(w.now, 1, Ask{ID: n + 1, Left: time.Second})
		w.r.Settled(w.now, Ticket(n+1)|arrived, event.CancelSettled{Outcome: event.Idle})
		w.r.Heard(w.now, 1, Done{n + 1})
		w.said = nil
	}
	if n := len(w.r.arrivals); n != maxKept || len(w.r.guests) > 2*maxKept+1 || w.r.kept != n {
		t.Errorf("%d are remembered, of %d, in a list of %d", n, w.r.kept, len(w.r.guests))
	}
	w.now += time.Hour
	w.r.Tick(w.now)
	if len(w.r.arrivals) != 0 || len(w.r.guests) != 0 || len(w.r.byTicket) != 0 || len(w.r.byAsker) != 0 || w.r.kept != 0 {
		t.Errorf("%d are never forgotten", len(w.r.arrivals))
	}
}

// Keys that nobody has push no outcome out: of those that may be asked for once more, none is judged again.
func TestGuessesAreNotKept(t *testing.T) {
	w := &world{t: t, now: time.Hour, pings: map[Link]time.Duration{}}
	w.r = New(w)
	w.r.Configure(w.now, Config{Peers: []Peer{{Node: 1}}, Timeout: time.Second})
	w.r.LinkUp(w.now, 1, Far{Node: 1, Incarnation: 100})
	w.r.LinkUp(w.now, 2, Far{Incarnation: 200, Kin: true})
	for n := range uint64(maxKept + 2) {
		outcome := event.UnknownKey
		if n == 0 {
			outcome = event.Cancelled
		}
		w.r.Heard(w.now, 1, Ask{ID: n + 1, Left: time.Second})
		w.r.Settled(w.now, Ticket(n+1)|arrived, event.CancelSettled{Outcome: outcome})
		w.r.Heard(w.now, 1, Done{n + 1})
	}
	w.said = nil
	w.r.Heard(w.now, 2, Ask{ID: 5, Local: true, Left: time.Second, Origin: Origin{100, 1}})
	if len(w.said) != 1 || w.said[0] != "l2 <- settled 5: cancelled" {
		t.Errorf("its repeat: %q", w.said)
	}
	if w.r.kept != 0 || len(w.r.arrivals) != 1 || len(w.r.byTicket) != 1 || len(w.r.byAsker) != 1 {
		t.Errorf("%d are remembered", len(w.r.arrivals))
	}
	w.r.Heard(w.now, 1, Ask{ID: 2, Left: time.Second})
	if last := w.said[len(w.said)-1]; last != fmt.Sprintf("judge in%d, read from -1h0m0s to -1h0m0s", maxKept+3) {
		t.Errorf("the repeat of a guess: %s", last)
	}
}
