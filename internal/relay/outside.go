package relay

import (
	"time"

	"cancello/internal/event"
)

// Link names one session of a link. Outside mints it and never uses it twice; zero is none.
type Link uint32

// Ticket names one CancelRequest, as an engine.Ticket does. Those of Asked and AskedHere are Outside's; those of Judge are
// ours, with the highest bit set, so that they are never equal.
type Ticket uint64

// arrived marks the tickets of requests that came in over a link.
const arrived Ticket = 1 << 63

// Arrived tells whether a ticket is of a request that came in over a link: what the engine says of it, Released and
// Settled, is for the Relay.
func (t Ticket) Arrived() bool { return t&arrived != 0 }

// Request is one CancelRequest as it was read from a client. Moments are of the clock of the process that holds it; for one
// that came over a link that is a guess, with these bounds.
type Request struct {
	PID    uint32
	Key    []byte        // its own: nobody changes it
	ReadAt time.Duration // it had been read whole then, or later
	ReadBy time.Duration // and not after this; zero: ReadAt is exact
	Remote string        // address of the client
}

// Far is who is at the other end of a link.
type Far struct {
	Node        uint16
	Incarnation uint64 // random, of the process
	// Kin says that it is another process of this node: one that we took over from, or that took over from us.
	Kin bool
}

// Fallback says when a request goes to a peer as a plain CancelRequest.
type Fallback uint8

// When a peer gets plain CancelRequests.
const (
	Never     Fallback = iota // sslmode = require: a link, or nothing
	WithoutIt                 // sslmode = prefer: while there is no link
	Always                    // sslmode = disable
)

// Peer is another node of the configuration.
type Peer struct {
	Node  uint16
	Plain Fallback
}

// Config is what holds from Configure on.
type Config struct {
	Node    uint16
	Peers   []Peer
	Timeout time.Duration // cancel_timeout
	// MaxAsks is how many requests for one node may be carried at a time, how many more may wait for a place, and how many
	// others may have with us (twice that); 0: 1,000. What keys of four bytes have of it is in place.go.
	MaxAsks int
}

// Outside is all that a Relay can do to the world. No method calls it back, blocks, or fails: what becomes of it comes as
// an event.
type Outside interface {
	// Say queues a message on a link. Where the queue is full the driver drops the link, and says LinkDown.
	Say(l Link, m Message)
	// Cut ends a link, whose other end has fallen silent. LinkDown follows.
	Cut(l Link, reason string)
	// Plain carries a request to a peer's address as a plain CancelRequest, and reads to EOF; answered by PlainDone.
	Plain(t Ticket, node uint16, r Request)
	// Judge gives a request to our own engine as read at r.ReadAt; answered by Unknown where the engine does not know its
	// key, otherwise by Released and Settled.
	Judge(t Ticket, r Request)
	// Release closes the client's cancel connection with FIN. Exactly one for each ticket of Asked and AskedHere. guess says
	// that its key, of four bytes, was nobody's: it may be kept for a while, as where it is known at once.
	Release(t Ticket, guess bool)
	// Emit tells a fact.
	Emit(e event.Event)
	// Wake asks for one Tick at the given time or soon after; a later Wake replaces it.
	Wake(at time.Duration)
}
