package test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// kindOfServer is a line of the servers' table in docs/compatibility.md: what cancels meet behind Cancello.
type kindOfServer struct {
	name   string
	key    string // what it sends to cancel with
	cancel string // what it makes of a CancelRequest
	does   string // what Cancello does there
	test   string // that runs it; empty: it was read of only
	source string // public, where it was read
}

// What Cancello does, by what a server sends.
const (
	asPostgres   = "as with PostgreSQL"
	byFallback   = "`cancel_fallback`"
	notPooled    = "`cancel_fallback`, not `sql`: one connection is not one session"
	untilSettled = "as with PostgreSQL; `cancel_settle` is 100 ms by default"
)

// kindsOfServers are all that we know something of.
var kindsOfServers = []kindOfServer{
	{name: "PostgreSQL 15", key: "4 bytes", cancel: "ends what runs, closes", does: asPostgres, test: "TestCancel"},
	{name: "PostgreSQL 18", key: "4 bytes, 32 at protocol 3.2", cancel: "ends what runs, closes", does: asPostgres, test: "TestCancel"},
	{name: "PostgreSQL behind a proxy that takes keys away", key: "none, or zeros", cancel: "dropped", does: byFallback, test: "TestDrivers"},
	{name: "PGlite, socket server", key: "one for everybody", cancel: "no effect, never closes", does: byFallback, test: "TestOddServers"},
	{name: "psql-wire (Go), as it is", key: "none", cancel: "no handler", does: byFallback, test: "TestOddServers"},
	{name: "psql-wire (Go), with keys", key: "as its program says", cancel: "as its program says", does: asPostgres, test: "TestOddServers"},
	{name: "PgBouncer, pool_mode session", key: "8 random bytes", cancel: "goes on to the server, then closes", does: asPostgres, test: "TestPgBouncerUpstream"},
	{name: "AWS RDS Proxy", key: "none", cancel: "not supported", does: notPooled, source: "[pgpool2#111](https://github.com/pgpool/pgpool2/issues/111), [pgdog#918](https://github.com/pgdogdev/pgdog/issues/918)"},
	{name: "CockroachDB", key: "8 bytes, since 22.1", cancel: "works in the whole cluster", does: untilSettled, source: "[cockroach#67501](https://github.com/cockroachdb/cockroach/pull/67501)"},
	{name: "CockroachDB Serverless", key: "8 bytes of its proxy, with the proxy's address inside", cancel: "goes on to the proxy that it is for", does: untilSettled, source: "its docs/RFCS/20220202_pgwire_compatible_cancel.md"},
	{name: "YugabyteDB", key: "PostgreSQL's", cancel: "goes on to other nodes, which may not stop", does: untilSettled, source: "[yugabyte-db#28981](https://github.com/yugabyte/yugabyte-db/issues/28981)"},
	{name: "Redshift", key: "sent", cancel: "not reliable where serverless", does: untilSettled, source: "[dbt-adapters#1987](https://github.com/dbt-labs/dbt-adapters/issues/1987)"},
	{name: "Aurora DSQL", key: "nothing is said of one", cancel: "nothing is said of it", does: "as with PostgreSQL where it gives a key, else `cancel_fallback`", source: "its public documentation, which is silent"},
	{name: "Materialize", key: "pid and a secret", cancel: "works", does: asPostgres, source: "its src/pgwire"},
	{name: "RisingWave", key: "a small counter, which can be guessed", cancel: "works", does: asPostgres, source: "its src/frontend/src/session.rs"},
	{name: "QuestDB", key: "4 random bytes", cancel: "works", does: asPostgres, source: "[questdb#3130](https://github.com/questdb/questdb/pull/3130)"},
	{name: "CrateDB", key: "pid and a secret", cancel: "works on all nodes", does: asPostgres, source: "its PostgresWireProtocol.java"},
	{name: "Spanner, PGAdapter", key: "pid and a secret, 32 bytes at protocol 3.2", cancel: "works", does: asPostgres, source: "[pgadapter#3902](https://github.com/GoogleCloudPlatform/pgadapter/pull/3902)"},
	{name: "DoltgreSQL", key: "zeros", cancel: "closes", does: byFallback, source: "its server/connection_handler.go"},
	{name: "MyDuck Server", key: "the process id and zeros", cancel: "closes", does: byFallback, source: "its pgserver/connection_handler.go"},
	{name: "pgwire (Rust), as it is", key: "a counter and random bytes, 32 at protocol 3.2", cancel: "no handler", does: "as with PostgreSQL, and nothing ends: *swallowed*", source: "its src/api/auth/mod.rs"},
	{name: "datafusion-postgres", key: "a counter and random bytes", cancel: "works since 2026", does: asPostgres, source: "its src/handlers.rs"},
	{name: "GreptimeDB", key: "zeros", cancel: "no handler", does: byFallback, source: "its src/servers/src/postgres/auth_handler.rs"},
	{name: "immudb", key: "none", cancel: "none", does: byFallback, source: "its pkg/pgsql/server/initialize_session.go"},
	{name: "Readyset", key: "none", cancel: "none", does: byFallback, source: "[readyset#1702](https://github.com/readysettech/readyset/issues/1702), [readyset#210](https://github.com/readysettech/readyset/issues/210)"},
	{name: "Neon's proxy", key: "8 random bytes", cancel: "goes on to the proxy that it is for", does: asPostgres, source: "its proxy/src/cancellation.rs"},
	{name: "ClickHouse, port 9005", key: "pid and zeros", cancel: "never matches before 2026", does: byFallback, source: "its src/Server/PostgreSQLHandler.cpp"},
	{name: "pgagroal", key: "its server's", cancel: "goes on to the primary, in clear only", does: asPostgres, source: "its src/libpgagroal/security.c"},
	{name: "Trino and Presto gateways, Oxla, CedarDB", key: "nothing public was found", cancel: "nothing public was found", does: "as with PostgreSQL where they give a key, else `cancel_fallback`", source: "nothing, in spite of a search"},
	{name: "Pgpool-II", key: "its server's, and it refuses a server without", cancel: "goes on to the server", does: "as with PostgreSQL; `cancel_settle` where a cancel of it comes late", source: "[pgpool2#111](https://github.com/pgpool/pgpool2/issues/111)"},
}

