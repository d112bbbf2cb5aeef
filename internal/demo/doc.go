// Package demo is `cancello demo`: a throwaway PostgreSQL, Cancello in front of it in this process, and a tour of
// cancel in five scenes for a person to watch.
//
// Ring 3: it may import everything but cli and the bench side. Its clients are its own, on package wire, so that
// nothing of the caller's environment reaches them.
//
// What holds:
//   - Nothing is shown that was not seen: each line with a tick is a check of this very run, its figures were
//     measured in it. If something else is seen, the demo says what, and Command returns an error.
//   - What PostgreSQL does is seen by a watcher that is connected to it directly; what Cancello says of a cancel is
//     its event. A cancel is known by the address it came from.
//   - It leaves nothing behind, also when it is interrupted in the middle: no process, no folder, nothing in a cache.
//   - Nothing listens but on 127.0.0.1, on ports that were free.
//
// Limits: the tour ends within tourLimit, whatever happens. Keys are never shown, only how long they are.
package demo
