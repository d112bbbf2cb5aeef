package event

import "time"

// Snapshot is what an engine is like at one moment, for metrics and for the console. It shares no memory with the
// engine.
type Snapshot struct {
	Now       time.Duration // the engine's time, to which all times in it relate
	Draining  bool
	Pools     []PoolState     // by database, then by user
	Tallies   []Tally         // by entry
	Upstreams []UpstreamState // as configured

	Predecessors []Predecessor // processes that were taken over from and still have clients, the latest first. Nor of these
	Peers        []PeerState   // as configured, then other processes of this node. The engine knows nothing of them

	PausedAll        bool     // all databases are paused, also those that come
	Paused, Disabled []string // databases, as clients ask for them; sorted
}

// Predecessor is a process that this one took over from, or one before that.
type Predecessor struct {
	Process int // its pid
	Clients int // that it still has
}

// PoolState is the servers of one database and user, and who wants them.
type PoolState struct {
	Database, User string // as clients ask for it
	Entry          string // the configured database that it is of: its name, or "*"
	Mode           string // pool_mode
	Paused         bool
	Limit          int // most servers

	ClientsActive  int // hold a server
	ClientsIdle    int // between two units, or in the middle of sending one
	ClientsWaiting int // in the line for a server, or for what they are told at login
	OldestWait     time.Duration

	ServersActive   int // held by a client
	ServersIdle     int
	ServersUsed     int // of those idle: for so long that each is asked server_check_query first
	ServersCleaning int // between two clients
	ServersFenced   int // of those being cleaned: kept by a cancel that is on the wire
	ServersDialing  int
	ServersGhost    int // closed while they ran: they count for server_ghost_time

	CancelsGoing   int // on the wire
	CancelsWaiting int // not yet on the wire
}

// Tally is what happened in all pools of one configured database since the start.
type Tally struct {
	Entry    string // its name, or "*"
	Logins   uint64 // clients let in
	Received uint64 // bytes from clients
	Sent     uint64 // bytes to clients
	// Messages of the extended protocol: Parse by clients, Parse to servers (those, and Cancello's own for a statement
	// that a server does not have), Bind.
	ClientParses, ServerParses, Binds uint64

	Wait        Histogram // of each lease: how long the client waited for it; 0 where it was given at once
	Query       Histogram // of each unit: how long a server worked on it
	Transaction Histogram // of each transaction: from its first unit to the end of its last
}

// bounds are the upper ends of a Histogram's buckets; the last bucket has none.
var bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute,
}

// Buckets are the upper ends of a Histogram's buckets, each included in its own; the last bucket has none.
func Buckets() []time.Duration { return bounds[:len(bounds):len(bounds)] }

// Histogram counts times in fixed buckets. The zero value is empty and ready.
type Histogram struct {
	Counts [len(bounds) + 1]uint64
	Sum    time.Duration
}

// Observe counts one time.
func (h *Histogram) Observe(d time.Duration) {
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	h.Counts[i]++
	h.Sum += d
}

// Count is how many times were counted.
func (h *Histogram) Count() uint64 {
	var n uint64
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// ClientState is one client at one moment.
type ClientState struct {
	PID                    uint32 // as Cancello gave it: pid= in the log
	User, Database, Remote string
	State                  string // active, idle, waiting or login
	ConnectedAt            time.Duration
	RequestAt              time.Duration // when the last unit began; 0: none has
	Wait                   time.Duration // in the line so far
	Server                 uint64        // held; 0: none
	Statements             int           // prepared by name, where Cancello follows them
	Local                  string        // where it connected to
	Replication            string        // physical or logical; empty: it is an ordinary client
	ApplicationName        string
	TLS                    string // version and cipher; empty: in clear
}

// ServerState is one server connection at one moment.
type ServerState struct {
	Server                 uint64 // server= in the log
	User, Database, Remote string
	State                  string // active, idle, used (idle, to be asked first), tested (between two clients), being_canceled or new
	DialedAt               time.Duration
	RequestAt              time.Duration // when bytes of a client were sent last; 0: never
	PID                    uint32        // as the server gave it; 0: it gave none
	Client                 uint32        // the pid of the client that holds it; 0: none
	Statements             int           // prepared on it by name, for whom Cancello follows them
	CloseNeeded            bool          // it is closed as soon as nobody holds it
	Local                  string        // where it was connected from; empty: not known, or a Unix socket
	Replication            string        // physical or logical, as its client; empty: it is an ordinary one
	ApplicationName        string
	TLS                    string // version and cipher; empty: in clear
}

// Pausing is how far a pause is.
type Pausing uint8

// The states of a pause.
const (
	NotPaused  Pausing = iota // nobody paused it, or somebody resumed it
	PauseWaits                // some servers are still held or being opened
	PauseHolds                // there is no server any more
)

// Asked is what became of CANCEL, the console's command.
type Asked uint8

// The answers.
const (
	AskedDone     Asked = iota // it is on its way, or the client waited and has been answered
	AskedNobody                // there is no such client
	AskedIdle                  // it runs nothing
	AskedAtCommit              // it may be at a COMMIT, which is not cancelled
)
