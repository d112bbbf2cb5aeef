// Package pgtest gives tests real PostgreSQL servers and PostgreSQL's own programs, in the versions they name.
//
// Bench side: only tests import it. It may import internal/postgres.
//
// What holds:
//   - One cluster for each version and test binary is shared by the tests that ask for nothing special; it is
//     stopped, with its folder, by Main. Whoever needs other settings, or kills the server, has one of his own.
//   - A version or program that is not on this machine skips the test by name. Where CI is set it fails instead.
//   - Tests of several binaries run side by side: ports and folders are their own.
package pgtest
