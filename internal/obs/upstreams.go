package obs

import (
	"cancello/internal/event"

	"github.com/prometheus/client_golang/prometheus"
)

// What upstreams are shown as.
var (
	upstreamUp      = desc("upstream_up", "1 while servers can be opened at the upstream as far as is known, 0 since a failure; missing where nobody has asked.", "upstream")
	upstreamServers = desc("upstream_servers", "Open server connections by upstream.", "upstream")
	upstreamSides   = desc("upstream_side_connections", "Open connections over which statements cancel, by upstream.", "upstream")
	upstreamOpened  = desc("upstream_connections_total", "Server connections that were opened, by upstream.", "upstream")
	upstreamFails   = desc("upstream_connection_failures_total", "Server connections that could not be opened by the upstream's own fault.", "upstream")
)

func upstreamDescs() []*prometheus.Desc {
	return []*prometheus.Desc{upstreamUp, upstreamServers, upstreamSides, upstreamOpened, upstreamFails}
}

func collectUpstream(ch chan<- prometheus.Metric, u event.UpstreamState) {
	name := label(u.Name())
	if u.State != "new" {
		ch <- gauge(upstreamUp, yes(u.State == "up"), name)
	}
	ch <- gauge(upstreamServers, float64(u.Servers), name)
	ch <- gauge(upstreamSides, float64(u.Sides), name)
	ch <- counter(upstreamOpened, u.Opened, name)
	ch <- counter(upstreamFails, u.Fails, name)
}
