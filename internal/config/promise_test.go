package config

import "testing"

func TestConnections(t *testing.T) {
	c := Default()
	c.Databases = []Database{{Name: "a"}, {Name: "b", PoolSize: Give(7)}, {Name: "*"}}
	if clients, servers := c.Connections(); clients != 100 || servers != 20+7+20 {
		t.Errorf("%d clients, %d servers", clients, servers)
	}
	c.Users = []User{{Name: "ann"}, {Name: "eve", PoolSize: Give(10)}}
	c.Pool.MaxClientConn = 3
	if clients, servers := c.Connections(); clients != 3 || servers != 20+10+20 {
		t.Errorf("with users: %d clients, %d servers", clients, servers)
	}
}
