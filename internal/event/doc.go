// Package event holds the typed facts that happened: the one source of logs, metrics and tests' traces.
//
// It imports nothing but the standard library's pure parts, has no sink and no state. Events carry values, never
// references into the engine, and never a key, a password or a message body.
package event
