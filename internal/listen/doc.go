// Package listen has listening sockets that Go's poller does not know. A net.Listener is registered there for life, and the
// poller's thread wakes for each connection that comes, also where somebody else accepts it.
package listen
