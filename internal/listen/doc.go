// Package listen has listening sockets that Go's poller does not know. A net.Listener is registered there for life, and the
// poller's thread wakes for each connection that comes, also where somebody else accepts it.
//
// Role: a driver. It may import x/sys/unix, and nothing of the house.
//
// Invariants: a descriptor stays open while Control runs; who keeps its number, as an event loop does, lets go of it before
// Close. A Unix socket's file is removed by Close alone, and only while it is owned.
//
// Limits: what can't be detached (it has no descriptor, or there is none to be had) stays a net.Listener, with its own ways.
package listen
