package event

import (
	"strconv"
	"time"
)

// UpstreamState is one place of PostgreSQL at one moment.
type UpstreamState struct {
	Host      string
	Port      int
	Addrs     []string // that the host has, if it is a name that was looked up
	Entries   []string // the configured databases that are there, in their order
	State     string   // up, failing, or new: nobody has asked for a server there
	FailingAt time.Duration
	LastError string // of the failures in a row; empty: none
	Servers   int    // open
	Dialing   int
	Sides     int    // connections over which statements cancel; not the engine's to know
	Opened    uint64 // since the start
	Fails     uint64 // dials that came to nothing, since the start
	TLS       string // of the server opened last: version and cipher; empty: in clear, or none yet
	Version   string // server_version of the server opened last
	Key       string // what it sends to cancel with: none, dummy; empty: not known, or a key that can be used
}

// Name is host and port as in the log.
func (u UpstreamState) Name() string { return u.Host + ":" + strconv.Itoa(u.Port) }
