// Package engine owns the clients, servers and pools of one loop and runs session, lease and cancel together.
//
// All of the pooler's behaviour is here and in the packages below: the same code in production and in simulation. One
// thread calls the events (LoginAsked, Data, Sent, Closed, Dialed, DialFailed, CancelRequested, CancelReady,
// CancelDone, Tick, Resolved, Reconfigure, UseKeys, SetGrant, Drain, Told), in order, each with the present time; the engine answers through
// Outside and never blocks. Outside never calls it back inside a call.
//
// Ring 1: imports every package of the ring. No clock, no socket, no goroutine, no randomness: what is random comes in
// with a login.
//
// Where to look:
//   - the shape: engine.go, outside.go; client.go, arrival.go, strain.go, server.go, link.go (what is known of each); sabotage.go (bugs on purpose)
//   - logins: admit.go; startup.go (what a client asks for in its startup packet); census.go (how many there may be)
//   - bytes: up.go (client to server), down.go (server to client), spare.go (memory for what waits), passage.go (both, unjudged)
//   - servers: pool.go (who gets one), staff.go (how many there are), quota.go (limits of several pools), check.go (is it well),
//     settle.go (when it is free, and what is done to it before it goes on), age.go, replication.go (clients that have one to
//     themselves)
//   - ends: departure.go (clients that leave), loss.go (servers that die), drain.go, hurry.go (server_fast_close)
//   - a CancelRequest's way: cancel.go, order.go, fence.go, outcome.go; ending.go (when a unit ended); elsewhere.go (what another process read);
//     fallback.go and side.go (without a usable key)
//   - time: timer.go; limits.go and alarm.go (clients that take long)
//   - places: upstream.go, health.go, resolved.go (where servers are opened, and what is remembered of places that fail),
//     upstreams.go (the same for people)
//   - from outside: reconfigure.go; pause.go and disable.go (the console's commands); measure.go and snapshot.go (what is
//     counted and shown)
//
// Invariants: a client's bytes reach a server only while it holds it; a server with an unread byte, a fence or an
// unknown state is not handed on; each ticket is released once and settled once; nothing is indexed by a server's key.
// Limits: what is queued for one connection stays near highWater plus one receive buffer; a waiting client holds what
// it had sent when it was paused.
package engine
