// Package test holds the tests of the whole: Cancello as a process of its own in front of real PostgreSQL servers,
// 15 and 18, with raw protocol clients, psql, pgbench and the drivers before it (drivers/README.md).
//
// Bench side: nothing imports it, and it has no code but tests. It may import everything.
//
// What holds:
//   - The program is built once for a run of the tests. Each test starts it on a free port of the loopback address and
//     stops it by its pid; what it logged is shown when the test fails.
//   - Nothing waits for time to pass, but for what is to happen, and never longer than patience.
//   - A version or program that is missing skips the test by name, and fails it where CI is set.
package test
