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
}

// Share finds what holds for a user at a database, both as the client says them: the user's own value goes before the
// database's, and that before the general one. ok is false where the database is not configured.
func (c *Config) Share(database, user string) (s Share, ok bool) {
	d, ok := find(c.Databases, database)
	if !ok {
		if d, ok = find(c.Databases, anyDatabase); !ok {
			return Share{}, false
		}
	}
	u := c.user(user)
	return Share{
		Database:   d,
		Size:       u.PoolSize.Or(d.PoolSize.Or(c.Pool.DefaultSize)),
		Mode:       u.Mode.Or(d.Mode.Or(c.Pool.Mode)),
		QueryWait:  u.QueryWait.Or(d.QueryWait.Or(c.Timeouts.QueryWait)),
		ServerIdle: d.ServerIdle.Or(c.Timeouts.ServerIdle),
		Limits:     u.Limits.over(c.Limits),
	}, true
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
