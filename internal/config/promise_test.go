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

	c.Databases[1].Cancel.Fallback = "sql,disconnect"
	if _, servers := c.Connections(); servers != 20+10+20+c.Cancel.SideSize {
		t.Errorf("with statements that cancel: %d servers", servers)
	}
	c.Databases[1].Cancel.Fallback = ""

	c.Pool.Bounds.ReserveSize = 3
	c.Users[0].Bounds.ReserveSize = Give(5)
	_, before := c.Connections()
	c.Databases[0].Bounds.Servers = Give(4)
	if _, after := c.Connections(); before != 20+10+20+3*5 || after != before-25+4 {
		t.Errorf("%d servers with a reserve, %d with a limit of 4 for one database", before, after)
	}
}
