package obs

import (
	"strconv"

	"cancello/internal/event"

	"github.com/prometheus/client_golang/prometheus"
)

// What other nodes are shown as.
var (
	peerUp        = desc("peer_up", "1 while there is a link to the node, else 0.", "node")
	peerRoundTrip = desc("peer_round_trip_seconds", "How long the last ping over the link took; missing without a link.", "node")
	peerAsks      = desc("peer_asks_total", "Cancels that this node was to pass on to the node: answered with an outcome, failed, throttled.", "node", "result")
	peerOpen      = desc("peer_asks_under_way", "Cancels passed on to the node whose outcome is not known yet.", "node")
	peerArrived   = desc("peer_arrivals_total", "Cancels that the node passed on to this one.", "node")
)

func peerDescs() []*prometheus.Desc {
	return []*prometheus.Desc{peerUp, peerRoundTrip, peerAsks, peerOpen, peerArrived}
}

func collectPeer(ch chan<- prometheus.Metric, p event.PeerState) {
	if p.Kin { // whose number is our own
		return
	}
	name := strconv.Itoa(int(p.Node))
	ch <- gauge(peerUp, yes(p.Up), name)
	if p.Up && p.RoundTrip > 0 {
		ch <- gauge(peerRoundTrip, p.RoundTrip.Seconds(), name)
	}
	ch <- counter(peerAsks, p.Answered, name, "answered")
	ch <- counter(peerAsks, p.Failed, name, "failed")
	ch <- counter(peerAsks, p.Throttled, name, "throttled")
	ch <- gauge(peerOpen, float64(p.Open), name)
	ch <- counter(peerArrived, p.Arrived, name)
}
