package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// general is the table of the settings that there are once, in the order in which they are documented and checked.
func general() []setting[Config] {
	return behind(slices.Concat(beforeLimits(), generalLimits(), behindLimits(), ofNetwork(), ofCluster()), slices.Concat(bounds(), lives()))
}

// behind puts each setting behind the last one of its table.
func behind(list, more []setting[Config]) []setting[Config] {
	for _, s := range more {
		at := len(list)
		for at > 0 && list[at-1].table != s.table {
			at--
		}
		list = slices.Insert(list, at, s)
	}
	return list
}

func beforeLimits() []setting[Config] {
	return []setting[Config]{
		{name: "listen", when: Restart, flag: "--listen", about: "addresses to listen on; without a host, as in `:6432`, all of this machine's, IPv4 and IPv6. A Unix socket by its folder, as in `/run/cancello`, or by `@NAME` in the abstract namespace: it is called `.s.PGSQL.PORT`, where PORT is that of the first TCP address unless it is said, as in `/run/cancello:6433`. Behind an address may stand `client_keys` of those who connect there, as in `0.0.0.0:6433?client_keys=3.2`: `always`, `3.2` or `never`",
			absent: DefaultListen, allowed: "a list of addresses as HOST:PORT, folders of Unix sockets, and @NAME, each with ?client_keys=POLICY if need be", list: func(c *Config) *[]string { return &c.Listen }},
		{name: "unix_socket_mode", when: Restart, about: "who may connect to the Unix sockets listened on, as for chmod",
			allowed: "an octal number in quotes", refused: badMode, text: func(c *Config) *string { return &c.Socket.Mode }},
		{name: "unix_socket_group", when: Restart, about: "the group that owns them", absent: "the process's own",
			allowed: "the name or number of a group", text: func(c *Config) *string { return &c.Socket.Group }},
		{name: "allow_remote_trust", flag: "--allow-remote-trust", about: "lets `auth_type = \"trust\"` listen on an address that others can reach",
			yes: func(c *Config) *bool { return &c.AllowRemoteTrust }},
		{name: "http", when: Restart, flag: "--http", about: "where `/healthz`, `/readyz` and `/metrics` are served, without a password: a port alone, as in `9090`, is for this machine only",
			absent: "nowhere", allowed: "HOST:PORT, or PORT for this machine alone", refused: refuseHTTP, text: func(c *Config) *string { return &c.HTTP }},
		{name: "log_format", when: Restart, flag: "--log-format", about: "the form of the log's lines",
			words: []string{"text", "json"}, word: func(c *Config) choice { return &c.LogFormat }},

		{name: "takeover_socket", when: Restart, about: "where a new process that is started with `--takeover` finds the running one, whose listening sockets it takes over; a name in a folder that only the user that Cancello runs as can write to, as in `/run/cancello/takeover`. Each node has its own",
			absent: "nowhere", allowed: "an absolute path", refused: badTakeover, text: func(c *Config) *string { return &c.Takeover }},

		{table: "auth", name: "auth_type", flag: "--auth", about: "how clients prove who they are, from their next login on; with md5 too by SCRAM where `auth_file` has a SCRAM verifier, with cert by a certificate whose common name is the user",
			words: methods(), word: func(c *Config) choice { return &c.Auth.Method }},
		{table: "auth", name: "auth_file", flag: "--auth-file", about: "users and passwords, as PgBouncer's `userlist.txt`; what is in it logs in to servers, too. In a file, relative to that file's folder. Read again at each reload",
			allowed: "the path of a file", text: func(c *Config) *string { return &c.Auth.File }},
		{table: "auth", name: "failed_login_delay", about: "most that a login waits whose address has failed before: 100 ms after the fourth failure in a row, twice that after each further one. A success ends it", zero: "no wait",
			duration: func(c *Config) *time.Duration { return &c.Auth.FailedDelay }},
		{table: "auth", name: "admin_users", about: "who may give commands at the console, the database `cancello`",
			absent: "nobody", allowed: "a list of users", list: func(c *Config) *[]string { return &c.Auth.AdminUsers }},
		{table: "auth", name: "stats_users", about: "who may look at the console; with `auth_type = \"trust\"` everybody on this machine may",
			absent: "nobody", allowed: "a list of users", list: func(c *Config) *[]string { return &c.Auth.StatsUsers }},

		{table: "pool", name: "pool_mode", flag: "--pool-mode", about: "when a server goes to another client", when: NextLease,
			words: modeWords(), word: func(c *Config) choice { return &c.Pool.Mode }},
		{table: "pool", name: "default_pool_size", flag: "--pool-size", about: "servers per database and user",
			min: 1, max: maxPoolSize, number: func(c *Config) *int { return &c.Pool.DefaultSize }},
		{table: "pool", name: "max_client_conn", about: "clients in all; one more is told 53300",
			min: 1, max: 1_000_000, number: func(c *Config) *int { return &c.Pool.MaxClientConn }},
		{table: "pool", name: "max_prepared_statements", about: "named statements that one server keeps prepared where servers are shared (transaction and statement mode); with 0 they are refused there",
			min: 0, max: 100_000, number: func(c *Config) *int { return &c.Pool.MaxPreparedStatements }},
		{table: "pool", name: "ignore_startup_parameters", about: "startup parameters, and settings in `options`, that are dropped from the next login on; `options` drops all of those",
			absent: "none", allowed: "a list of names of settings", list: func(c *Config) *[]string { return &c.Pool.IgnoreStartupParameters }},

		{table: "timeouts", name: "query_wait_timeout", about: aboutQueryWait, zero: "no limit",
			duration: func(c *Config) *time.Duration { return &c.Timeouts.QueryWait }},
		{table: "timeouts", name: "query_wait_notify", about: "a client whose query waits for a server that long is told so by a NOTICE", zero: "never",
			duration: func(c *Config) *time.Duration { return &c.Timeouts.WaitNotify }},
		{table: "timeouts", name: "server_connect_timeout", about: "bound of a dial with its login, and of a reset between two clients",
			duration: func(c *Config) *time.Duration { return &c.Timeouts.ServerConnect }},
		{table: "timeouts", name: "server_idle_timeout", about: aboutServerIdle, zero: "never",
			duration: func(c *Config) *time.Duration { return &c.Timeouts.ServerIdle }},
		{table: "timeouts", name: "client_login_timeout", about: "bound of a client's way from connect to ReadyForQuery",
			duration: func(c *Config) *time.Duration { return &c.Timeouts.ClientLogin }},
		{table: "timeouts", name: "shutdown_timeout", about: "how long a drain waits for clients that are at something; then that is cancelled, and they are told 57P01", zero: "no limit",
			duration: func(c *Config) *time.Duration { return &c.Timeouts.Shutdown }},
		{table: "timeouts", name: "server_ghost_time", about: "how long a server that was closed while it ran still counts", zero: "not at all",
			duration: func(c *Config) *time.Duration { return &c.Timeouts.ServerGhost }},
	}
}

