package config

import "time"

// Config is everything a running Cancello can be told. The zero value is not usable: begin with Default. The meaning,
// unit, bounds and default of each setting are in the tables of general.go and entries.go, and in
// docs/configuration.md, which is made of them.
type Config struct {
	Listen    []string   // host:port each, the folder of a Unix socket, or @name
	Socket    Socket     // how Unix sockets appear
	Databases []Database // what clients may ask for
	Users     []User     // who has values of their own
	Cluster   Cluster    // this node among the others
	Peers     []Peer     // the others
	Auth      Auth       // how clients prove who they are
	Pool      Pool
	Timeouts  Timeouts
	Limits    Limits // how long clients may take
	Cancel    Cancel
	TLS       TLS
	Network   Network // of TCP connections
	DNS       DNS
	// AllowRemoteTrust lets Trust listen on an address that is not loopback.
	AllowRemoteTrust bool
	HTTP             string // where health and metrics are served, as HOST:PORT or PORT; empty: nowhere
	LogFormat        LogFormat
	Takeover         string // takeover_socket: where a new process finds this one; empty: nowhere
}

// Console is the database that is the console: no upstream can have that name.
const Console = "cancello"

// LogFormat is the form of the log's lines (log_format).
type LogFormat uint8

// The forms.
const (
	LogText LogFormat = iota // key=value
	LogJSON                  // an object each
)

// Override is a value that a database or a user may have in place of the general one.
type Override[T any] struct {
	Given bool
	Value T
}

// Give makes an Override that holds.
func Give[T any](v T) Override[T] { return Override[T]{true, v} }

// Or is the value, or the general one where none is given.
func (o Override[T]) Or(general T) T {
	if o.Given {
		return o.Value
	}
	return general
}

// Database is one entry of what clients may ask for.
type Database struct {
	Name     string // as clients ask for it; "*" for any other
	Host     string // name, address, or the folder of a Unix socket; or several, with commas between them
	Port     int    // 1 to 65535, of each host
	Ports    string // where they differ: one for each host, with commas between them; Port is the first then
	DBName   string // on the server; empty: as the client asked
	User     string // forced user: logs in for every client; empty: the client's own
	Password string // for the server; empty: from the auth file, the environment or a passfile. Secret

	PoolSize   Override[int]
	Mode       Override[Mode]
	QueryWait  Override[time.Duration]
	ServerIdle Override[time.Duration]
	Balance    Override[Balance] // in which order several hosts are tried
	Bounds     DatabaseBounds
	Keys       Override[KeyPolicy]
	TLS        DatabaseTLS
	Network    DatabaseNetwork
	Cancel     DatabaseCancel
}

// User is what holds for clients that log in under one name, in place of what is general and of what their database
// has.
type User struct {
	Name      string
	PoolSize  Override[int]
	Mode      Override[Mode]
	QueryWait Override[time.Duration]
	Limits    UserLimits
	Bounds    UserBounds
}

// Mode is when a server goes back to the pool (pool_mode).
type Mode uint8

// The modes.
const (
	Session     Mode = iota // when the client leaves
	Transaction             // when the transaction ends
	Statement               // when the statement ends: there are no transaction blocks
	Passthrough             // never: one client, one server, and what they say goes through as it comes, login and all
)

// String is the word of pool_mode.
func (m Mode) String() string { return modeWords()[m] }

// Method is how clients prove who they are (auth_type).
type Method uint8

// The methods.
const (
	Trust Method = iota
	Plain
	MD5
	SCRAM
	Cert
)

func methods() []string { return []string{"trust", "plain", "md5", "scram-sha-256", "cert"} }

// Listed says whether the method looks into auth_file.
func (m Method) Listed() bool { return m == Plain || m == MD5 || m == SCRAM }

// String is the word of auth_type.
func (m Method) String() string { return methods()[m] }

// Auth is how clients prove who they are.
type Auth struct {
	Method Method
	File   string // auth_file: PgBouncer's userlist; needed by Plain, MD5 and SCRAM

	FailedDelay time.Duration // failed_login_delay: most that an address waits after logins that failed; 0 nothing

	AdminUsers []string // admin_users: may give commands at the console
	StatsUsers []string // stats_users: may look at the console
}

