package engine

import "cancello/internal/wire"

// arrival is what a client came with. It is kept until it is let in, and for one with a server to itself as long as it
// stays.
type arrival struct {
	Request              // empty once it was let in
	wishes  []wire.Param // the settings that it asks for
	sole    string       // its replication: "true" or "database"; empty: it is an ordinary client
}

// admitted is what a client goes on with of what it came with.
func (a *arrival) admitted() *arrival {
	if a.sole == "" {
		return nil
	}
	return &arrival{sole: a.sole}
}

// replication is "true" or "database" for a client that has a server to itself; empty: it is an ordinary one.
func (c *client) replication() string {
	if c.arrival == nil {
		return ""
	}
	return c.arrival.sole
}

// door is where a client came in. Those who come in at the same one share it.
type door struct {
	local string // where it connected to
	tls   string // version and cipher; empty: in clear
}

// door is that of the last client if it is the same one: most of a pool's come the same way.
func (p *pool) door(local, tls string) *door {
	if p.lastDoor == nil || *p.lastDoor != (door{local, tls}) {
		p.lastDoor = &door{local, tls}
	}
	return p.lastDoor
}
