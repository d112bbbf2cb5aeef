package admin

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/key"
)

// stamp is a time in the form of PgBouncer.
const stamp = "2006-01-02 15:04:05 MST"

func poolColumns() []column {
	return columns("database", "user", "#cl_active", "#cl_waiting", "#cl_active_cancel_req", "#cl_waiting_cancel_req",
		"#sv_active", "#sv_active_cancel", "#sv_being_canceled", "#sv_idle", "#sv_used", "#sv_tested", "#sv_login",
		"#maxwait", "#maxwait_us", "pool_mode", "load_balance_hosts")
}

func (c *Console) showPools(ctx context.Context, t *table) error {
	s, err := c.gate.Snapshot(ctx)
	if err != nil {
		return err
	}
	for _, p := range s.Pools {
		t.add(p.Database, p.User, n(p.ClientsActive+p.ClientsIdle), n(p.ClientsWaiting), n(p.CancelsGoing), n(p.CancelsWaiting),
			n(p.ServersActive), n(p.CancelsGoing), n(p.ServersFenced), n(p.ServersIdle-p.ServersUsed), n(p.ServersUsed), n(p.ServersCleaning-p.ServersFenced),
			n(p.ServersDialing), seconds(p.OldestWait), micros(p.OldestWait), p.Mode, nil)
	}
	return nil
}

func n(i int) int64                   { return int64(i) }
func seconds(d time.Duration) int64   { return int64(d / time.Second) }
func micros(d time.Duration) int64    { return (d % time.Second).Microseconds() }
func allMicros(d time.Duration) int64 { return d.Microseconds() }
func address(remote string) (string, any) {
	host, port, err := net.SplitHostPort(remote)
	if err != nil {
		return remote, nil
	}
	number, err := strconv.ParseInt(port, 10, 64)
	if err != nil {
		return host, nil
	}
	return host, number
}

func socketColumns() []column {
	return columns("type", "user", "database", "replication", "state", "addr", "#port", "local_addr", "#local_port", "connect_time",
		"request_time", "#wait", "#wait_us", "#close_needed", "ptr", "link", "#remote_pid", "tls", "application_name",
		"#prepared_statements", "#id")
}

// clock turns times of the engine into those of a calendar.
func (c *Console) clock(ctx context.Context) (func(at time.Duration) any, error) {
	s, err := c.gate.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	zero := c.now().Add(-s.Now)
	return func(at time.Duration) any {
		if at <= 0 {
			return nil
		}
		return zero.Add(at).UTC().Format(stamp)
	}, nil
}

func (c *Console) showClients(ctx context.Context, t *table) error {
	when, err := c.clock(ctx)
	if err != nil {
		return err
	}
	list, err := c.gate.Clients(ctx)
	if err != nil {
		return err
	}
	for _, s := range list {
		host, port := address(s.Remote)
		localHost, localPort := address(s.Local)
		t.add("C", s.User, s.Database, orNone(s.Replication), s.State, host, port, orNil(localHost), localPort, when(s.ConnectedAt), when(s.RequestAt),
			seconds(s.Wait), micros(s.Wait), n(0), number(uint64(s.PID)), number(s.Server), n(0), s.TLS, s.ApplicationName, n(s.Statements), int64(s.PID))
	}
	return nil
}

// orNone is the word for no replication.
func orNone(kind string) string {
	if kind == "" {
		return "none"
	}
	return kind
}

// number is an id as a text; 0 is none.
func number(id uint64) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatUint(id, 10)
}

func (c *Console) showServers(ctx context.Context, t *table) error {
	when, err := c.clock(ctx)
	if err != nil {
		return err
	}
	list, err := c.gate.Servers(ctx)
	if err != nil {
		return err
	}
	for _, s := range list {
		host, port := address(s.Remote)
		localHost, localPort := address(s.Local)
		t.add("S", s.User, s.Database, orNone(s.Replication), s.State, host, port, orNil(localHost), localPort, when(s.DialedAt), when(s.RequestAt), n(0), n(0), truth(s.CloseNeeded),
			number(s.Server), number(uint64(s.Client)), int64(s.PID), s.TLS, s.ApplicationName, n(s.Statements), int64(s.Server))
	}
	return nil
}

func databaseColumns() []column {
	return columns("name", "host", "#port", "database", "force_user", "#pool_size", "#min_pool_size", "#reserve_pool_size",
		"#server_lifetime", "pool_mode", "load_balance_hosts", "#max_connections", "#current_connections",
		"#max_client_connections", "#current_client_connections", "#paused", "#disabled")
}

