// Package config is everything a running Cancello can be told: values, their bounds, and what it takes to change
// them.
//
// Role: Default begins, Set and ParseDSN fill in what was given, Validate says all that is wrong with the result, and
// Diff what differs between two results and when that takes hold. Files, flags and the environment are read
// elsewhere and come in as text.
//
// It imports nothing but pure parts of the standard library. It does not resolve names or look at files.
//
// Invariants: every setting is one line of a table, from which Set, Validate and Diff all work; an error names the
// setting, what was given and what is allowed, and never a password or a part of a DSN that could be one; Set
// leaves the Config as it was when it fails. Nothing that prints a Config or a Database prints a password, whether
// by fmt or by an encoding that asks MarshalText.
package config
