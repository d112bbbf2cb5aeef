// Package contract is what every implementation of engine.Outside promises about connections, as a suite of
// tests: one subtest for each sentence of the contract. It runs against the event loop on real sockets and
// against the simulation, so that the engine may rely on the same world in both.
//
// A driver implements World (seven methods) and calls Run. The suite is single-threaded on its side: it acts through
// World.Do, lets events happen with World.Step, and looks at what its Handler recorded; a deterministic simulation
// can serve it from one goroutine, a loop from a thread of its own.
//
// Besides what each subtest asks, some things are checked at every event: no event inside a call, no event after
// Closed, no Data or Sent after Close, no more Sent than was queued, no Data larger than a buffer.
//
// Dial, Carry, Go, Admit, Release and Emit are not covered: they are the drivers' own matter.
//
// It is part of the test side and is never imported by the program.
package contract