// Pool is who holds how many servers.
type Pool struct {
	Mode          Mode // pool_mode
	DefaultSize   int  // default_pool_size: servers per database and user
	MaxClientConn int  // max_client_conn: clients in all

	// MaxPreparedStatements (max_prepared_statements) bounds what clients' named statements one server keeps prepared in
	// transaction mode; with 0 they are refused.
	MaxPreparedStatements int

	Bounds Bounds
	Reset  Reset
	Check  Check
	// RoundRobin (server_round_robin) leases the server that has rested longest, not the one used last.
	RoundRobin bool
	// FastClose (server_fast_close) ends sessions whose server is to be closed, at the end of their transaction.
	FastClose bool

	// IgnoreStartupParameters (ignore_startup_parameters) are startup parameters, and settings in `options`, that are
	// dropped; "options" drops all of those.
	IgnoreStartupParameters []string
}

// Timeouts are the limits of the waits that Cancello adds. Zero means no limit, where that is allowed.
type Timeouts struct {
	QueryWait     time.Duration // query_wait_timeout: a unit's wait for a server; 0 none
	WaitNotify    time.Duration // query_wait_notify: a client that waits longer is told so; 0 never
	ServerConnect time.Duration // server_connect_timeout: dial and login
	ServerIdle    time.Duration // server_idle_timeout: an unused server is closed; 0 never
	ClientLogin   time.Duration // client_login_timeout: accept to ReadyForQuery
	Shutdown      time.Duration // shutdown_timeout: a drain's wait for clients; 0 no limit
	ServerGhost   time.Duration // server_ghost_time: a closed, perhaps running server counts that long; 0 not at all
	ServerLife    time.Duration // server_lifetime: an unused server as old as that is closed; 0: it serves one client only
	LoginRetry    time.Duration // server_login_retry: the longest pause between two failing logins to a server
	Reserve       time.Duration // reserve_pool_timeout: a client that has waited that long opens the reserve; 0 never
}

// Cancel is how cancels are carried.
type Cancel struct {
	Timeout     time.Duration // cancel_timeout: bound of one request's delivery and of the wait for its effect
	Resend      time.Duration // cancel_resend: sent again when the unit still runs that long after EOF; 0 never
	FailedDelay time.Duration // failed_cancel_delay: most that the connection of a request stays open that meant nobody; 0 nothing
	PerUpstream int           // max_cancels_per_upstream: orders on the wire to one upstream
	SideSize    int           // cancel_side_pool_size: connections for statements that cancel, per server address and login
	SideIdle    time.Duration // cancel_side_idle_timeout: they are kept unused that long; 0 not at all
	Keys        KeyPolicy     // client_keys
	OnLoss      OnLoss        // on_client_loss
	ClientLoss  time.Duration // client_loss_timeout: how long LossWaits waits; 0 no limit
}

// Default is what holds where nothing is said: PgBouncer's values where it has them.
func Default() Config {
	return Config{
		Network: Network{Keepalive: true},
		DNS:     DNS{MaxTTL: 15 * time.Second, NXDomainTTL: 15 * time.Second},
		Auth:    Auth{FailedDelay: 5 * time.Second},
		Socket:  Socket{Mode: "0777"},
		Pool: Pool{Mode: Session, DefaultSize: 20, MaxClientConn: 100, MaxPreparedStatements: 200,
			Reset: Reset{Query: DiscardAll}, Check: Check{Query: EmptyQuery, Delay: 30 * time.Second}},
		Timeouts: Timeouts{QueryWait: 120 * time.Second, WaitNotify: 5 * time.Second, ServerConnect: 15 * time.Second, ServerIdle: 600 * time.Second, ClientLogin: 60 * time.Second, ServerGhost: 30 * time.Second,
			ServerLife: time.Hour, LoginRetry: 15 * time.Second, Reserve: 5 * time.Second},
		Cancel: Cancel{Timeout: 10 * time.Second, FailedDelay: time.Second, Resend: 250 * time.Millisecond, PerUpstream: 16, SideSize: 2, SideIdle: time.Minute, ClientLoss: time.Minute},
		TLS:    TLS{Server: ServerTLS{Mode: SSLPrefer}},
	}
}

// NewDatabase is a database of which only the name has been said.
func NewDatabase(name string) Database {
	return Database{Name: name, Host: DefaultHost, Port: DefaultPort}
}
