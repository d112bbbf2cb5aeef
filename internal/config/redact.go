package config

import "strings"

// String is the database for people, without its password.
func (d Database) String() string {
	return d.Name + ": " + strings.Join(said(ofDatabase(), &d), " ")
}

// GoString is String, so that %#v has no password either.
func (d Database) GoString() string { return d.String() }

// MarshalText is String, so that encoders and structured loggers, which ask for it, have no password either.
func (d Database) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String is the user for people.
func (u User) String() string { return u.Name + ": " + strings.Join(said(ofUser(), &u), " ") }

// Own lists what the database has in place of what is general, as NAME VALUE.
func (d Database) Own() []string { return own(ofDatabase(), &d) }

// Own lists what the user has in place of what its database has, as NAME VALUE.
func (u User) Own() []string { return own(ofUser(), &u) }

func own[T any](table []setting[T], c *T) []string {
	var list []string
	for _, s := range table {
		if s.given != nil && *s.given(c) {
			list = append(list, s.name+" "+s.value(c))
		}
	}
	return list
}

// said lists what an entry says, as NAME=VALUE, without secrets.
func said[T any](table []setting[T], c *T) []string {
	var list []string
	for _, s := range table {
		if v := s.value(c); v != "" {
			list = append(list, s.name+"="+v)
		}
	}
	return list
}
