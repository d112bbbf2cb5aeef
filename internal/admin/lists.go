package admin

import (
	"context"
	"maps"
	"runtime/metrics"
	"slices"
	"strings"

	"cancello/internal/config"
	"cancello/internal/sqlstate"
)

// What PgBouncer's users and their programs ask for besides: what Cancello has no use for is an empty table.

func (c *Console) showLists(ctx context.Context, t *table) error {
	s, err := c.gate.Snapshot(ctx)
	if err != nil {
		return err
	}
	list, err := c.gate.Clients(ctx)
	if err != nil {
		return err
	}
	clients, logins, servers := 0, 0, 0
	for _, cl := range list {
		if cl.State == "login" {
			logins++
		} else {
			clients++
		}
	}
	users := map[string]bool{}
	for _, p := range s.Pools {
		users[p.User] = true
		servers += p.ServersActive + p.ServersIdle + p.ServersCleaning + p.ServersDialing
	}
	cfg := c.gate.Config()
	for _, u := range cfg.Users {
		users[u.Name] = true
	}
	for _, row := range []struct {
		list  string
		items int
	}{
		{"databases", len(cfg.Databases)}, {"users", len(users)}, {"peers", 0}, {"pools", len(s.Pools)}, {"peer_pools", 0},
		{"free_clients", 0}, {"used_clients", clients}, {"login_clients", logins}, {"free_servers", 0}, {"used_servers", servers},
		{"dns_names", 0}, {"dns_zones", 0}, {"dns_queries", 0}, {"dns_pending", 0},
	} {
		t.add(row.list, n(row.items))
	}
	return nil
}

func userColumns() []column {
	return columns("name", "#pool_size", "#reserve_pool_size", "pool_mode", "#max_user_connections", "#current_connections",
		"#max_user_client_connections", "#current_client_connections")
}

// showUsers shows those with settings of their own, and those who have a pool.
func (c *Console) showUsers(ctx context.Context, t *table) error {
	s, err := c.gate.Snapshot(ctx)
	if err != nil {
		return err
	}
	cfg := c.gate.Config()
	own := map[string]config.User{}
	for _, p := range s.Pools {
		own[p.User] = config.User{}
	}
	for _, u := range cfg.Users {
		own[u.Name] = u
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		u := own[name]
		var size, reserve, mode any
		if u.PoolSize.Given {
			size = n(u.PoolSize.Value)
		}
		if u.Bounds.ReserveSize.Given {
			reserve = n(u.Bounds.ReserveSize.Value)
		}
		if u.Mode.Given {
			mode = u.Mode.Value.String()
		}
		servers, clients := 0, 0
		for _, p := range s.Pools {
			if p.User == name {
				servers += p.ServersActive + p.ServersIdle + p.ServersCleaning + p.ServersDialing
				clients += p.ClientsActive + p.ClientsIdle + p.ClientsWaiting
			}
		}
		t.add(name, size, reserve, mode, n(cfg.MaxUserServers(name)), n(servers), n(cfg.MaxUserClients(name)), n(clients))
	}
	return nil
}

// statNames are the columns of SHOW STATS behind database: the totals, then the averages.
func statNames() (totals, averages []string) {
	for _, col := range statsColumns()[1:] {
		if name, ok := strings.CutPrefix(col.name, "total_"); ok {
			totals = append(totals, name)
		} else {
			averages = append(averages, strings.TrimPrefix(col.name, "avg_"))
		}
	}
	return totals, averages
}

// plainStats are the columns of SHOW STATS_TOTALS and STATS_AVERAGES.
func plainStats() []column {
	totals, _ := statNames()
	names := []string{"database"}
	for _, name := range totals {
		if name == "received" || name == "sent" {
			name = "bytes_" + name
		}
		names = append(names, "#"+name)
	}
	return columns(names...)
}

func (c *Console) showStatsTotals(ctx context.Context, t *table) error {
	return c.someStats(ctx, t, func(row []any, half int) []any { return row[:1+half] })
}

func (c *Console) showStatsAverages(ctx context.Context, t *table) error {
	return c.someStats(ctx, t, func(row []any, half int) []any { return append([]any{row[0]}, row[1+half:]...) })
}

// someStats takes a part of each row of SHOW STATS.
func (c *Console) someStats(ctx context.Context, t *table, part func(row []any, half int) []any) error {
	var all table
	if err := c.showStats(ctx, &all); err != nil {
		return err
	}
	for _, row := range all.rows {
		t.rows = append(t.rows, part(row, (len(row)-1)/2))
	}
	return nil
}