func behindLimits() []setting[Config] {
	return []setting[Config]{
		{table: "cancel", name: "cancel_timeout", about: "bound of a cancel's delivery, and of the wait for its effect",
			duration: func(c *Config) *time.Duration { return &c.Cancel.Timeout }},
		{table: "cancel", name: "cancel_resend", about: "a cancel that PostgreSQL may have swallowed goes out again after that", zero: "never again",
			duration: func(c *Config) *time.Duration { return &c.Cancel.Resend }},
		{table: "cancel", name: "failed_cancel_delay", about: "most that the connection of a cancel whose key is nobody's stays open, where many from its address have been: 100 ms for the 21st, twice that for each further one; one is forgiven each second, at most 80 are remembered. Not counted is what other processes or nodes are asked for: while older processes are about (`takeover_socket`), and over `peer_listen`. A cancel that means somebody never waits", zero: "they are closed at once",
			duration: func(c *Config) *time.Duration { return &c.Cancel.FailedDelay }},
		{table: "cancel", name: "max_cancels_per_upstream", about: "cancels on the wire to one PostgreSQL; the others wait in line",
			min: 1, max: 10_000, number: func(c *Config) *int { return &c.Cancel.PerUpstream }},
		{table: "cancel", name: "cancel_side_pool_size", about: "connections for statements that cancel (`cancel_fallback = \"sql\"`), for each database entry, server address and login; other cancels there wait in line. They are opened when needed and count in no pool's size",
			min: 1, max: 1000, number: func(c *Config) *int { return &c.Cancel.SideSize }},
		{table: "cancel", name: "cancel_side_idle_timeout", about: "how long such connections are kept when nothing is cancelled over them. PAUSE, RECONNECT, a reload and a drain close them at once", zero: "not at all",
			duration: func(c *Config) *time.Duration { return &c.Cancel.SideIdle }},
		{table: "cancel", name: "client_keys", about: aboutKeys,
			words: keyPolicies(), word: func(c *Config) choice { return &c.Cancel.Keys }},
		{table: "cancel", name: "on_client_loss", about: "what becomes of the query of a client that vanished: it is cancelled; or may end within `client_loss_timeout`; or its server is closed, and PostgreSQL left to notice. What it left open is rolled back",
			words: onLossWords(), word: func(c *Config) choice { return &c.Cancel.OnLoss }},
		{table: "cancel", name: "client_loss_timeout", about: "how long the query of a client that vanished may run on with `on_client_loss = \"wait\"`; then it is cancelled", zero: "no limit",
			duration: func(c *Config) *time.Duration { return &c.Cancel.ClientLoss }},

		{table: "tls", name: "client_tls_sslmode", about: "TLS with clients: allow and prefer leave it to the client; require lets nobody in without; verify-ca and verify-full also want a client certificate. Cancels are always taken, in clear too",
			words: sslModes(), word: func(c *Config) choice { return &c.TLS.Client.Mode }},
		{table: "tls", name: "client_tls_cert_file", about: "our certificate for clients, with its chain, PEM. In a file, each path is relative to that file's folder. All of them are read again at each reload",
			allowed: allowedPath, text: func(c *Config) *string { return &c.TLS.Client.Cert }},
		{table: "tls", name: "client_tls_key_file", about: "its key, PEM", allowed: allowedPath, text: func(c *Config) *string { return &c.TLS.Client.Key }},
		{table: "tls", name: "client_tls_ca_file", about: "who signs the certificates of clients, PEM", allowed: allowedPath, text: func(c *Config) *string { return &c.TLS.Client.CA }},
		{table: "tls", name: "server_tls_sslmode", about: "TLS with servers, with the meaning of libpq's sslmode",
			words: sslModes(), word: func(c *Config) choice { return &c.TLS.Server.Mode }},
		{table: "tls", name: "server_tls_ca_file", about: aboutRoots, allowed: allowedRoots, text: func(c *Config) *string { return &c.TLS.Server.CA }},
		{table: "tls", name: "server_tls_cert_file", about: "our certificate for servers, PEM", allowed: allowedPath, text: func(c *Config) *string { return &c.TLS.Server.Cert }},
		{table: "tls", name: "server_tls_key_file", about: "its key, PEM", allowed: allowedPath, text: func(c *Config) *string { return &c.TLS.Server.Key }},
		{table: "tls", name: "tls_min_version", about: "the oldest version of TLS that is spoken, on both sides",
			words: tlsVersions(), word: func(c *Config) choice { return &c.TLS.Min }},
	}
}

