package config

import "strconv"

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
	Name     string // the setting, with its database "NAME" or user "NAME" where it has one
	When     When
	Old, New string // for people, without passwords; empty: absent
}

// Diff lists what differs, in the order: general settings, databases, users, peers. Nothing differs: nil.
func Diff(old, updated *Config) []Change {
	list := differences("", general(), old, updated)
	for _, d := range updated.Databases {
		before, there := find(old.Databases, d.Name)
		if !there {
			list = append(list, Change{databaseName(d.Name), NextLease, "", d.String()})
			continue
		}
		list = append(list, differences(databaseName(d.Name)+" ", ofDatabase(), &before, &d)...)
	}
	for _, d := range old.Databases {
		if _, there := find(updated.Databases, d.Name); !there {
			list = append(list, Change{databaseName(d.Name), NextLease, d.String(), ""})
		}
	}
	for _, u := range updated.Users {
		before := old.user(u.Name)
		list = append(list, differences(userName(u.Name)+" ", ofUser(), &before, &u)...)
	}
	for _, u := range old.Users {
		if updated.user(u.Name).Name == "" {
			list = append(list, differences(userName(u.Name)+" ", ofUser(), &u, &User{})...)
		}
	}
	return append(list, peerChanges(old.Peers, updated.Peers)...)
}

func differences[T any](prefix string, table []setting[T], old, updated *T) []Change {
	var list []Change
	for _, s := range table {
		if s.same(old, updated) {
			continue
		}
		c := Change{prefix + s.name, s.when, s.value(old), s.value(updated)}
		if c.Old == c.New { // a secret: that it changed is all there is to say
			c.New += " (changed)"
		}
		list = append(list, c)
	}
	return list
}

// Keep returns updated with what only a new process can change as it was in old. The result is to be validated: its
// parts were never together before.
func Keep(old, updated Config) Config {
	for _, s := range general() {
		if s.when == Restart && !s.same(&old, &updated) {
			_ = s.set(&updated, s.value(&old)) // what was in force is allowed
		}
	}
	return updated
}

func databaseName(name string) string { return "database " + strconv.Quote(name) }

func userName(name string) string { return "user " + strconv.Quote(name) }
