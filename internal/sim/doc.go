// Package sim is a deterministic world around the production engine: virtual time, byte pipes, model PostgreSQL
// servers and model clients, all on one thread and out of one seed.
//
// A World is drawn from a seed, run to its end and judged: Run(seed, options) returns what was violated, in the words
// of the promise (P1 no stray cancel, P2 no lost cancel, P3 one outcome each, P4 no cross-talk, P5 never a hang, P6
// bounded memory, P8 transparent). A run has two phases. In the first, faults happen: cuts, crashes, hanging dials,
// slow readers, clients that vanish. Then the faults stop and everything must come to an end.
//
// The model server knows only what matters here: transactions, the unnamed statement, COPY, signals, and a language
// in which each statement carries a tag, @client.unit.statement. The tag comes back in each row and is noted with
// each commit, so that a checker can say whose statement ran where and what became of it. Two kinds of world are
// built from the same parts: clients directly on servers, where the checkers must be quiet, and clients through the
// engine.
//
// RunCluster draws a cluster: several Worlds in one time, each with an engine, a relay (internal/relay) and a clock of its own,
// and links between them that delay, break and come back; some nodes speak to some others by plain CancelRequests. A balancer
// sends each CancelRequest to any of them; nodes start late, are killed, drain, are taken over from, change the secret. P1 to P3
// hold over all of it: the way there is judged by check_cluster.go and plain.go, the rest by the checkers of the world whose
// client it is about.
//
// It belongs to the bench: nothing of the program imports it. It may import ring 0 and 1 and math/rand/v2.
//
// Invariants: no goroutine, no clock, no map iteration. The same seed gives the same trace, byte for byte.
//
// Limits: one database in a world, of which some worlds have several hosts that fail and come back (hosts.go), and some
// clients that replicate (replication.go); authentication and TLS are not modelled (a login is one event); SQL is the tagged
// language of sql.go; PostgreSQL's pid reuse is left out.
package sim