// serversTable is the part of docs/compatibility.md on servers.
func serversTable() string {
	var b strings.Builder
	b.WriteString(`## Servers

What servers send to cancel with, and what Cancello does where they are its upstream. **tried**: a test runs the server itself,
each time; **read**: from what is public of it, not tried behind Cancello. ` + "`cancello check`" + ` finds out what a server really does.

| server | key | a CancelRequest there | what Cancello does | |
|---|---|---|---|---|
`)
	for _, k := range kindsOfServers {
		how := "**tried**: `" + k.test + "`"
		if k.test == "" {
			how = "read: " + k.source
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", k.name, k.key, k.cancel, k.does, how)
	}
	return b.String()
}

// What is said to be tried is: the tests are there. What is only read has a source that others can read, too.
func TestServersTable(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var sources strings.Builder
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sources.Write(text)
	}
	tried := 0
	for _, k := range kindsOfServers {
		switch {
		case (k.test == "") == (k.source == ""):
			t.Errorf("%s is to be tried or read", k.name)
		case k.test != "":
			tried++
			if !regexp.MustCompile(`(?m)^func ` + k.test + `\(`).MatchString(sources.String()) {
				t.Errorf("%s: there is no %s", k.name, k.test)
			}
		}
	}
	if tried < 6 {
		t.Errorf("%d servers are tried", tried)
	}
	page, err := os.ReadFile(compatibilityPath)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), serversTable()) {
		t.Error("docs/compatibility.md has another table of servers: make drivers-report writes it anew")
	}
}
