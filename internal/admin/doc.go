// Package admin is what people and their tools ask a running Cancello over HTTP: is it well, is it ready, what does it
// count.
//
// Role: a driver. It may import config, event, sqlstate and wire; of other drivers nothing. What it shows and does is
// given to it by app: it knows neither the engine nor the loop.
//
// Invariants: nothing here runs on the loop, and a client of this package that is slow or silent keeps nobody waiting
// but itself: every wait has a deadline. Close ends every goroutine.
//
// Limits: maxConns HTTP connections at a time; maxHeader bytes of a request's header; no request body is read.
package admin
