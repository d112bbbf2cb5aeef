// Package app is the composition: it builds a running Cancello from a configuration, and drains and stops it.
//
// Role: the top of the house, the only place besides cli and demo that sees all of it. It decides nothing about
// connections.
//
// Invariants: what can be found wrong before anything listens is found then, with an error of one line that says
// what to do; after an error nothing is left running. Stop leaves no goroutine and no descriptor behind. Secrets
// that only live as long as the process (mock salts, the keys' MAC) are made here and kept nowhere else.
//
// Limits: one loop. GOMAXPROCS is set to one more than the runtime would choose, for it, unless the environment
// says otherwise, and only then is a processor the loop's own; that is the one thing here that outlives Stop.
package app
