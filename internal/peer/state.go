package peer

import (
	"context"
	"time"

	"cancello/internal/event"
)

// States tells of the peers, as configured, and then of the other processes of this node.
func (h *Hub) States(ctx context.Context) ([]event.PeerState, error) {
	answer := make(chan []event.PeerState, 1)
	h.mail.post(func(now time.Duration) { answer <- h.states(now) })
	select {
	case list := <-answer:
		return list, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-h.ended:
		return nil, context.Canceled
	}
}

func (h *Hub) states(now time.Duration) []event.PeerState {
	var list []event.PeerState
	for _, s := range h.relay.States() {
		p := event.PeerState{
			Node: s.Node, Kin: s.Kin, Up: s.Up, For: max(now-s.Since, 0), RoundTrip: s.RoundTrip, LastError: s.LastError,
			Open: s.Open, Asked: s.Asked, Answered: s.Answered, Failed: s.Failed, Throttled: s.Throttled, Arrived: s.Arrived,
		}
		if n := h.own.peers[s.Node]; n != nil && !s.Kin {
			p.Address, p.Mode, p.LastError = n.Address, n.Mode.String(), n.failure
		}
		list = append(list, p)
	}
	return list
}
