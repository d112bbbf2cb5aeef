// Package proxy is everything between the network and the engine that may block: listening, startup packets,
// authentication, dialing and logging in to servers, carrying cancels. It implements engine.Outside over a loop.
//
// Role: a driver. It may import loop and listen, and of the pure packages engine, auth, config, event, key, sqlstate and wire.
//
// Two worlds. The loop's goroutine runs the engine, and what it owns is grouped in the field own: touched there
// and nowhere else, so without a lock. Everything slow is a goroutine per connection on net.Conn with deadlines,
// straight-line code, which reaches the loop's world by Post only; its socket's descriptor moves to the loop after login.
// Not slow, and carried by the loop itself: an order in clear (errand.go), and whoever connects (caller.go), as long as
// he does what takes microseconds: a cancel, or a login in clear that derives no key. For all else a caller becomes a visit
// (visit.go), which is its goroutine. What is decided about both is the applicant's (applicant.go), written once; they
// differ in who waits. Connections are accepted one by one, and a bounded number in a turn (loop.Watch).
//
// Invariants:
//   - A socket is closed with FIN, never with RST, after an ErrorResponse that says why, wherever the protocol
//     lets one be said. Nothing at all is said to a CancelRequest.
//   - A CancelRequest is told to be nobody's where it is read (sieve.go), or leads to exactly one CancelRequested. A key
//     stands in the sieve before its client is told it.
//   - Each connection reserved from the loop is adopted or abandoned exactly once; each Dial, Carry and Go is answered as engine.Outside says, unless
//     the loop has stopped.
//   - A server's cancel key stays in this package; passwords stay in the goroutine that needs them, keys made of them
//     or lent by clients in the keyrings. None is in an error, an event or a log line.
//   - A client that is refused before the engine hears of it is one LoginRefused; after that it is the engine's word.
//   - SCRAM is bound to the certificate of the very connection, as its visit began with it (binding.go).
//   - An order goes to the address that the session of its server is connected to, not to its name, and its socket
//     is opened when the order comes, never ahead. One that a statement cancelled over is used again if it is clean (side.go).
//   - Nothing that came in clear is taken for something that came encrypted, on either side. A handshake passes the gate
//     as passwords do, but in a line of its own (gate.go), and waits for its peer outside.
//   - A connection keeps the TLS it began with; an order uses that of its server's session, then what is in force.
//   - Lengths are judged before anything is allocated.
//
// Descriptors: a caller's is the one it keeps as a client; a visit's hand-over needs a second for a moment. The reserve highest numbers are for cancels alone (descriptors.go): who else gets one of them gives it back.
//
// Memory: what a burst of connections has left behind is given back to the system once it is over (tidy.go), not by the
// loop's goroutine.
//
// Limits: at most maxSilent connections without a complete startup packet (the oldest from where most came gives way
// to a new one, so that cancels get in); twice max_client_conn logins at a time; maxServerLogin bytes from a server before its
// ReadyForQuery; failed_login_delay for who comes from where logins failed (slow.go), a cancel never;
// failed_cancel_delay for the connections of cancels that mean nobody (guess.go), no other; lingerBytes and
// lingerTime after a FIN.
package proxy
