package config

import "time"

// Bounds are how many servers and clients there may be at least and at most, besides the sizes of pools. 0 is no limit.
type Bounds struct {
	MinSize     int // min_pool_size: servers that a pool in use keeps
	ReserveSize int // reserve_pool_size: more servers for who has waited reserve_pool_timeout
	DBServers   int // max_db_connections: servers of one database, whoever uses them
	UserServers int // max_user_connections: servers of one user, at whatever database
	DBClients   int // max_db_client_connections
	UserClients int // max_user_client_connections
}

// DatabaseBounds are those that a database may have for itself.
type DatabaseBounds struct {
	MinSize     Override[int]
	ReserveSize Override[int]
	Reserve     Override[time.Duration]
	ServerLife  Override[time.Duration]
	Servers     Override[int]
	Clients     Override[int]
}

// UserBounds are those that a user may have for itself.
type UserBounds struct {
	ReserveSize Override[int]
	Servers     Override[int]
	Clients     Override[int]
}

// Reset is what is done to a server between two clients.
type Reset struct {
	Query  string // server_reset_query; empty: nothing
	Always bool   // server_reset_query_always: in transaction mode, too
}

// DiscardAll is the server_reset_query that leaves nothing of a session.
const DiscardAll = "DISCARD ALL"

// Check is how a server that has been idle is asked whether it is still there.
type Check struct {
	Query string        // server_check_query; empty: it is not asked
	Delay time.Duration // server_check_delay: who has been idle for less is not asked
}

// EmptyQuery is the server_check_query that stands for a query of no text.
const EmptyQuery = "<empty>"

// Text is what is sent, and whether anything is.
func (c Check) Text() (sql string, asked bool) {
	if c.Query == EmptyQuery {
		return "", true
	}
	return c.Query, c.Query != ""
}

// KeepsServers tells whether servers are to be opened before the first client comes: where it is known as whom.
func (c *Config) KeepsServers() bool {
	for _, d := range c.Databases {
		if d.User != "" && d.Name != anyDatabase && d.Bounds.MinSize.Or(c.Pool.Bounds.MinSize) > 0 {
			return true
		}
	}
	return false
}

// MaxServers is how many servers of a database there may be, by the name that clients say; 0 no limit.
func (c *Config) MaxServers(database string) int {
	d, _ := c.entry(database)
	return d.Bounds.Servers.Or(c.Pool.Bounds.DBServers)
}

// MaxClients is how many clients of a database there may be, by the name that they say; 0 no limit.
func (c *Config) MaxClients(database string) int {
	d, _ := c.entry(database)
	return d.Bounds.Clients.Or(c.Pool.Bounds.DBClients)
}

// MaxUserServers is how many servers may be logged in as a user; 0 no limit.
func (c *Config) MaxUserServers(user string) int {
	return c.user(user).Bounds.Servers.Or(c.Pool.Bounds.UserServers)
}

// MaxUserClients is how many clients may be logged in as a user; 0 no limit.
func (c *Config) MaxUserClients(user string) int {
	return c.user(user).Bounds.Clients.Or(c.Pool.Bounds.UserClients)
}

// bounds are the settings of Bounds and of how servers are kept.
func bounds() []setting[Config] {
	return []setting[Config]{
		{table: "pool", name: "min_pool_size", about: aboutMinSize, max: maxPoolSize, number: func(c *Config) *int { return &c.Pool.Bounds.MinSize }},
		{table: "pool", name: "reserve_pool_size", about: aboutReserveSize, max: maxPoolSize, number: func(c *Config) *int { return &c.Pool.Bounds.ReserveSize }},
		{table: "pool", name: "max_db_connections", about: aboutDBServers, max: maxLimit, number: func(c *Config) *int { return &c.Pool.Bounds.DBServers }},
		{table: "pool", name: "max_user_connections", about: aboutUserServers, max: maxLimit, number: func(c *Config) *int { return &c.Pool.Bounds.UserServers }},
		{table: "pool", name: "max_db_client_connections", about: aboutDBClients, max: maxLimit, number: func(c *Config) *int { return &c.Pool.Bounds.DBClients }},
		{table: "pool", name: "max_user_client_connections", about: aboutUserClients, max: maxLimit, number: func(c *Config) *int { return &c.Pool.Bounds.UserClients }},
		{table: "pool", name: "server_reset_query", about: "run on a server between two clients in session mode, outside of a transaction: one statement, or several that may run in one. " +
			"Empty: the next client finds what the last one left. Whatever it is, a transaction is rolled back, and a changed session user undone by DISCARD ALL",
			allowed: "a text of SQL, or an empty one", text: func(c *Config) *string { return &c.Pool.Reset.Query }},
		{table: "pool", name: "server_reset_query_always", about: "runs it in transaction mode, too, after each transaction",
			yes: func(c *Config) *bool { return &c.Pool.Reset.Always }},
		{table: "pool", name: "server_check_query", about: "asked of a server that was idle for `server_check_delay` before a client gets it: one that fails is closed, and the client gets another. " +
			"`<empty>`: a query of no text. Empty: none is asked", allowed: "a text of SQL, `<empty>`, or an empty one", text: func(c *Config) *string { return &c.Pool.Check.Query }},
		{table: "pool", name: "server_round_robin", about: "leases the server that has rested longest, to use all alike; else the one used last",
			yes: func(c *Config) *bool { return &c.Pool.RoundRobin }},
		{table: "pool", name: "server_fast_close", about: "in session mode a server that is to be closed (RECONNECT, or a reload that moves its database) does not wait for its session to end, but for its transaction: then its client is let go, too",
			yes: func(c *Config) *bool { return &c.Pool.FastClose }},
	}
}

