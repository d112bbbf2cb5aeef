package config

// Connections are how many a configuration promises: its clients, and the servers of one pool for each database. Where
// clients log in under names of their own there is a pool for each name, and nobody knows how many names will come.
func (c *Config) Connections() (clients, servers int) {
	for _, d := range c.Databases {
		size := d.PoolSize.Or(c.Pool.DefaultSize)
		for _, u := range c.Users {
			size = max(size, u.PoolSize.Or(0))
		}
		servers += size
	}
	return c.Pool.MaxClientConn, servers
}
