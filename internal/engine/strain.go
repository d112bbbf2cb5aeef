package engine

import (
	"time"

	"cancello/internal/wire"
)

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
	if d := (door{local, tls}); p.lastDoor == nil || *p.lastDoor != d {
		p.lastDoor = &d
	}
	return p.lastDoor
}

// strain is what is known of a client that a limit was reached for, or that was lost or closed. Most never have one.
type strain struct {
	txSpared time.Duration // transaction_timeout counts from then on: it was reached at a COMMIT
	overdue  uint64        // serial of a unit that was cancelled for transaction_timeout
	lostAt   time.Duration
	mourned  uint64 // serial of the last unit that was cancelled because the client is lost
	cause    string // why it was closed by us, as a setting or command is called; empty: it was not, or by its own fault
}

// strained is a client's strain, to be changed.
func (c *client) strained() *strain {
	if c.strain == nil {
		c.strain = new(strain)
	}
	return c.strain
}

// cause is why a client was closed by us, as a setting or command is called; empty: it was not, or by its own fault.
func (c *client) cause() string {
	if c.strain == nil {
		return ""
	}
	return c.strain.cause
}
