package config

import (
	"strconv"
	"strings"
)

// When says what it takes for a change to hold.
type When uint8

// The moments.
const (
	Live      When = iota // at once
	NextLease             // when a client is next given a server; until then it keeps what it began with
	Restart               // only in a new process
)

// String is the moment for people.
func (w When) String() string { return [...]string{"live", "next lease", "restart"}[w] }

// Change is one thing that differs between two configurations.
type Change struct {
	Name     string // the setting, or database "NAME"
	When     When
	Old, New string // for people, without passwords; empty: absent
}

// Diff lists what differs, in the order: what needs a restart, settings, databases. Nothing differs: nil. Where one
// change needs a restart the caller decides whether to take the others.
func Diff(old, updated *Config) []Change {
	var list []Change
	add := func(name string, when When, a, b string) {
		if a != b {
			list = append(list, Change{name, when, a, b})
		}
	}
	add("listen", Restart, strings.Join(old.Listen, ", "), strings.Join(updated.Listen, ", "))
	add("auth", Restart, old.Auth.Method.String(), updated.Auth.Method.String())
	add("auth_file", Restart, old.Auth.File, updated.Auth.File)
	add("allow_remote_trust", Restart, strconv.FormatBool(old.AllowRemoteTrust), strconv.FormatBool(updated.AllowRemoteTrust))
	for _, s := range settings() {
		add(s.name, s.when, s.value(old), s.value(updated))
	}
	for _, d := range updated.Databases {
		before, there := find(old.Databases, d.Name)
		switch {
		case !there:
			add(databaseName(d), NextLease, "", d.String())
		case before.Password != d.Password: // which String leaves out
			list = append(list, Change{databaseName(d), NextLease, before.String(), d.String() + " (password changed)"})
		default:
			add(databaseName(d), NextLease, before.String(), d.String())
		}
	}
	for _, d := range old.Databases {
		if _, there := find(updated.Databases, d.Name); !there {
			add(databaseName(d), NextLease, d.String(), "")
		}
	}
	return list
}

// Needs is the hardest of the changes: Restart before NextLease before Live. No change is Live.
func Needs(changes []Change) When {
	most := Live
	for _, c := range changes {
		most = max(most, c.When)
	}
	return most
}

func databaseName(d Database) string { return "database " + strconv.Quote(d.Name) }

func find(list []Database, name string) (Database, bool) {
	for _, d := range list {
		if d.Name == name {
			return d, true
		}
	}
	return Database{}, false
}
