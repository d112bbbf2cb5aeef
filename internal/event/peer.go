package event

import "time"

// PeerUp: there is a link to another node, where there was none.
type PeerUp struct {
	Node   uint16
	Remote string
	Dialed bool // by us
}

// PeerDown: there is none any more, or the first attempts came to nothing. It is told once until there is one.
type PeerDown struct {
	Node            uint16
	Address, Reason string
}

// PeerRefused: somebody came to the peers' listener who is no peer.
type PeerRefused struct{ Remote, Reason string }

func (PeerUp) event()      {}
func (PeerDown) event()    {}
func (PeerRefused) event() {}

// PeerState is one other node at one moment, or another process of this node.
type PeerState struct {
	Node      uint16
	Kin       bool // another process of this node
	Address   string
	Mode      string // sslmode
	Up        bool   // there is a link
	For       time.Duration
	RoundTrip time.Duration // of the last ping; 0: none yet
	LastError string        // why the link ended the last time, or could not be opened
	// Requests since the start: those of our clients for that node (under way, in all, those whose outcome it told, those
	// that failed and those that were too many), and those that it passed on to us.
	Open, Asked, Answered, Failed, Throttled, Arrived uint64
}
