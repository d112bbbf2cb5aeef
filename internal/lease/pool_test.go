package lease

import (
	"slices"
	"testing"
)

func TestRoom(t *testing.T) {
	for _, c := range []struct {
		live, dialing, ghosts, line, others int
		room, wanted                        bool
	}{
		{room: true},
		{line: 1, room: true, wanted: true},
		{others: 1, room: true, wanted: true},
		{line: 1, dialing: 1, room: true},               // one is on its way
		{line: 2, dialing: 1, room: true, wanted: true}, // not enough
		{line: 1, others: 1, dialing: 1, room: true, wanted: true},
		{line: 9, live: 3},
		{line: 9, live: 1, dialing: 1, ghosts: 1},
		{line: 9, ghosts: 3}, // closed, perhaps running: they count
		{line: 9, live: 4},   // the limit was lowered
	} {
		p := Pool[int, int]{Limit: 3, Live: c.live, Dialing: c.dialing, Ghosts: c.ghosts}
		places := make([]Place[int], c.line)
		for i := range places {
			p.Line.Join(&places[i], i)
		}
		if p.Room() != c.room || p.Wanted(c.others) != c.wanted {
			t.Errorf("%+v: room %v, wanted %v", c, p.Room(), p.Wanted(c.others))
		}
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
		{"a session", State{Tx: 'I', Session: true}, []Chore{DiscardAll}},
		{"a session in a transaction", State{Tx: 'T', Session: true}, []Chore{Rollback, DiscardAll}},
		{"a setting, on a server that may time out anyway", State{Tx: 'I', Set: true}, nil},
		{"a setting, perhaps of the time limit", State{Tx: 'I', Set: true, StaysOpen: true}, []Chore{KeepAwake}},
		{"all of it", State{Tx: 'E', Set: true, StaysOpen: true, Prepared: true}, []Chore{Rollback, DiscardAll}},
	} {
		if got := Chores(c.state); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
