// Package fake is a server for the tests of package probe: it behaves as PostgreSQL 18 does, and misbehaves in every
// way that a case can find, one knob each.
//
// Role: bench side. It shares no code with the probe, or a fault in it would hide itself, and imports nothing of
// Cancello: pgproto3 for bodies.
//
// Limits: it knows the few statements that the cases use. One process, no disk, nothing survives Close.
package fake
