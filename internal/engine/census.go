package engine

import "cancello/internal/sqlstate"

// census counts the clients with a connection: of each database by the name that they say, and of each user.
type census struct{ databases, users map[string]int }

func newCensus() census { return census{map[string]int{}, map[string]int{}} }

// enter and leave count one client.
func (n census) enter(name poolName) {
	n.databases[name.database]++
	n.users[name.user]++
}

func (n census) leave(name poolName) {
	if n.databases[name.database]--; n.databases[name.database] == 0 {
		delete(n.databases, name.database)
	}
	if n.users[name.user]--; n.users[name.user] == 0 {
		delete(n.users, name.user)
	}
}

// noPlace is why one more client cannot be let in, if it can't.
func (e *Engine) noPlace(name poolName) (err sqlstate.Error, is bool) {
	if limit := e.cfg.Pool.MaxClientConn; e.clients >= limit {
		return sqlstate.TooManyConnections(limit), true
	}
	if limit := e.cfg.MaxClients(name.database); limit > 0 && e.census.databases[name.database] >= limit {
		return sqlstate.TooManyDatabaseClients(name.database, limit), true
	}
	if limit := e.cfg.MaxUserClients(name.user); limit > 0 && e.census.users[name.user] >= limit {
		return sqlstate.TooManyUserClients(name.user, limit), true
	}
	return sqlstate.Error{}, false
}
