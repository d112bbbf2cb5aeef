package config

import (
	"errors"
	"strconv"
	"time"
)

// Network is what holds for TCP connections, on both sides. What is 0 is left to the operating system.
type Network struct {
	Keepalive    bool          // tcp_keepalive: the system asks whether the other side is still there
	KeepCount    int           // tcp_keepcnt: questions without an answer
	KeepIdle     time.Duration // tcp_keepidle: silence before the first question; whole seconds
	KeepInterval time.Duration // tcp_keepintvl: between two; whole seconds
	UserTimeout  time.Duration // tcp_user_timeout: sent and not acknowledged for that long
}

// DatabaseNetwork is what a database says of the connections to its servers by itself, in libpq's words.
type DatabaseNetwork struct {
	Keepalive    Override[bool]          // keepalives
	KeepCount    Override[int]           // keepalives_count
	KeepIdle     Override[time.Duration] // keepalives_idle
	KeepInterval Override[time.Duration] // keepalives_interval
	UserTimeout  Override[time.Duration] // tcp_user_timeout
}

// NetworkOf is what holds for connections to the servers of d.
func (c *Config) NetworkOf(d Database) Network {
	return Network{
		Keepalive:    d.Network.Keepalive.Or(c.Network.Keepalive),
		KeepCount:    d.Network.KeepCount.Or(c.Network.KeepCount),
		KeepIdle:     d.Network.KeepIdle.Or(c.Network.KeepIdle),
		KeepInterval: d.Network.KeepInterval.Or(c.Network.KeepInterval),
		UserTimeout:  d.Network.UserTimeout.Or(c.Network.UserTimeout),
	}
}

// DNS is how long what the name service says of upstreams is remembered.
type DNS struct {
	MaxTTL      time.Duration // dns_max_ttl: addresses
	NXDomainTTL time.Duration // dns_nxdomain_ttl: that there is no such name
}

// maxKeepCount is Linux's MAX_TCP_KEEPCNT.
const maxKeepCount = 127

const theSystems = "the operating system's"

// ofNetwork is the part of the general table about connections.
func ofNetwork() []setting[Config] {
	return []setting[Config]{
		{table: "network", name: "tcp_keepalive", about: "has the operating system ask whether silent TCP connections are still there, those of clients and those to servers; this and what follows is for connections to come",
			yes: func(c *Config) *bool { return &c.Network.Keepalive }},
		{table: "network", name: "tcp_keepcnt", about: "questions without an answer before a connection is given up; 0: " + theSystems, min: 0, max: maxKeepCount,
			number: func(c *Config) *int { return &c.Network.KeepCount }},
		{table: "network", name: "tcp_keepidle", about: "silence before the first question, rounded up to seconds", zero: theSystems,
			duration: func(c *Config) *time.Duration { return &c.Network.KeepIdle }},
		{table: "network", name: "tcp_keepintvl", about: "time between two questions, rounded up to seconds", zero: theSystems,
			duration: func(c *Config) *time.Duration { return &c.Network.KeepInterval }},
		{table: "network", name: "dns_max_ttl", about: "how long the addresses of an upstream's name are remembered. They are asked for again after that; servers at an address that the name no longer has are closed when they are free", zero: "not at all: each connection asks",
			duration: func(c *Config) *time.Duration { return &c.DNS.MaxTTL }},
		{table: "network", name: "dns_nxdomain_ttl", about: "how long it is remembered that there is no such name", zero: "not at all",
			duration: func(c *Config) *time.Duration { return &c.DNS.NXDomainTTL }},
		{table: "network", name: "tcp_user_timeout", about: "a connection is given up when what was sent is not acknowledged for that long (a number is seconds, PgBouncer's is milliseconds)", zero: theSystems,
			duration: func(c *Config) *time.Duration { return &c.Network.UserTimeout }},
	}
}

// ofDatabaseNetwork is the same of one database, for its servers.
func ofDatabaseNetwork() []setting[Database] {
	return []setting[Database]{
		{name: "keepalives", about: "`tcp_keepalive` of its servers; in a DSN 1 or 0", absent: inherited,
			given: func(d *Database) *bool { return &d.Network.Keepalive.Given }, yes: func(d *Database) *bool { return &d.Network.Keepalive.Value }},
		{name: "keepalives_count", about: "`tcp_keepcnt` of its servers", absent: inherited, min: 0, max: maxKeepCount,
			given: func(d *Database) *bool { return &d.Network.KeepCount.Given }, number: func(d *Database) *int { return &d.Network.KeepCount.Value }},
		{name: "keepalives_idle", about: "`tcp_keepidle` of its servers", absent: inherited, zero: theSystems,
			given: func(d *Database) *bool { return &d.Network.KeepIdle.Given }, duration: func(d *Database) *time.Duration { return &d.Network.KeepIdle.Value }},
		{name: "keepalives_interval", about: "`tcp_keepintvl` of its servers", absent: inherited, zero: theSystems,
			given: func(d *Database) *bool { return &d.Network.KeepInterval.Given }, duration: func(d *Database) *time.Duration { return &d.Network.KeepInterval.Value }},
		{name: "tcp_user_timeout", about: "the general one, for its servers; in a DSN a number of milliseconds, as libpq has it", absent: inherited, zero: theSystems,
			given: func(d *Database) *bool { return &d.Network.UserTimeout.Given }, duration: func(d *Database) *time.Duration { return &d.Network.UserTimeout.Value }},
	}
}

// network reads libpq's words for a connection: numbers, of seconds but for tcp_user_timeout. A negative one is 0, as in
// libpq.
func (p *dsnParams) network() (DatabaseNetwork, error) {
	var n DatabaseNetwork
	for _, one := range []struct {
		name, text string
		max        int
		take       func(int)
	}{
		{"keepalives", p.keepalives, 1 << 31, func(i int) { n.Keepalive = Give(i != 0) }},
		{"keepalives_count", p.keepCount, maxKeepCount, func(i int) { n.KeepCount = Give(i) }},
		{"keepalives_idle", p.keepIdle, int(maxDuration / time.Second), func(i int) { n.KeepIdle = Give(time.Duration(i) * time.Second) }},
		{"keepalives_interval", p.keepInterval, int(maxDuration / time.Second), func(i int) { n.KeepInterval = Give(time.Duration(i) * time.Second) }},
		{"tcp_user_timeout", p.userTimeout, 1<<31 - 1, func(i int) { n.UserTimeout = Give(time.Duration(i) * time.Millisecond) }},
	} {
		if one.text == "" {
			continue
		}
		i, err := strconv.Atoi(one.text)
		if err != nil || i > one.max {
			return n, errors.New(one.name + " must be a number, " + strconv.Itoa(one.max) + " at most")
		}
		one.take(max(i, 0))
	}
	return n, nil
}
