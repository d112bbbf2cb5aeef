package config

import "time"

// ofDatabase is the table of what [databases.NAME] may say.
func ofDatabase() []setting[Database] {
	return append([]setting[Database]{
		{name: "host", when: NextLease, about: "where PostgreSQL is: a name, an address, or the folder of a Unix socket. Several, in a list or with commas between them, are tried in the order of `load_balance_hosts`; one that fails is left aside for a while",
			several: true, allowed: "a name, an address or the folder of a Unix socket, or several", refused: badHosts, text: func(d *Database) *string { return &d.Host }},
		{name: "port", when: NextLease, about: "its port; one for each where they differ, as in `[5432, 5433]`", min: 1, max: 65535, several: true,
			number: func(d *Database) *int { return &d.Port }, numbers: func(d *Database) *string { return &d.Ports }},
		{name: "load_balance_hosts", when: NextLease, about: "with which of several hosts a new connection begins: with the next one, or always with the first. In a DSN libpq's default holds, which is `disable`", absent: "round-robin", words: balances(),
			given: func(d *Database) *bool { return &d.Balance.Given }, word: func(d *Database) choice { return &d.Balance.Value }},
		{name: "dbname", when: NextLease, about: "the database on the server", absent: "as the client asked",
			allowed: "the name of a database", text: func(d *Database) *string { return &d.DBName }},
		{name: "user", when: NextLease, about: "logs in to the server for every client", absent: "the client's own",
			allowed: "the name of a user", text: func(d *Database) *string { return &d.User }},
		{name: "password", when: NextLease, about: "for that login", absent: "from `auth_file`, PGPASSWORD or a passfile", secret: true,
			allowed: "a password", text: func(d *Database) *string { return &d.Password }},

		{name: "pool_mode", when: NextLease, about: "when a server goes to another client", absent: inherited, words: modeWords(),
			given: func(d *Database) *bool { return &d.Mode.Given }, word: func(d *Database) choice { return &d.Mode.Value }},
		{name: "pool_size", about: "servers per user of this database", absent: "`default_pool_size`", min: 1, max: maxPoolSize,
			given: func(d *Database) *bool { return &d.PoolSize.Given }, number: func(d *Database) *int { return &d.PoolSize.Value }},
		{name: "query_wait_timeout", about: aboutQueryWait, absent: inherited, zero: "no limit",
			given: func(d *Database) *bool { return &d.QueryWait.Given }, duration: func(d *Database) *time.Duration { return &d.QueryWait.Value }},
		{name: "server_idle_timeout", about: aboutServerIdle, absent: inherited, zero: "never",
			given: func(d *Database) *bool { return &d.ServerIdle.Given }, duration: func(d *Database) *time.Duration { return &d.ServerIdle.Value }},
		{name: "client_keys", about: aboutKeys, absent: inherited, words: keyPolicies(),
			given: func(d *Database) *bool { return &d.Keys.Given }, word: func(d *Database) choice { return &d.Keys.Value }},
		{name: "sslmode", about: "TLS with its servers, as in libpq", absent: "`server_tls_sslmode`", words: sslModes(),
			given: func(d *Database) *bool { return &d.TLS.Mode.Given }, word: func(d *Database) choice { return &d.TLS.Mode.Value }},
		{name: "sslrootcert", about: aboutRoots, absent: "`server_tls_ca_file`", allowed: allowedRoots, text: func(d *Database) *string { return &d.TLS.CA }},
		{name: "sslcert", about: "our certificate for its servers, PEM", absent: "`server_tls_cert_file`", allowed: allowedPath, text: func(d *Database) *string { return &d.TLS.Cert }},
		{name: "sslkey", about: "its key, PEM", absent: "`server_tls_key_file`", allowed: allowedPath, text: func(d *Database) *string { return &d.TLS.Key }},
		{name: "channel_binding", about: "binds logins to its servers by SCRAM to their TLS connections, so that nobody can be in between, as in libpq: prefer where they offer it, require or not at all", absent: "prefer", words: bindings(),
			given: func(d *Database) *bool { return &d.TLS.Binding.Given }, word: func(d *Database) choice { return &d.TLS.Binding.Value }},
		{name: "sslnegotiation", about: "how TLS begins: by a request, or directly, which PostgreSQL 17 and later know", absent: "postgres", words: negotiations(),
			given: func(d *Database) *bool { return &d.TLS.Negotiation.Given }, word: func(d *Database) choice { return &d.TLS.Negotiation.Value }},
	}, append(append(ofDatabaseNetwork(), boundsOfDatabase()...), ofDatabaseCancel()...)...)
}

