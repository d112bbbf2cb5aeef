package config

import "fmt"

// String is the database for people, without its password.
func (d Database) String() string {
	s := fmt.Sprintf("%s: host=%s port=%d", d.Name, d.Host, d.Port)
	if d.DBName != "" {
		s += " dbname=" + d.DBName
	}
	if d.User != "" {
		s += " user=" + d.User
	}
	if d.Password != "" {
		s += " password=***"
	}
	return s
}

// GoString is String, so that %#v has no password either.
func (d Database) GoString() string { return d.String() }

// MarshalText is String, so that encoders and structured loggers, which ask for it, have no password either.
func (d Database) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
