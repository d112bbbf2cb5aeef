// Package session is one client's life at the protocol: its units, the replies it still gets, its transaction state, its
// prepared statements.
//
// A Session looks at the client's bytes (Up) and at the server's (Down) and returns verdicts: pass these bytes, drop
// them, put others in their place, a unit begins here, a unit ended here. It calls nobody. The engine carries the
// verdicts out and asks the questions on which lease and cancel depend: is anything unfinished, may the server go to
// somebody else, what must be sent for a client that is gone.
//
// Ring 1: imports unit, wire, sqlstate. No clock, no socket. Messages pass by header, in pieces, however large;
// bodies are looked at only for the types that need it, and only their first bytes: a body that is cut by a buffer's end
// is asked for again (More) with at most a few KB in front of it; only a Parse with a name is seen whole, up to maxKept.
// Nothing is allocated per message, but for what a Parse with a name leaves behind.
//
// Named statements where servers are shared: Library is what the clients of a pool share, Shelf what one server has
// prepared of it, roll what the names of one client mean, and named.go what becomes of a message. A Shelf and a Library
// belong to the engine's thread, as the Session does. Names and shelf are changed when a message is sent, and changed
// back when the server turns out not to have done it.
//
// What a Session needs only while something goes on is its work, which goes round: work.go. One that rests has none, so
// every method that may be asked of such a one looks first.
//
// A DEALLOCATE in the extended protocol: dropping.go. Where no transaction block outlives its unit (Single): single.go.
//
// Limits: maxOutstanding messages without a reply (more are held back, which back pressure makes harmless), maxName for
// portal names, maxKept for the text of a statement that is kept, maxStatements and maxStatementBytes for the named ones of a client,
// Shelf.Max for those of a server.
package session
