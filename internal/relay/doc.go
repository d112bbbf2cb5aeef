// Package relay is a node's dealings with cancels that belong elsewhere, and with those that others pass on to it.
//
// One Relay per process, driven by one goroutine (or by the simulation): its methods are events, each with the present
// time of this process's monotonic clock; it answers through Outside, which never calls it back inside a call. It opens no
// connection and judges no key: the driver brings links up between processes that have proved to each other that they know
// the cluster's secret, and calls Asked only for a key that is another node's by its MAC, or that has four bytes.
//
// It may import event and nothing else of the program. Ring 1: no clock, no socket, no goroutine, no randomness.
//
// Where to look:
//   - the shape: relay.go, outside.go; message.go and codec.go (what goes over a link); sabotage.go (bugs on purpose)
//   - links: link.go; clock.go (what a moment here is on the other end's clock)
//   - the way out: ask.go (requests of our clients), kin.go and sibling.go (other processes of this node, and which of them
//     there are), place.go and source.go (who may guess, and how often)
//   - the way in: arrival.go (requests that others pass on to us)
//   - for people: state.go
//
// Invariants: each ticket of Asked and AskedHere is released once and settled once. What came in over a link is given to
// our own engine, or to other processes of this node unless it came from one, and never to another node. The moment that a
// request was read goes along as two bounds on the owner's clock, and stays what it was when the request is repeated.
//
// Limits: maxMessage bytes a message; Config.MaxAsks asks for one node at a time, as many that wait for a place, and arrivals
// of one process twice that; what of it keys of four bytes have, and one source (place.go); how often one may guess, and how
// many sources are told apart (source.go); Config.Timeout until an ask is delivered, three times that until its outcome; maxKept
// requests that all have the answer of.
package relay