func (c *Console) showDatabases(ctx context.Context, t *table) error {
	s, err := c.gate.Snapshot(ctx)
	if err != nil {
		return err
	}
	cfg := c.gate.Config()
	for _, d := range cfg.Databases {
		servers, clients, paused := 0, 0, false
		for _, p := range s.Pools {
			if p.Entry == d.Name {
				servers += p.ServersActive + p.ServersIdle + p.ServersCleaning + p.ServersDialing
				clients += p.ClientsActive + p.ClientsIdle + p.ClientsWaiting
				paused = paused || p.Paused
			}
		}
		var balance any // where there is a choice
		if len(d.Upstreams()) > 1 {
			balance = d.Balance.Or(config.InTurn).String()
		}
		paused = paused || s.PausedAll || slices.Contains(s.Paused, d.Name)
		l, all := d.Bounds, cfg.Pool.Bounds
		t.add(d.Name, d.Host, n(d.Port), orNil(d.DBName), orNil(d.User), n(d.PoolSize.Or(cfg.Pool.DefaultSize)),
			n(l.MinSize.Or(all.MinSize)), n(l.ReserveSize.Or(all.ReserveSize)), seconds(l.ServerLife.Or(cfg.Timeouts.ServerLife)),
			d.Mode.Or(cfg.Pool.Mode).String(), balance, n(l.Servers.Or(all.DBServers)), n(servers), n(l.Clients.Or(all.DBClients)), n(clients),
			truth(paused), truth(slices.Contains(s.Disabled, d.Name)))
	}
	return nil
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (c *Console) showConfig(_ context.Context, t *table) error {
	cfg := c.gate.Config()
	for _, i := range config.List(&cfg) {
		changeable := "yes"
		if i.When == config.Restart {
			changeable = "no"
		}
		t.add(i.Name, i.Value, i.Default, changeable)
	}
	return nil
}

func (c *Console) showVersion(_ context.Context, t *table) error {
	t.add("Cancello " + c.version)
	return nil
}

func (c *Console) showState(ctx context.Context, t *table) error {
	s, err := c.gate.Snapshot(ctx)
	if err != nil {
		return err
	}
	paused := s.PausedAll || len(s.Paused) > 0
	t.add("active", yesNo(!paused && !s.Draining))
	t.add("paused", yesNo(paused))
	t.add("draining", yesNo(s.Draining))
	for _, p := range s.Predecessors {
		t.add("predecessor", fmt.Sprintf("process %d, %d clients", p.Process, p.Clients))
	}
	return nil
}

// truth is 1 or 0.
func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func cancelColumns() []column {
	return columns("time", "addr", "#port", "#node", "database", "user", "#client", "#unit", "kind", "outcome", "#sends", "~ms", "reason", "cause", "#via", "there")
}

func (c *Console) showCancels(_ context.Context, t *table) error {
	for _, s := range c.cancels.list() {
		var host, port any = "cancello", nil // one of our own
		if s.Remote != "" {
			host, port = address(s.Remote)
		}
		var unit any
		if s.Unit != 0 {
			unit = int64(s.Unit)
		}
		var node any // that gave the client its key
		if of, _, ours := key.Split(s.PID); ours {
			node = int64(of)
		}
		var via, there any // the node that passed it on to us; the outcome at the one that we passed it on to
		if of, ok := s.Via.Node(); ok {
			via = int64(of)
		}
		if _, ok := s.Owner.Node(); ok && s.Outcome == event.Forwarded {
			there = s.There.String()
		}
		t.add(s.at.UTC().Format("2006-01-02 15:04:05.000 MST"), host, port, node, orNil(s.Database), orNil(s.User), int64(s.PID), unit,
			orNil(s.Kind), s.Outcome.String(), n(s.Sends), float64(s.Took.Microseconds())/1000, orNil(s.Reason), orNil(s.Cause), via, there)
	}
	return nil
}

func statsColumns() []column {
	return columns("database",
		"#total_server_assignment_count", "#total_xact_count", "#total_query_count", "#total_received", "#total_sent", "#total_xact_time",
		"#total_query_time", "#total_wait_time", "#total_client_parse_count", "#total_server_parse_count", "#total_bind_count",
		"#total_client_login_count",
		"#avg_server_assignment_count", "#avg_xact_count", "#avg_query_count", "#avg_recv", "#avg_sent", "#avg_xact_time",
		"#avg_query_time", "#avg_wait_time", "#avg_client_parse_count", "#avg_server_parse_count", "#avg_bind_count", "#avg_client_login_count")
}

func (c *Console) showStats(ctx context.Context, t *table) error {
	s, err := c.gate.Snapshot(ctx)
	if err != nil {
		return err
	}
	for _, total := range s.Tallies {
		row := append([]any{total.Entry}, counts(total)...)
		old, now, length := c.stats.period(total.Entry)
		t.rows = append(t.rows, append(row, averages(counts(old), counts(now), length)...))
	}
	return nil
}

// counts are the columns from total_server_assignment_count on.
func counts(t event.Tally) []any {
	return []any{
		int64(t.Wait.Count()), int64(t.Transaction.Count()), int64(t.Query.Count()), int64(t.Received), int64(t.Sent),
		allMicros(t.Transaction.Sum), allMicros(t.Query.Sum), allMicros(t.Wait.Sum), int64(t.ClientParses), int64(t.ServerParses),
		int64(t.Binds), int64(t.Logins),
	}
}

// averages are, of what was counted in a time, times by what took them and all else by the second, as PgBouncer has them.
func averages(old, now []any, length time.Duration) []any {
	of := map[int]int{5: 1, 6: 2, 7: 0} // a time's column, and that of what it is the time of
	list := make([]any, len(now))
	for i := range now {
		by, timed := of[i]
		difference := now[i].(int64) - old[i].(int64)
		switch {
		case timed:
			list[i] = difference / max(now[by].(int64)-old[by].(int64), 1)
		default:
			list[i] = int64(float64(difference) / max(length.Seconds(), 1))
		}
	}
	return list
}
