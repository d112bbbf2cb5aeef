// Package sqlstate holds every error that Cancello says to a client in its own name: severity, SQLSTATE code, text,
// detail and hint, in one table (table.go). What a server says is passed on and never comes through here.
//
// It imports only pure parts of the standard library, and nothing of Cancello.
//
// Invariants:
//   - Codes are PostgreSQL's (errcodes-appendix), and where PostgreSQL has an error for the case its words are used
//     too, because programs match on them.
//   - FATAL means the connection is closed next, and no ReadyForQuery follows: drivers close on it.
//   - 57014 is said only where nothing of the unit reached a server; 08007 where the outcome can't be known.
//   - No text holds a password, a key, or bytes of a message's body. Names that came from a client are quoted and cut.
//
// Limits: names in texts are cut to 63 bytes, PostgreSQL's own length of a name.
package sqlstate