// DefaultListen is where Cancello listens when nothing is said.
const DefaultListen = "127.0.0.1:6432"

// maxPoolSize bounds the size of one pool.
const maxPoolSize = 100_000

// What is said of settings that are in more than one table.
const (
	aboutQueryWait  = "how long a query waits for a server before it is answered 53300"
	aboutKeys       = "which clients get a cancel key, from their next login on: all; those of protocol 3.2, where it is known that a key may be missing; none. With `upstream` they get their server's own, which needs `pool_mode = \"passthrough\"` and one upstream address. A database's own value goes before that of the address connected to (`listen`), because its server or its clients may depend on it, as with `upstream`; that goes before the general one"
	aboutServerIdle = "an unused server is closed after that"
	aboutRoots      = "who signs the certificates of servers, PEM: where it is given they are verified, whatever the mode"
	allowedPath     = "the path of a file"
	allowedRoots    = "the path of a file, or `system` for the operating system's"
)

func modeWords() []string { return []string{"session", "transaction", "statement", "passthrough"} }

// viaSet tells whether --set reaches a setting. Those of which there are several at a time, and those that decide who
// gets in, have only their flags; secrets, which anybody would see there, have none.
func viaSet(s *setting[Config]) bool { return !s.secret && (s.flag == "" || s.table == "pool") }

// Description is what people are told of one setting.
type Description struct {
	Name, About string
	Allowed     string // in words
	Default     string // in the form that Set takes
}

// Describe lists what Set reaches, in order.
func Describe() []Description {
	defaults := Default()
	var list []Description
	for _, s := range general() {
		if viaSet(&s) {
			list = append(list, Description{Name: s.name, About: s.about, Allowed: s.bounds(), Default: s.value(&defaults)})
		}
	}
	return list
}

// pgbouncerNames are names that PgBouncer has for what is called otherwise here.
func pgbouncerNames() [][2]string {
	return [][2]string{{"listen_addr", "listen"}, {"listen_port", "listen"}, {"unix_socket_dir", "listen"}, {"auth", "auth_type"}, {"pool_size", "default_pool_size"}, {"reserve_pool", "reserve_pool_size"}}
}

// Set gives one setting a value, as in --set KEY=VALUE. A time is a number of seconds, as in PgBouncer, or a number
// with one of the units ms, s, m, min, h. The error says what is allowed, and for an unknown key the nearest right
// one; then c is as it was.
func Set(c *Config, key, value string) error {
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	meant := key
	for _, other := range pgbouncerNames() {
		if other[0] == key {
			meant = other[1]
		}
	}
	var names []string
	for _, s := range general() {
		switch {
		case s.name == meant && s.secret:
			return fmt.Errorf("%s can't be given there, where others see it: give it in the file", key)
		case s.name == meant && !viaSet(&s):
			return fmt.Errorf("%s can't be given by --set: use %s", key, s.flag)
		case s.name == key:
			return s.set(c, value)
		case viaSet(&s):
			names = append(names, s.name)
		}
	}
	if key == "upstream" {
		return fmt.Errorf("upstream can't be given by --set: use --upstream")
	}
	if meant != key {
		return fmt.Errorf("unknown setting %q: did you mean %s?", key, meant)
	}
	return fmt.Errorf("unknown setting %q: %s", key, suggestion(key, names))
}

// SetFlag gives a setting the value of its flag.
func SetFlag(c *Config, flag, value string) error {
	for _, s := range general() {
		if s.flag == flag {
			if err := s.set(c, value); err != nil {
				return fmt.Errorf("%s: %w", flag, err)
			}
			return nil
		}
	}
	return fmt.Errorf("%s is not the flag of a setting", flag)
}
