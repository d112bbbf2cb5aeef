package event

import "time"

// Event is a fact that happened. Consumers switch on the concrete type.
type Event interface{ event() }

// Outcome is how one CancelRequest ended. Each request has exactly one.
type Outcome uint8

// The outcomes, in the order of a cancel's way.
const (
	Cancelled    Outcome = iota // the server ended the unit with 57014 after a send
	Late                        // sent, but the unit ended otherwise
	Finished                    // the unit had ended before anything was sent
	Swallowed                   // sent, and still running at cancel_timeout: left to PostgreSQL
	Idle                        // the client had nothing running
	Unqueued                    // the unit was waiting for a server and was answered 57014 by Cancello
	Disconnected                // its server was closed while the unit ran: it has no key of its own, or the cancel broke off
	UnknownKey                  // no client has this key
	Forged                      // a 3.2 key whose MAC is wrong
	Malformed                   // not a CancelRequest we could read a key from
	Failed                      // could not be delivered within cancel_timeout
	Forwarded                   // passed on: unjudged, as it came (pool_mode = passthrough), or to the node it is for (Owner)
	Unsupported                 // nothing can be sent that would mean this client alone
	SQL                         // as Cancelled, by a statement (cancel_fallback)
	Throttled                   // for another process, and there are too many such already
)

var outcomeNames = [...]string{"cancelled", "late", "finished", "swallowed", "idle", "unqueued", "disconnected", "unknown_key", "forged", "malformed", "failed", "forwarded", "unsupported", "sql", "throttled"}

// String is the name used in logs and metrics.
func (o Outcome) String() string { return outcomeNames[o] }

// Outcomes is how many there are.
const Outcomes = len(outcomeNames)

// CancelSettled: a CancelRequest reached its outcome. No key is in it.
type CancelSettled struct {
	Outcome        Outcome
	Ticket         uint64 // 0 for a cancel of Cancello's own
	Remote         string // where the request came from; empty for our own
	User, Database string // of the client it named; empty when unknown
	PID            uint32 // the client's pid as we gave it
	Unit           uint64 // serial of the unit; 0 where none was meant
	Kind           string // "query", "batch", "function call"; empty where none was meant
	Sends          int    // how often it went out to the server
	Took           time.Duration
	Reason         string // for people: why it failed
	Cause          string // of a cancel of Cancello's own, as the setting or command is called; empty: a client asked
	Via            Peer   // the node that read the request and passed it on to this one
	// Owner is the node that the request was passed on to. Where the outcome is Forwarded, There is its outcome at that node
	// (Forwarded: went there as a plain CancelRequest, of which nothing is heard), and User to Sends and Reason are as
	// that node told them.
	Owner Peer
	There Outcome
}

// Peer is another node; the zero value is none.
type Peer uint16

// PeerOf is the Peer of a node's number.
func PeerOf(node uint16) Peer { return Peer(node) + 1 }

// Node is its number; ok is false for none.
func (p Peer) Node() (node uint16, ok bool) { return uint16(p) - 1, p != 0 }

// DummyKey: what an upstream gives for cancel keys is none. Told once.
type DummyKey struct {
	Upstream string
	Reason   string // for people
}

// ClientJoined: a client was let in.
type ClientJoined struct {
	PID                    uint32
	User, Database, Remote string
}

// ClientLeft: a client is gone, for the reason given.
type ClientLeft struct {
	PID            uint32
	User, Database string
	Reason         string
}

// ServerOpened: a server connection is ready. User and Database are as clients ask for them; As is who logged in.
type ServerOpened struct {
	Server                 uint64
	User, Database, Remote string
	PID                    uint32
	HasKey                 bool
	As                     string
}

// ServerClosed: a server connection is gone, for the reason given.
type ServerClosed struct {
	Server         uint64
	User, Database string
	Reason         string
}

// DialFailed: a server connection could not be opened.
type DialFailed struct {
	Server                 uint64
	User, Database, Remote string
	Reason                 string
}

// UpstreamFailing: servers can't be opened at one of several upstreams; until it is back the others serve.
type UpstreamFailing struct{ Upstream, Reason string }

// UpstreamBack: they can again, so long after the first failure.
type UpstreamBack struct {
	Upstream string
	After    time.Duration
}

// Drained: a drain is over, no client is left.
type Drained struct{}

func (CancelSettled) event()   {}
func (DummyKey) event()        {}
func (ClientJoined) event()    {}
func (ClientLeft) event()      {}
func (ServerOpened) event()    {}
func (ServerClosed) event()    {}
func (DialFailed) event()      {}
func (LoginRefused) event()    {}
func (Drained) event()         {}
func (UpstreamFailing) event() {}
func (UpstreamBack) event()    {}
