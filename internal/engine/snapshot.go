package engine

import (
	"maps"
	"slices"
	"time"

	"cancello/internal/event"
	"cancello/internal/lease"
)

// Snapshot tells what the pools are like, and what happened since the start. It takes time in proportion to the
// clients and servers.
func (e *Engine) Snapshot(now time.Duration) event.Snapshot {
	e.now = now
	s := event.Snapshot{
		Now: now, Draining: e.draining, PausedAll: e.pausedAll,
		Paused: slices.Sorted(maps.Keys(e.paused)), Disabled: slices.Sorted(maps.Keys(e.disabled)),
	}
	at := map[*pool]int{}
	for _, name := range slices.SortedFunc(maps.Keys(e.pools), poolName.compare) {
		p := e.pools[name]
		at[p] = len(s.Pools)
		s.Pools = append(s.Pools, event.PoolState{
			Database: name.database, User: name.user, Entry: p.share.Database.Name, Mode: p.share.Mode.String(), Paused: p.paused, Limit: p.Limit,
			ServersIdle: p.Idle(), ServersDialing: p.Dialing, ServersGhost: p.Ghosts,
		})
	}
	for _, c := range e.slots {
		if c == nil {
			continue
		}
		if i, ok := at[c.pool]; ok {
			c.countIn(&s.Pools[i], now)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(e.servers)) {
		srv := e.servers[id]
		if i, ok := at[srv.pool]; ok {
			srv.countIn(&s.Pools[i], e)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(e.orders)) {
		o := e.orders[id]
		if i, ok := at[o.srv.pool]; ok {
			o.countIn(&s.Pools[i])
		}
	}
	for _, entry := range slices.Sorted(maps.Keys(e.tallies)) {
		s.Tallies = append(s.Tallies, *e.tallies[entry])
	}
	s.Upstreams = e.upstreamStates()
	return s
}

func (c *client) countIn(p *event.PoolState, now time.Duration) {
	switch c.state() {
	case "active":
		p.ClientsActive++
	case "idle":
		p.ClientsIdle++
	default:
		p.ClientsWaiting++
		p.OldestWait = max(p.OldestWait, c.waited(now))
	}
}

func (s *server) countIn(p *event.PoolState, e *Engine) {
	switch s.state(e) {
	case "used":
		p.ServersUsed++
	case "active":
		p.ServersActive++
	case "being_canceled":
		p.ServersFenced++
		p.ServersCleaning++
	case "tested":
		p.ServersCleaning++
	}
}

func (o *order) countIn(p *event.PoolState) {
	switch o.state {
	case going:
		p.CancelsGoing++
	case inLine, carrying, retrying:
		p.CancelsWaiting++
	}
}

// state is the word for what a client does, PgBouncer's where it has one.
func (c *client) state() string {
	switch {
	case c.login != 0:
		return "login"
	case c.srv != nil:
		return "active"
	case c.place.Waits():
		return "waiting"
	}
	return "idle"
}

// waited is how long a client has been waiting for a server.
func (c *client) waited(now time.Duration) time.Duration {
	switch {
	case c.login != 0:
		return now - c.clock.joined
	case c.place.Waits():
		return now - c.since
	}
	return 0
}

// state is the word for what a server does, in PgBouncer's terms.
func (s *server) state(e *Engine) string {
	switch s.phase {
	case dialing:
		return "new"
	case resting:
		if e.doubts(s) {
			return "used"
		}
		return "idle"
	case applying, leased, passing:
		return "active"
	}
	if s.fences > 0 {
		return "being_canceled"
	}
	return "tested"
}

// ClientCount is how many Clients would list.
func (e *Engine) ClientCount(time.Duration) int { return e.clients }

// Clients lists the clients that have a connection, in the order of their slots.
func (e *Engine) Clients(now time.Duration) []event.ClientState {
	e.now = now
	var list []event.ClientState
	for _, c := range e.slots {
		if c == nil {
			continue
		}
		s := event.ClientState{
			PID: c.pid, User: c.pool.name.user, Database: c.pool.name.database, Remote: c.remote, State: c.state(),
			ConnectedAt: c.clock.joined, RequestAt: c.clock.unitAt, Wait: c.waited(now), ApplicationName: applicationName(c.told), TLS: c.door.tls,
			Statements: c.sess.Statements(), Local: c.door.local, Replication: replicationKind(c.replication()),
		}
		if c.srv != nil {
			s.Server = uint64(c.srv.id)
		}
		list = append(list, s)
	}
	return list
}

// Servers lists the server connections, in the order in which they were dialed.
func (e *Engine) Servers(now time.Duration) []event.ServerState {
	e.now = now
	var list []event.ServerState
	for _, id := range slices.Sorted(maps.Keys(e.servers)) {
		srv := e.servers[id]
		p := srv.pool
		s := event.ServerState{
			Server: uint64(id), User: p.name.user, Database: p.name.database, Remote: srv.upstream.name, State: srv.state(e),
			DialedAt: srv.dialedAt, RequestAt: srv.lastWrite, PID: srv.info.PID, ApplicationName: applicationName(srv.set), TLS: srv.info.TLS,
		}
		s.Local = srv.info.Local
		if srv.sole != nil {
			s.Replication = replicationKind(srv.sole.replication())
		}
		s.CloseNeeded = srv.misplaced() != "" || p.paused
		if srv.shelf != nil {
			s.Statements = srv.shelf.Len()
		}
		if srv.cl != nil {
			s.Client = srv.cl.pid
		}
		list = append(list, s)
	}
	return list
}

// replicationKind is the kind of replication that the startup parameter asks for, in PgBouncer's words; empty: none.
func replicationKind(parameter string) string {
	switch parameter {
	case "":
		return ""
	case "database":
		return "logical"
	}
	return "physical"
}

func applicationName(s *lease.Settings) string {
	if s == nil {
		return ""
	}
	name, _ := s.Get("application_name")
	return name
}
