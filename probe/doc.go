// Package probe finds out what a PostgreSQL-compatible server, pooler or proxy really does about startup, keys,
// negotiation, encryption, cancel and pooling, from outside, with evidence: it is `cancello check`.
//
// Role: a black box. It speaks to anything, so it has its own codec (raw frames, and pgproto3 for bodies) and imports
// nothing of Cancello; of other modules pgx for connection strings and message bodies, scram for logins.
//
// Invariants: every wait has a limit, so no case hangs. A case passes only on what it saw: silence, a lost connection or
// a server it can't log in to is never a pass. Passwords are in no evidence, nor is a whole key. What a case makes on
// the server lives in its own session and ends with it.
//
// Limits: it sees what is on the wire. What a server does inside is inferred, and a case says so where it matters.
package probe
