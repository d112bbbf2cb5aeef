// Package session is one client's life at the protocol: its units, the replies it still gets, its transaction state, its
// unnamed statement.
//
// A Session looks at the client's bytes (Up) and at the server's (Down) and returns verdicts: pass these bytes, drop
// them, put others in their place, a unit begins here, a unit ended here. It calls nobody. The engine carries the
// verdicts out and asks the questions on which lease and cancel depend: is anything unfinished, may the server go to
// somebody else, what must be sent for a client that is gone.
//
// Ring 1: imports unit, wire, sqlstate. No clock, no socket. Messages pass by header, in pieces, however large;
// bodies are looked at only for the types that need it, and only their first bytes: a body that is cut by a buffer's end
// is asked for again (More) with at most a few KB in front of it. Nothing is allocated per message.
//
// Limits: maxOutstanding messages without a reply (more are held back, which back pressure makes harmless), maxName for
// portal names, maxKept for the text of an unnamed statement.
package session
