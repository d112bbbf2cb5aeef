// Package obs turns events into log lines and counts: it is the only place that knows how a fact is worded
// for people, and the only one that knows metric names.
//
// Role: a sink for event.Event, and a registry of metrics (Prometheus) made of what the Sink counted and of a snapshot
// of the engine, which is asked for at each scrape. May import event, Prometheus' client and, of the standard library,
// anything; no other driver.
//
// Invariants: Emit never blocks and never allocates without bound, whatever the log's destination does: lines
// wait in a queue of a fixed length and a goroutine of the Sink writes them. A full queue drops lines, never
// counts; how many were dropped is a line of its own. Every CancelSettled is counted by its outcome. Lines of
// refused logins, which anybody can cause, are sampled, and so said. No
// secret can appear, since no event carries one.
package obs
