// Package config is everything a running Cancello can be told: values, their bounds, and what it takes to change
// them.
//
// Role: Default begins; Parse (a file's content), Set and ParseDSN fill in what was given, Validate says all that is
// wrong with the result, Share what holds for one database and user, and Diff what differs between two results and when
// that takes hold. Files, flags and the environment are read elsewhere and come in as text.
//
// It imports pure parts of the standard library, and a TOML parser. It does not resolve names or look at files.
//
// Invariants: every setting is one line of a table (general.go, entries.go), from which Parse, Set, Validate, Diff, the
// help and docs/configuration.md are all made; an error names the setting, what was given and what is allowed, where it
// is in the file, and never a password or a part of a DSN or file that could be one; Set leaves the Config as it was
// when it fails. Nothing that prints a Config or a Database prints a password, whether
// by fmt or by an encoding that asks MarshalText.
package config
