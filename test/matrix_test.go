package test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
	"cancello/internal/postgres"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// asking are the roles of the matrix, by what PostgreSQL asks of them.
var asking = []string{"trust", "password", "md5", "scram"}

// matrixPassword is every role's. It holds what has to be quoted somewhere.
const matrixPassword = `it's "secret" :@/ \`

// matrixCluster gives a PostgreSQL with TLS that asks each role mx_NAME for what it is named after, with TLS and without.
func matrixCluster(t *testing.T, a *fake.Authority, major int) *postgres.Cluster {
	t.Helper()
	cert := a.Issue("postgres", "127.0.0.1")
	c := pgtest.Start(t, major,
		pgtest.Settings(map[string]string{"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}),
		pgtest.Files(map[string][]byte{"server.crt": cert.PEM, "server.key": cert.KeyPEM}),
		pgtest.HBA(`local all all trust
host all mx_trust all trust
host all mx_password all password
host all mx_md5 all md5
host all all all scram-sha-256
`))
	quoted := strings.ReplaceAll(matrixPassword, "'", "''")
	for _, name := range asking {
		encryption := "scram-sha-256"
		if name == "md5" {
			encryption = "md5"
		}
		superuser(t, c, "SET password_encryption = '"+encryption+"'; CREATE ROLE mx_"+name+" LOGIN PASSWORD '"+quoted+"'")
	}
	return c
}

// backs are the databases of a gate before it: the same one, spoken to in clear, over TLS, and bound to TLS.
func backs(t *testing.T, a *fake.Authority, c *postgres.Cluster) (file string) {
	t.Helper()
	at := fmt.Sprintf("host = %q\nport = %d\ndbname = \"postgres\"\n", c.Host(), c.Port())
	text := "[databases.clear]\n" + at + "sslmode = \"disable\"\n" +
		"[databases.tls]\n" + at + fmt.Sprintf("sslmode = \"verify-full\"\nsslrootcert = %q\n", a.File) +
		"[databases.bound]\n" + at + "sslmode = \"require\"\nchannel_binding = \"require\"\n"
	file = filepath.Join(t.TempDir(), "gate.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// entrant is one way for a client to come in.
type entrant struct {
	method  string // auth_type
	tls     bool
	binding string // channel_binding; empty: the client's default
	asked   bool   // for a password
}

func (e entrant) String() string {
	return fmt.Sprintf("%s %s tls=%v", e.method, e.binding, e.tls)
}

// entrants are all ways but cert.
var entrants = []entrant{
	{"trust", false, "", false}, {"trust", true, "", false},
	{"plain", false, "", true}, {"plain", true, "", true},
	{"md5", false, "", true}, {"md5", true, "", true},
	{"scram-sha-256", false, "", true}, {"scram-sha-256", true, "disable", true}, {"scram-sha-256", true, "", true}, {"scram-sha-256", true, "require", true},
	{"cert", true, "", false},
}

// dsn is the URL that the entrant connects to.
func (e entrant) dsn(g address, a *fake.Authority, user, password, database string, cert fake.Certificate) string {
	q := url.Values{"sslmode": {"disable"}}
	if e.tls {
		q = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {a.File}}
	}
	if e.binding != "" {
		q.Set("channel_binding", e.binding)
	}
	if e.method == "cert" {
		q.Set("sslcert", cert.File)
		q.Set("sslkey", cert.KeyFile)
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: g.Addr(), Path: "/" + database, RawQuery: q.Encode()}
	return u.String()
}

// whoami tells who the server believes that we are, and whether over TLS.
const whoami = "SELECT current_user || ' ' || (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid())"

// byPSQL, by its libpq of version 18 and byPGX ask one thing over a new connection.
func byPSQL(t *testing.T, dsn string) (string, error) { return byLibpq(t, pgtest.SystemLibpq, dsn) }

func byPSQL18(t *testing.T, dsn string) (string, error) { return byLibpq(t, 18, dsn) }

func byLibpq(t *testing.T, version int, dsn string) (string, error) {
	t.Helper()
	out := pgtest.PSQL(t, version, "-At", "-d", dsn, "-c", whoami)
	if out.Code != 0 {
		return "", errors.New(out.Stderr)
	}
	return strings.TrimSuffix(out.Stdout, "\n"), nil
}

func byPGX(t *testing.T, dsn string) (answer string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, whoami).Scan(&answer)
	return answer, err
}

// Every method of the client's side goes with every method of the server's, in clear and over TLS, for libpq and pgx.
func TestLoginMatrix(t *testing.T) {
	a := fake.NewAuthority(t)
	certs := map[string]fake.Certificate{}
	var users []string
	for _, name := range asking {
		certs["mx_"+name] = a.Issue("mx_" + name)
		users = append(users, entry("mx_"+name, matrixPassword))
	}
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			c := matrixCluster(t, a, major)
			file, list := backs(t, a, c), userlist(t, users...)
			for _, method := range []string{"trust", "plain", "md5", "scram-sha-256", "cert"} {
				t.Run(method, func(t *testing.T) {
					t.Parallel()
					_, set := front(a, map[bool]string{false: "prefer", true: "verify-full"}[method == "cert"])
					g := startGate(t, gateOptions{file: file, mode: "transaction", size: 2, auth: method, authFile: list, set: set})
					for _, e := range entrants {
						if e.method == method {
							t.Run(e.String(), func(t *testing.T) { enterAll(t, g.address, a, e, certs) })
						}
					}
					g.Stop()
					keepsSecrets(t, g, "secret")
				})
			}
		})
	}
}

// enterAll lets an entrant in to each role and database of the matrix, by both clients, and not where the password, or
// the certificate, is another's.
func enterAll(t *testing.T, g address, a *fake.Authority, e entrant, certs map[string]fake.Certificate) {
	for _, name := range asking {
		user := "mx_" + name
		for _, database := range []string{"clear", "tls", "bound"} {
			for client, ask := range map[string]func(*testing.T, string) (string, error){"psql": byPSQL, "psql of 18": byPSQL18, "pgx": byPGX} {
				if client == "psql of 18" && !e.tls {
					continue // it differs where there is something to bind to
				}
				answer, err := ask(t, e.dsn(g, a, user, matrixPassword, database, certs[user]))
				want := user + map[bool]string{false: " false", true: " true"}[database != "clear"]
				switch bindable := name == "scram" || database != "bound"; {
				case bindable && (err != nil || answer != want):
					t.Errorf("%s as %s to %s: %q, %v", client, user, database, answer, err)
				case !bindable && (err == nil || !strings.Contains(err.Error(), "channel_binding = require")):
					t.Errorf("%s as %s to %s, which can't be bound: %q, %v", client, user, database, answer, err)
				}
			}
		}
		code, text, dsn := "28P01", `password authentication failed for user "`+user+`"`, e.dsn(g, a, user, "wrong", "clear", certs[user])
		switch {
		case e.method == "cert":
			other := map[bool]string{false: "mx_md5", true: "mx_trust"}[user == "mx_md5"]
			code, text, dsn = "28000", `certificate authentication failed for user "`+user+`"`, e.dsn(g, a, user, "", "clear", certs[other])
		case !e.asked:
			continue
		}
		var said *pgconn.PgError
		if _, err := byPGX(t, dsn); !errors.As(err, &said) || said.Code != code || said.Message != text || said.Severity != "FATAL" {
			t.Errorf("pgx as %s, wrongly: %v, want %s", user, err, code)
		}
		if _, err := byPSQL(t, dsn); err == nil || !strings.Contains(err.Error(), "FATAL:  "+text) {
			t.Errorf("psql as %s, wrongly: %v", user, err)
		}
	}
}

// A client whose password is wrong at the server hears so in the server's words.
func TestServerRefusesPassword(t *testing.T) {
	a := fake.NewAuthority(t)
	for _, major := range majors {
		c := matrixCluster(t, a, major)
		for _, name := range asking[1:] {
			user := "mx_" + name
			g := startGate(t, gateOptions{file: backs(t, a, c), authFile: userlist(t, entry(user, "not it"))})
			for _, database := range []string{"clear", "tls"} {
				_, err := byPGX(t, entrant{method: "trust"}.dsn(g.address, a, user, "", database, fake.Certificate{}))
				var said *pgconn.PgError
				if !errors.As(err, &said) || said.Code != "28P01" || said.Message != `password authentication failed for user "`+user+`"` || !strings.Contains(said.Detail, c.Addr()) {
					t.Errorf("%d, %s over %s: %v", major, user, database, err)
				}
			}
			g.Stop()
			keepsSecrets(t, g, "not it")
		}
	}
}
