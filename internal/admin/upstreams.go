package admin

import (
	"context"
	"strings"
)

func upstreamColumns() []column {
	return columns("host", "#port", "addresses", "databases", "state", "failing_since", "last_error", "#servers", "#dialing", "#side_connections", "#opened", "#fails",
		"tls", "server_version", "key")
}

// showUpstreams shows where servers are. PgBouncer has nothing of the kind.
func (c *Console) showUpstreams(ctx context.Context, t *table) error {
	when, err := c.clock(ctx)
	if err != nil {
		return err
	}
	s, err := c.gate.Snapshot(ctx)
	if err != nil {
		return err
	}
	for _, u := range s.Upstreams {
		t.add(u.Host, n(u.Port), orNil(strings.Join(u.Addrs, ", ")), strings.Join(u.Entries, ", "), u.State, when(u.FailingAt), orNil(u.LastError),
			n(u.Servers), n(u.Dialing), n(u.Sides), int64(u.Opened), int64(u.Fails), orNil(u.TLS), orNil(u.Version), orNil(u.Key))
	}
	return nil
}

// showDNSHosts shows the addresses of hosts that were looked up. How long they hold is dns_max_ttl, of which what is left
// is not known here.
func (c *Console) showDNSHosts(ctx context.Context, t *table) error {
	s, err := c.gate.Snapshot(ctx)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, u := range s.Upstreams {
		if len(u.Addrs) > 0 && !seen[u.Host] {
			seen[u.Host] = true
			t.add(u.Host, nil, strings.Join(u.Addrs, ","))
		}
	}
	return nil
}
