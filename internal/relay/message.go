package relay

import (
	"time"

	"cancello/internal/event"
)

// Message is one of those below.
type Message interface{ kind() byte }

// Ping asks for the other end's clock. Sent is the sender's.
type Ping struct{ Sent time.Duration }

// Pong answers a Ping: Sent comes back as it was, Clock is its receiver's.
type Pong struct{ Sent, Clock time.Duration }

// Ask passes a CancelRequest on.
type Ask struct {
	ID      uint64 // the sender's, for one request; a repeat has the same
	Origin  Origin // of one that came to the sender over a link; zero: it is its own client's
	Request        // ReadAt and ReadBy are of the receiver's clock
	// Local says that it goes no further, not even to other processes of the receiver's node.
	Local bool
	Left  time.Duration // how long the sender may still come back with it
}

// Origin names a request across the cluster: the incarnation of the process that read it, and that one's ID for it. It may
// come to its owner by two ways, when a process takes over while it is under way.
type Origin struct{ Incarnation, ID uint64 }

// Released: nothing of what was asked is on the wire any more.
type Released struct{ ID uint64 }

// Settled is the outcome at the owner; if Released has not been said before, it is with this.
type Settled struct {
	ID      uint64
	Outcome event.Outcome
	// As in event.CancelSettled.
	User, Database string
	Unit           uint64
	Kind           string
	Sends          int
	Took           time.Duration
	Reason         string
}

// Done answers Settled: the sender has it, and will not ask again.
type Done struct{ ID uint64 }

// Leaving: the process ends, and nobody of its clients is left. It is for other processes of its node: what they asked and
// it has not answered it has not heard.
type Leaving struct{}

// Yielded: another process of the sender's node has taken its place. It is for who dials: where the sender was reached
// that one is now, and this link stays for as long as the sender does.
type Yielded struct{}

// The kinds, as on the wire.
const (
	kindPing byte = 1 + iota
	kindPong
	kindAsk
	kindReleased
	kindSettled
	kindDone
	kindLeaving
	kindYielded
)

func (Ping) kind() byte     { return kindPing }
func (Pong) kind() byte     { return kindPong }
func (Ask) kind() byte      { return kindAsk }
func (Released) kind() byte { return kindReleased }
func (Settled) kind() byte  { return kindSettled }
func (Done) kind() byte     { return kindDone }
func (Leaving) kind() byte  { return kindLeaving }
func (Yielded) kind() byte  { return kindYielded }
