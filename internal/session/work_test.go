package session

import (
	"fmt"
	"testing"

	"cancello/internal/wire"
)

// knock is what judge says to a client that rests, for whatever may come in front of it.
func TestKnockIsJudgeInShort(t *testing.T) {
	for _, mode := range []Mode{Keep, Share, Single} {
		for _, prepares := range []bool{false, true} {
			s := New(mode, [8]byte{})
			if prepares {
				s.Prepares(NewLibrary("lib"))
			}
			for typ := range 256 {
				for _, length := range []int{3, 4, 5, 6, 30, maxName + 100, 1 << 30} {
					whole := wire.AppendHeader(nil, byte(typ), length-4)
					whole = append(whole, "a\x00b\x00"...)
					whole = append(whole, make([]byte, 2*maxName)...)
					for _, n := range []int{0, 1, 4, 5, 6, 7, 10, len(whole)} {
						b := whole[:min(n, max(len(whole[:wire.HeaderLen]), 1+length))]
						said, want := s.knock(b), s.judge(b, false).v
						if want != Begin && want != More {
							want = Pass
						}
						if said != want {
							t.Errorf("%s: knock says %d, judge %d", fmt.Sprintf("mode %d, type %q, length %d, %d bytes", mode, byte(typ), length, len(b)), said, want)
						}
					}
				}
			}
		}
	}
}

// A client that waits has nothing of its own, and what a client had under way goes to the next.
func TestWorkGoesRound(t *testing.T) {
	lib := NewLibrary("lib")
	shelf := NewShelf(lib)
	shelf.Max = 3
	query := wire.AppendQuery(nil, "begin; commit")
	clients := make([]Session, 3)
	for i := range clients {
		s := &clients[i]
		*s = New(Share, [8]byte{byte(i)})
		s.Prepares(lib)
		if n, v := s.Up(query, false); n != 0 || v != Begin || s.work != nil {
			t.Fatalf("client %d that may not begin: %d, verdict %d, work %v", i, n, v, s.work)
		}
		s.Leased(shelf)
		if s.Protected() || s.Opening() || s.WasCancelled(1) || s.Failed() || len(s.refusals) > 0 {
			t.Fatalf("client %d has what another had under way", i)
		}
		if n, v := s.Up(query, true); n != len(query) || v != Pass {
			t.Fatalf("client %d: %d, verdict %d", i, n, v)
		}
		s.Rest()
		if s.work == nil {
			t.Fatalf("client %d rests though its query is not answered", i)
		}
		answer := append(wire.AppendError(nil, "ERROR", "57014", "canceled", "", ""), wire.AppendReadyForQuery(nil, 'I')...)
		if n, v := s.Down(answer); n != len(answer) || v != DownReady || !s.WasCancelled(1) || !s.Free() {
			t.Fatalf("client %d: %d, verdict %d", i, n, v)
		}
		s.refusals = append(s.refusals, refusal{}) // of a server that did not fail where it had to
		s.Rest()
		if s.work != nil || len(lib.works) != 1 {
			t.Fatalf("client %d does not rest, or %d others are kept for the next", i, len(lib.works)-1)
		}
		if !s.Free() || s.Begun() != 1 || s.Ended() != 1 || s.Tx() != 'I' {
			t.Fatalf("client %d is not what it was", i)
		}
	}
}
