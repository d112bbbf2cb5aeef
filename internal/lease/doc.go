// Package lease says who holds which server: the waiting line, the limits, what has to be done to a server before
// it goes to somebody else, and which settings a client needs on it.
//
// It is a box of small rules without effects: Pool counts and orders, Settings compares, Chores lists, Asked reads what a
// startup packet asks for, Accepted remembers what servers took of it. The engine asks and carries out. Ring 1: imports wire only. No clock, no socket.
//
// Invariants: a server is in at most one of idle, leased, on its way to being clean; live, dialing and ghost servers
// together never exceed the limit; the line is served first come, first served.
package lease
