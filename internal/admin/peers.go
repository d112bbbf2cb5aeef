package admin

import (
	"context"
	"net"
	"strconv"
)

// peerColumns begins with PgBouncer's.
func peerColumns() []column {
	return columns("#peer_id", "host", "#port", "#pool_size", "sslmode", "state", "#since_s", "~round_trip_ms", "#asks_open", "#asks_out", "#asks_failed", "#asks_in", "last_error")
}

func (c *Console) showPeers(ctx context.Context, t *table) error {
	s, err := c.gate.Snapshot(ctx)
	if err != nil {
		return err
	}
	for _, p := range s.Peers {
		var host string
		var port, trip any
		if h, number, err := net.SplitHostPort(p.Address); err == nil {
			host = h
			if n, err := strconv.Atoi(number); err == nil {
				port = int64(n)
			}
		}
		state := "down"
		switch {
		case p.Kin && !p.Up:
			state = "kin down"
		case p.Kin:
			state = "kin" // another process of this node
		case p.Up:
			state = "up"
		case p.Mode == "disable":
			state = "plain"
		}
		if p.Up && p.RoundTrip > 0 {
			trip = float64(p.RoundTrip.Microseconds()) / 1000
		}
		t.add(int64(p.Node), orNil(host), port, nil, orNil(p.Mode), state, seconds(p.For), trip,
			int64(p.Open), int64(p.Asked), int64(p.Failed+p.Throttled), int64(p.Arrived), orNil(p.LastError))
	}
	return nil
}