// showTotals sums SHOW STATS up. Averages are summed where they are of a second, and left out where they are of a query.
func (c *Console) showTotals(ctx context.Context, t *table) error {
	var all table
	if err := c.showStats(ctx, &all); err != nil {
		return err
	}
	for i, col := range statsColumns() {
		if i == 0 || strings.HasPrefix(col.name, "avg_") && strings.HasSuffix(col.name, "_time") {
			continue
		}
		sum := int64(0)
		for _, row := range all.rows {
			sum += row[i].(int64)
		}
		t.add(col.name, sum)
	}
	return nil
}

// showMem tells what the process holds, by what it is for, in bytes.
func (c *Console) showMem(_ context.Context, t *table) error {
	const classes = "/memory/classes/"
	sum := func(names ...string) (bytes int64) {
		samples := make([]metrics.Sample, len(names))
		for i, name := range names {
			samples[i].Name = classes + name + ":bytes"
		}
		metrics.Read(samples)
		for _, s := range samples {
			if s.Value.Kind() == metrics.KindUint64 {
				bytes += int64(s.Value.Uint64())
			}
		}
		return bytes
	}
	for _, row := range []struct {
		name       string
		used, free int64
	}{
		{"heap", sum("heap/objects"), sum("heap/unused", "heap/free")},
		{"stacks", sum("heap/stacks", "os-stacks"), 0},
		{"runtime", sum("metadata/mcache/inuse", "metadata/mspan/inuse", "metadata/other", "profiling/buckets", "other"),
			sum("metadata/mcache/free", "metadata/mspan/free")},
	} {
		t.add(row.name, int64(1), row.used, row.free, row.used+row.free)
	}
	return nil
}

// bufferColumns are those that PgBouncer's SHOW SOCKETS has more than SHOW CLIENTS. Cancello's connections own no buffer.
func bufferColumns() []column {
	return columns("#recv_pos", "#pkt_pos", "#pkt_remain", "#send_pos", "#send_remain", "#pkt_avail", "#send_avail")
}

func (c *Console) showSockets(ctx context.Context, t *table) error {
	return c.sockets(ctx, t, func(string) bool { return true })
}

func (c *Console) showActiveSockets(ctx context.Context, t *table) error {
	return c.sockets(ctx, t, func(state string) bool { return state != "idle" })
}

func (c *Console) sockets(ctx context.Context, t *table, wanted func(state string) bool) error {
	var all table
	if err := c.showClients(ctx, &all); err != nil {
		return err
	}
	if err := c.showServers(ctx, &all); err != nil {
		return err
	}
	at := slices.IndexFunc(socketColumns(), func(col column) bool { return col.name == "state" })
	for _, row := range all.rows {
		if wanted(row[at].(string)) {
			t.rows = append(t.rows, append(row, make([]any, len(bufferColumns()))...))
		}
	}
	return nil
}

// none shows nothing: Cancello has no such thing.
func (c *Console) none(context.Context, *table) error { return nil }

// showFDs is refused: PgBouncer hands its sockets and its clients' secrets to a successor by it.
func (c *Console) showFDs(context.Context, *table) error {
	e := sqlstate.New(sqlstate.SeverityError, sqlstate.CodeFeatureNotSupported, "SHOW FDS is not there: it serves PgBouncer's takeover by a new process, and shows secrets")
	e.Hint = "SHOW SOCKETS shows the connections."
	return e
}

// moreViews are those of this file.
func moreViews() []view {
	sockets := append(socketColumns(), bufferColumns()...)
	return []view{
		{"LISTS", columns("list", "#items"), (*Console).showLists},
		{"USERS", userColumns(), (*Console).showUsers},
		{"STATS_TOTALS", plainStats(), (*Console).showStatsTotals},
		{"STATS_AVERAGES", plainStats(), (*Console).showStatsAverages},
		{"TOTALS", columns("name", "#value"), (*Console).showTotals},
		{"SOCKETS", sockets, (*Console).showSockets},
		{"ACTIVE_SOCKETS", sockets, (*Console).showActiveSockets},
		{"MEM", columns("name", "#size", "#used", "#free", "#memtotal"), (*Console).showMem},
		{"DNS_HOSTS", columns("hostname", "#ttl", "addrs"), (*Console).showDNSHosts},
		{"DNS_ZONES", columns("zonename", "#serial", "#count"), (*Console).none},
		{"PEERS", peerColumns(), (*Console).showPeers},
		{"PEER_POOLS", columns("#peer_id", "#cl_active_cancel_req", "#cl_waiting_cancel_req", "#sv_active_cancel", "#sv_login"), (*Console).none},
		{"FDS", columns("#fd"), (*Console).showFDs},
	}
}