// ofDatabaseCancel is what a database may say of its cancels.
func ofDatabaseCancel() []setting[Database] {
	return []setting[Database]{
		{name: "cancel_fallback", about: "how a cancel ends what runs on a server that gave no usable cancel key: `sql` by a statement on a connection beside (`cancel_side_pool_size`), which is right only where one connection is one session of PostgreSQL; `disconnect` by closing the server's connection; `none` not at all. Several are tried in turn, as in `[\"sql\", \"disconnect\"]`. For `sql` a server is asked who it is when it is opened",
			absent: "disconnect", several: true, allowed: "sql, disconnect or none, or a list of them", refused: badLadder, text: func(d *Database) *string { return &d.Cancel.Fallback }},
		{name: "cancel_sql", about: "the statement of `sql`: a preset, or one with `{pid}`, `{backend_start}` (UTC, as `YYYY-MM-DD HH24:MI:SS.US`), `{address}` and `{port}` (of the server), `{session_id}` in it; each becomes a text in quotes. It works if it returns a row that begins with `t`, or no rows at all",
			absent: SQLPostgres, allowed: "postgresql, cockroachdb or a statement", refused: badStatement, text: func(d *Database) *string { return &d.Cancel.SQL }},
		{name: "cancel_user", about: "logs in for that statement", absent: "the user of the server that it is for", allowed: "the name of a user", text: func(d *Database) *string { return &d.Cancel.User }},
		{name: "cancel_password", about: "for that login", absent: "as for servers", secret: true, allowed: "a password", text: func(d *Database) *string { return &d.Cancel.Password }},
		{name: "cancel_settle", about: "how much longer than its cancel's connection a server is kept still: for those that close it before they have acted on it", absent: "by what the server says that it is", zero: "not at all",
			given: func(d *Database) *bool { return &d.Cancel.Settle.Given }, duration: func(d *Database) *time.Duration { return &d.Cancel.Settle.Value }},
		{name: "server_protocol", about: "the version of the protocol that new connections to its servers ask for. With 3.2 PostgreSQL 18 gives longer cancel keys; one that refuses is asked for 3.0, but there are some that answer with silence", absent: "3.0", words: protocols(),
			given: func(d *Database) *bool { return &d.Cancel.Protocol.Given }, word: func(d *Database) choice { return &d.Cancel.Protocol.Value }},
	}
}

// ofUser is the table of what [users.NAME] may say.
func ofUser() []setting[User] {
	return append([]setting[User]{
		{name: "pool_mode", when: NextLease, about: "when a server goes to another client", absent: ofItsDatabase, words: modeWords(),
			given: func(u *User) *bool { return &u.Mode.Given }, word: func(u *User) choice { return &u.Mode.Value }},
		{name: "pool_size", about: "servers of this user per database", absent: ofItsDatabase, min: 1, max: maxPoolSize,
			given: func(u *User) *bool { return &u.PoolSize.Given }, number: func(u *User) *int { return &u.PoolSize.Value }},
		{name: "query_wait_timeout", about: aboutQueryWait, absent: ofItsDatabase, zero: "no limit",
			given: func(u *User) *bool { return &u.QueryWait.Given }, duration: func(u *User) *time.Duration { return &u.QueryWait.Value }},
	}, append(userLimits(), boundsOfUser()...)...)
}

// What holds where an entry says nothing.
const (
	inherited     = "the general one"
	ofItsDatabase = "the database's"
)
