package engine

import "time"

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
