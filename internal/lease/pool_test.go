package lease

import (
	"slices"
	"testing"
)

func TestRoom(t *testing.T) {
	for _, c := range []struct {
		live, dialing, ghosts, checking, line, others int
		room, wanted                                  bool
	}{
		{room: true},
		{line: 1, room: true, wanted: true},
		{others: 1, room: true, wanted: true},
		{line: 1, dialing: 1, room: true},               // one is on its way
		{line: 2, dialing: 1, room: true, wanted: true}, // not enough
		{line: 1, others: 1, dialing: 1, room: true, wanted: true},
		{line: 1, live: 1, checking: 1, room: true}, // one is asked whether it is still there
		{line: 2, live: 1, checking: 1, room: true, wanted: true},
		{line: 1, live: 1, checking: 1, others: 1, room: true, wanted: true}, // which is no use to the other
		{live: 1, checking: 1, others: 1, dialing: 1, room: true},
		{line: 9, live: 3},
		{line: 9, live: 1, dialing: 1, ghosts: 1},
		{line: 9, ghosts: 3}, // closed, perhaps running: they count
		{line: 9, live: 4},   // the limit was lowered
	} {
		p := Pool[int, int]{Limit: 3, Live: c.live, Dialing: c.dialing, Ghosts: c.ghosts, Checking: c.checking}
		places := make([]Place[int], c.line)
		for i := range places {
			p.Line.Join(&places[i], i)
		}
		if p.Room() != c.room || p.Wanted(c.others) != c.wanted {
			t.Errorf("%+v: room %v, wanted %v", c, p.Room(), p.Wanted(c.others))
		}
	}
}

// TestReserve: the reserve is what is between the limit and what there may be at most.
func TestReserve(t *testing.T) {
	for total, want := range []struct{ room, spare, over bool }{{room: true}, {room: true}, {spare: true}, {}, {over: true}} {
		p := Pool[int, int]{Limit: 2, Reserve: 1, Live: total}
		if p.Room() != want.room || p.Spare() != want.spare || p.Over() != want.over {
			t.Errorf("%d: room %t, spare %t, over %t", total, p.Room(), p.Spare(), p.Over())
		}
	}
}

func TestQuota(t *testing.T) {
	for _, c := range []struct {
		limit, used int
		full, over  bool
	}{{0, 9, false, false}, {2, 1, false, false}, {2, 2, true, false}, {2, 3, true, true}} {
		q := Quota{Limit: c.limit, Used: c.used}
		if q.Full() != c.full || q.Over() != c.over {
			t.Errorf("%d of %d: full %t, over %t", c.used, c.limit, q.Full(), q.Over())
		}
	}
}

// TestRoundRobin: the server that has been at rest longest is taken.
func TestRoundRobin(t *testing.T) {
	p := Pool[int, string]{RoundRobin: true}
	for _, s := range []string{"a", "b", "c"} {
		p.Rest(s)
	}
	var taken []string
	for range 5 {
		s, _ := p.Take()
		taken = append(taken, s)
		p.Rest(s)
	}
	if want := []string{"a", "b", "c", "a", "b"}; !slices.Equal(taken, want) {
		t.Errorf("taken %v, want %v", taken, want)
	}
}

// TestRest: the server used last is taken first, so that the others may go idle.
func TestRest(t *testing.T) {
	var p Pool[int, string]
	if _, ok := p.Take(); ok {
		t.Error("an empty pool gives a server")
	}
	if _, ok := p.Oldest(); ok {
		t.Error("an empty pool has an oldest server")
	}
	for _, s := range []string{"a", "b", "c", "d"} {
		p.Rest(s)
	}
	p.Remove("b")
	p.Remove("nobody")
	if s, _ := p.Oldest(); s != "a" || p.Idle() != 3 {
		t.Errorf("oldest is %s of %d", s, p.Idle())
	}
	var taken []string
	for s, ok := p.Take(); ok; s, ok = p.Take() {
		taken = append(taken, s)
	}
	if want := []string{"d", "c", "a"}; !slices.Equal(taken, want) {
		t.Errorf("taken %v, want %v", taken, want)
	}
}

func TestChores(t *testing.T) {
	for _, c := range []struct {
		name  string
		state State
		want  []Chore
	}{
		{"clean", State{Tx: 'I'}, nil},
		{"clean, and would stay open", State{Tx: 'I', StaysOpen: true}, nil},
		{"in a transaction", State{Tx: 'T'}, []Chore{Rollback}},
		{"in a failed one", State{Tx: 'E'}, []Chore{Rollback}},
		{"prepared or listening", State{Tx: 'I', Prepared: true}, []Chore{DiscardAll}},
		{"somebody else", State{Tx: 'I', Identity: true}, []Chore{DiscardAll}},
		{"a session", State{Tx: 'I', Session: true, Reset: DiscardAll}, []Chore{DiscardAll}},
		{"a session in a transaction", State{Tx: 'T', Session: true, Reset: DiscardAll}, []Chore{Rollback, DiscardAll}},
		{"a session that prepared, set and became somebody", State{Tx: 'I', Session: true, Prepared: true, Set: true, StaysOpen: true, Identity: true, Reset: DiscardAll},
			[]Chore{DiscardAll}},
		{"a session, another reset", State{Tx: 'E', Session: true, Prepared: true, Reset: "RESET ALL"}, []Chore{Rollback, "RESET ALL"}},
		{"a session that set the time limit, another reset", State{Tx: 'I', Session: true, Set: true, StaysOpen: true, Reset: "DISCARD TEMP"},
			[]Chore{"DISCARD TEMP", KeepAwake}},
		{"a session that became somebody, another reset", State{Tx: 'I', Session: true, Identity: true, Reset: "RESET ALL"}, []Chore{DiscardAll, "RESET ALL"}},
		{"a session, no reset", State{Tx: 'T', Session: true, Prepared: true}, []Chore{Rollback}},
		{"a session that became somebody, no reset", State{Tx: 'I', Session: true, Identity: true}, []Chore{DiscardAll}},
		{"a transaction, a reset for sessions", State{Tx: 'I', Reset: "RESET ALL"}, nil},
		{"a transaction, a reset for all", State{Tx: 'I', Always: true, Reset: "RESET ALL"}, []Chore{"RESET ALL"}},
		{"a transaction that prepared, a reset for all", State{Tx: 'I', Prepared: true, Always: true, Reset: "RESET ALL"}, []Chore{DiscardAll, "RESET ALL"}},
		{"a transaction that prepared, no reset", State{Tx: 'I', Prepared: true, Always: true}, []Chore{DiscardAll}},
		{"a setting, on a server that may time out anyway", State{Tx: 'I', Set: true}, nil},
		{"a setting, perhaps of the time limit", State{Tx: 'I', Set: true, StaysOpen: true}, []Chore{KeepAwake}},
		{"all of it", State{Tx: 'E', Set: true, StaysOpen: true, Prepared: true}, []Chore{Rollback, DiscardAll}},
	} {
		if got := Chores(c.state); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
