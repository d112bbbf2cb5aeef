package engine

import (
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/wire"
)

// Conn names one adopted connection, of a client or to a server. Outside mints it; the low 32 bits are an
// index it reuses, the high 32 bits a generation that starts at 1. Zero is no connection.
type Conn uint64

// Index is the part of the name that Outside reuses: small, dense, fit for a table.
func (c Conn) Index() uint32 { return uint32(c) }

// MakeConn joins an index and a generation (at least 1).
func MakeConn(index, generation uint32) Conn { return Conn(generation)<<32 | Conn(index) }

// Server names one server connection, from Dial on. The engine mints it and never uses it twice.
type Server uint64

// Order names one cancel to be carried to a server. The engine mints it and never uses it for another cancel; it may
// Carry it again when the last Carry has been answered by CancelDone.
type Order uint64

// Side names connections to one place over which statements cancel (cancel_fallback = sql). The engine mints it. Zero is
// none: a CancelRequest goes on a connection of its own.
type Side uint64

// Login names one client that authenticated and waits for its Verdict. Outside mints it.
type Login uint64

// Ticket names one CancelRequest, so one connection of a client that waits for its end. Outside mints it.
type Ticket uint64

// How says how a connection is closed.
type How uint8

const (
	// Flush sends what is queued, shuts the writing side down, drains at most 64 KB or one second of what the
	// peer still sends (unread input would turn FIN into RST), then closes.
	Flush How = iota
	// Now drops what is queued and closes at once.
	Now
)

// Buf is bytes lent by Outside: they belong to it. The engine may read them during Data and refer to them in
// Forward during that same call; it keeps no reference afterwards.
type Buf struct {
	Bytes []byte
	ID    uint32 // for the driver's own use
	// More says that when these bytes were taken others may have been waiting behind them, in the socket or in the driver.
	// Another Data follows without being asked for, an empty one if there was nothing (unless the Conn is paused).
	More bool
}

// Outside is all the engine can do to the world. No method calls the engine back, blocks, or fails: what
// becomes of a request arrives later as an event. The production implementation is proxy, the other one sim; one
// contract suite runs against both.
type Outside interface {
	// Forward queues b.Bytes[from:from+n] on to, by reference until Sent accounts for it.
	Forward(to Conn, b Buf, from, n int)
	// Send queues a copy of p on to.
	Send(to Conn, p []byte)
	// Pause asks for no more Data from c. What a read under way brings may still follow, at most a buffer, and is taken.
	Pause(c Conn)
	// Resume undoes Pause.
	Resume(c Conn)
	// Close closes c; Closed follows, once. Nothing else is said of c in between.
	Close(c Conn, how How)
	// Dial opens and logs in a server connection; answered by Dialed or DialFailed.
	Dial(s Server, t Target)
	// Carry opens a connection to the very address of s, with the same encryption, and writes nothing yet; answered by
	// CancelReady, or by CancelDone with NotSent, KeyShared or Refused. Over a side it is a connection of that side: one
	// that rests, if it is clean and still there, else one more, logged in, so that there are never more than orders were
	// ever on the side at a time.
	Carry(o Order, s Server, over Side)
	// Go follows CancelReady: true writes the CancelRequest and reads to EOF, or the statement and reads its reply,
	// answered by CancelDone; false closes the connection unused, or lets one of a side rest, and is not answered. When
	// the answer to either has been read whole the side's connection rests before CancelDone is told.
	Go(o Order, write bool)
	// CloseSide closes the connections of a side that rest, and those in use when their orders are done with them.
	// The side may be used again.
	CloseSide(d Side)
	// Admit answers LoginAsked and Passed. The verdict's slices belong to the caller of LoginAsked from then on.
	Admit(l Login, v Verdict)
	// Release closes the client's cancel connection with FIN. Exactly one for each ticket.
	Release(t Ticket)
	// Emit tells a fact. The event must not be kept beyond the call by reference to engine memory: it has none.
	Emit(e event.Event)
	// Wake asks for one Tick at the given time or soon after; a later Wake replaces it.
	Wake(at time.Duration)
}

// Target is where and as whom a server connection is opened.
type Target struct {
	Entry    config.Database // of the configuration when this was asked for: its password and settings are the driver's
	Host     string          // name, address, or the folder of a Unix socket
	Port     int
	Database string
	User     string
	Timeout  time.Duration // server_connect_timeout, over everything up to ReadyForQuery

	// Replication is the startup parameter of that name for a walsender: "true" or "database"; empty: none. Params are its
	// client's, sent with it in place of our own.
	Replication string
	Params      []wire.Param
}

// Request is what a client asks for at login, authenticated already.
type Request struct {
	Conn     Conn // reserved for it; Data may come as soon as the verdict is out
	Remote   string
	Local    string // where it connected to
	TLS      string // version and cipher, for people; empty: in clear
	User     string
	Database string
	Version  wire.Version // as negotiated: 3.0 or 3.2
	Params   []wire.Param // startup parameters without user, database and _pq_ ones, in order
	// Keys is client_keys of where it connected to, if something is said there.
	Keys   config.Override[config.KeyPolicy]
	Random [20]byte // fresh from the system: 12 for the key, 8 for names of our own
}

// Verdict answers a login.
type Verdict struct {
	OK      bool
	Params  []wire.Param // ParameterStatus to send, in order
	PID     uint32
	Key     []byte // empty: the client gets none (client_keys)
	Refusal []byte // when not OK: a complete ErrorResponse, FATAL
	Server  Server // of a passage: what its server is called
}

// ServerInfo is what a server said while it let us in.
type ServerInfo struct {
	Params []wire.Param // ParameterStatus, in order
	PID    uint32       // 0 when there was no BackendKeyData
	HasKey bool         // whether a cancel can be carried by its key
	Dummy  string       // why not, where it gave a key that is none, for people; empty: it gave a key, or nothing
	Known  bool         // it said who it is, so that a statement can mean it
	Extras bool         // whether it took idle_session_timeout=0 and client_connection_check_interval
	TLS    string       // version and cipher, for people; empty: in clear
	Addr   string       // the IP address that it was reached at; empty: none
	Local  string       // our own end, for people; empty: a Unix socket
}

// Failure is why no server connection came about.
type Failure struct {
	// Refused is set when the server itself answered with an ErrorResponse; Code is its SQLSTATE then.
	Refused bool
	Code    string
	// Unable is set when the server asked for what we don't have: a password, or a method that we don't speak.
	Unable  bool
	Message string // for people, without secrets
}

// CancelRequest is one CancelRequest as read from the network.
type CancelRequest struct {
	PID    uint32
	Key    []byte
	ReadAt time.Duration // when it had been read whole; where another process did, it was not before
	ReadBy time.Duration // and not after; 0: ReadAt is exact
	Remote string
}

// Result is how carrying an order ended.
type Result uint8

const (
	// NotSent: no byte was written (dial or TLS failed). May be tried again.
	NotSent Result = iota
	// Delivered: written whole, then EOF was read.
	Delivered
	// Broken: a byte or more was written and then anything but EOF came, or time ran out.
	Broken
	// KeyShared: no byte was written, because another server has the same key by now: the request could mean either.
	KeyShared
	// Refused: the server answered that it does not carry it out, or does not let us in to ask for it. Nothing was done.
	Refused
)
