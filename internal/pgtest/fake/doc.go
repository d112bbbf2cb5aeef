// Package fake holds both ends of the protocol as tests want them: a scripted backend that can be every odd
// server, and a raw client that sends exactly the bytes it is told.
//
// Role: bench side. Never imported by what is shipped. It has a codec of its own (Msg, Startup, Cancel), so that
// a mistake in the shipped one cannot hide itself. It may import the standard library and xdg-go/scram.
//
// Invariants: everything listens on 127.0.0.1, every read and write has a deadline, and Close waits for every
// goroutine. The default backend behaves as PostgreSQL 18 does where a test can tell: it signals once, closes the
// cancel connection after the signal, swallows a cancel that finds it idle, and remembers what it was sent.
//
// Limits: SQL is not understood. See Answer for the handful of statements that do something.
package fake
