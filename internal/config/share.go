package config

import "time"

// Share is what holds for the pool of one database and user.
type Share struct {
	Database   Database
	Size       int           // most servers
	Mode       Mode          // when a server goes to another client
	QueryWait  time.Duration // a unit's wait for a server; 0 no limit
	ServerIdle time.Duration // an unused server is closed after that; 0 never
	Limits     Limits        // how long clients may take

	MinSize     int           // servers that it keeps while it is in use
	ReserveSize int           // servers besides Size for who has waited Reserve
	Reserve     time.Duration // 0 never
	ServerLife  time.Duration // an unused server as old as that is closed; 0: it serves one client

	OwnKeys     Override[KeyPolicy] // client_keys of the database, and in general: see KeysFor
	GeneralKeys KeyPolicy
}

// Share finds what holds for a user at a database, both as the client says them: the user's own value goes before the
// database's, and that before the general one. ok is false where the database is not configured.
func (c *Config) Share(database, user string) (s Share, ok bool) {
	d, ok := c.entry(database)
	if !ok {
		return Share{}, false
	}
	u := c.user(user)
	return Share{
		Database:   d,
		Size:       u.PoolSize.Or(d.PoolSize.Or(c.Pool.DefaultSize)),
		Mode:       u.Mode.Or(d.Mode.Or(c.Pool.Mode)),
		QueryWait:  u.QueryWait.Or(d.QueryWait.Or(c.Timeouts.QueryWait)),
		ServerIdle: d.ServerIdle.Or(c.Timeouts.ServerIdle),
		Limits:     u.Limits.over(c.Limits),

		MinSize:     d.Bounds.MinSize.Or(c.Pool.Bounds.MinSize),
		ReserveSize: u.Bounds.ReserveSize.Or(d.Bounds.ReserveSize.Or(c.Pool.Bounds.ReserveSize)),
		Reserve:     d.Bounds.Reserve.Or(c.Timeouts.Reserve),
		ServerLife:  d.Bounds.ServerLife.Or(c.Timeouts.ServerLife),

		OwnKeys:     d.Keys,
		GeneralKeys: c.Cancel.Keys,
	}, true
}

// entry is what is configured for a database that clients ask for.
func (c *Config) entry(database string) (Database, bool) {
	if d, ok := find(c.Databases, database); ok {
		return d, true
	}
	return find(c.Databases, anyDatabase)
}

// anyDatabase is the name of the entry for databases that have none of their own.
const anyDatabase = "*"

func (c *Config) user(name string) User {
	for _, u := range c.Users {
		if u.Name == name {
			return u
		}
	}
	return User{}
}

func find(list []Database, name string) (Database, bool) {
	for _, d := range list {
		if d.Name == name {
			return d, true
		}
	}
	return Database{}, false
}
