package config

// Connections are how many a configuration promises: its clients, and the servers of one pool for each database, its
// reserve among them, or as many as the database may have; and the connections over which statements cancel there. Where
// clients log in under names of their own there is a pool for each name, and nobody knows how many names will come.
func (c *Config) Connections() (clients, servers int) {
	for _, d := range c.Databases {
		size, reserve := d.PoolSize.Or(c.Pool.DefaultSize), d.Bounds.ReserveSize.Or(c.Pool.Bounds.ReserveSize)
		for _, u := range c.Users {
			size, reserve = max(size, u.PoolSize.Or(0)), max(reserve, u.Bounds.ReserveSize.Or(0))
		}
		size += reserve
		if limit := c.MaxServers(d.Name); limit > 0 {
			size = min(size, limit)
		}
		servers += size
		if d.Cancel.UsesSQL() {
			servers += c.Cancel.SideSize
		}
	}
	return c.Pool.MaxClientConn, servers
}
