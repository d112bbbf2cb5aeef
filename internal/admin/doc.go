// Package admin is what people and their tools ask a running Cancello: over HTTP, is it well, is it ready, what does it
// count; and at the console, the database "cancello", in SQL's clothes, who is here and what happened.
//
// Role: a driver. It may import config, event, sqlstate and wire; of other drivers nothing. What it shows and does is
// given to it by app: it knows neither the engine nor the loop. The console's protocol is pgproto3's, in plain
// goroutines: it may be slow, and nobody waits for it.
//
// Where to look: http.go; console.go (who may), talk.go and extended.go (the protocol), limit.go (how many), statement.go (what
// was said), table.go, show.go, views.go, lists.go, upstreams.go and peers.go (what is shown), orders.go (what is commanded),
// interrupt.go (a cancel of what waits), cancels.go and samples.go (what is remembered for that).
//
// Invariants: nothing here runs on the loop, and a client of this package that is slow or silent keeps nobody waiting
// but itself: every wait has a deadline. Close ends every goroutine.
//
// A name that nobody had to prove is worth nothing to the console but on this machine.
//
// Limits: maxConns HTTP connections and maxConsoles consoles at a time; maxHeader bytes of a request's header and
// maxMessage of a message; no request body is read; keptCancels cancels are remembered, and keptNobodys that mean nobody.
package admin
