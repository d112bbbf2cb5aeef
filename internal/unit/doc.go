// Package unit holds what a client asks at once, and the order in which it is answered.
//
// A unit is a Query, a FunctionCall, or a batch of extended messages up to its Sync. It has a serial number, and it
// begins, waits, runs and ends. Queue is the exact list of messages whose reply is outstanding at the server; Scan
// reads units that wait in a client's unsent bytes. Everything the pooler asks about a unit is answered here: has
// it begun, is its last message in, does it open a transaction, what of it has been answered.
//
// Ring 1: imports wire and nothing else of ours. No clock, no socket, no allocation per message once a Queue has grown
// to a client's usual depth. A Queue holds one byte per outstanding message; session bounds its length.
package unit
