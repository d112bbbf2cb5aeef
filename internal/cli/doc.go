// Package cli is the command line: flags in, a running App out, errors as a person reads them.
//
// Role: the top of the house. It may import app, demo and probe, and cobra for the flags.
//
// Invariants: standard output carries only what was asked for (version, help); everything else goes to standard
// error. The exit status is 0 for success, 1 when something went wrong while running, 2 when the command line
// itself was wrong or a check could not be made. An error is a line for each fault, without a stack and without a password.
package cli