// lives are the settings of how long servers live and are waited for.
func lives() []setting[Config] {
	return []setting[Config]{
		{table: "timeouts", name: "server_lifetime", about: aboutServerLife, zero: zeroServerLife, duration: func(c *Config) *time.Duration { return &c.Timeouts.ServerLife }},
		{table: "timeouts", name: "server_check_delay", about: "a server that was idle for less is not asked `server_check_query`", zero: "always asked",
			duration: func(c *Config) *time.Duration { return &c.Pool.Check.Delay }},
		{table: "timeouts", name: "server_login_retry", about: "the longest pause before a failing login to a server is tried again for those who wait: the first pause is 0.1 s, each further one twice as long",
			duration: func(c *Config) *time.Duration { return &c.Timeouts.LoginRetry }},
		{table: "timeouts", name: "reserve_pool_timeout", about: aboutReserve, zero: "never", duration: func(c *Config) *time.Duration { return &c.Timeouts.Reserve }},
	}
}

// boundsOfDatabase are those of [databases.NAME].
func boundsOfDatabase() []setting[Database] {
	return []setting[Database]{
		{name: "min_pool_size", about: aboutMinSize, absent: inherited, max: maxPoolSize,
			given: func(d *Database) *bool { return &d.Bounds.MinSize.Given }, number: func(d *Database) *int { return &d.Bounds.MinSize.Value }},
		{name: "reserve_pool_size", about: aboutReserveSize, absent: inherited, max: maxPoolSize,
			given: func(d *Database) *bool { return &d.Bounds.ReserveSize.Given }, number: func(d *Database) *int { return &d.Bounds.ReserveSize.Value }},
		{name: "reserve_pool_timeout", about: aboutReserve, absent: inherited, zero: "never",
			given: func(d *Database) *bool { return &d.Bounds.Reserve.Given }, duration: func(d *Database) *time.Duration { return &d.Bounds.Reserve.Value }},
		{name: "server_lifetime", about: aboutServerLife, absent: inherited, zero: zeroServerLife,
			given: func(d *Database) *bool { return &d.Bounds.ServerLife.Given }, duration: func(d *Database) *time.Duration { return &d.Bounds.ServerLife.Value }},
		{name: "max_db_connections", about: aboutDBServers, absent: inherited, max: maxLimit,
			given: func(d *Database) *bool { return &d.Bounds.Servers.Given }, number: func(d *Database) *int { return &d.Bounds.Servers.Value }},
		{name: "max_db_client_connections", about: aboutDBClients, absent: inherited, max: maxLimit,
			given: func(d *Database) *bool { return &d.Bounds.Clients.Given }, number: func(d *Database) *int { return &d.Bounds.Clients.Value }},
	}
}

// boundsOfUser are those of [users.NAME].
func boundsOfUser() []setting[User] {
	return []setting[User]{
		{name: "reserve_pool_size", about: aboutReserveSize, absent: ofItsDatabase, max: maxPoolSize,
			given: func(u *User) *bool { return &u.Bounds.ReserveSize.Given }, number: func(u *User) *int { return &u.Bounds.ReserveSize.Value }},
		{name: "max_user_connections", about: aboutUserServers, absent: inherited, max: maxLimit,
			given: func(u *User) *bool { return &u.Bounds.Servers.Given }, number: func(u *User) *int { return &u.Bounds.Servers.Value }},
		{name: "max_user_client_connections", about: aboutUserClients, absent: inherited, max: maxLimit,
			given: func(u *User) *bool { return &u.Bounds.Clients.Given }, number: func(u *User) *int { return &u.Bounds.Clients.Value }},
	}
}

// maxLimit bounds the limits over several pools.
const maxLimit = 1_000_000

// What is said of them.
const (
	aboutMinSize     = "servers that a pool keeps open, up to its size, while it has a client; for the pool of a database's forced `user` from the start. They are opened one after the other, and nothing is closed to make room for them"
	aboutReserveSize = "servers that a pool may have besides, once somebody has waited `reserve_pool_timeout`; 0: none"
	aboutReserve     = "who has waited that long may get a server of the reserve"
	aboutDBServers   = "servers of one database, of all its users together; where it is full, the server of another of its pools that has been idle longest is closed for those who wait; 0: no limit"
	aboutUserServers = "servers logged in as one user, at all databases together; full, it makes room as `max_db_connections` does; 0: no limit"
	aboutDBClients   = "clients of one database; one more is told 53300; 0: no limit"
	aboutUserClients = "clients of one user; one more is told 53300; 0: no limit"
	aboutServerLife  = "an unused server as old as that is closed; of one pool no two within that time divided by the pool's size"
	zeroServerLife   = "each serves one client and is closed"
)
