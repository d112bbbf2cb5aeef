package test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
	"cancello/internal/postgres"

	"github.com/jackc/pgx/v5"
)

// encrypted gives a PostgreSQL that speaks TLS, and over TCP nothing else where only is set.
func encrypted(t *testing.T, a *fake.Authority, major int, only bool) *postgres.Cluster {
	t.Helper()
	cert := a.Issue("postgres", "127.0.0.1")
	host := "host"
	if only {
		host = "hostssl"
	}
	return pgtest.Start(t, major,
		pgtest.Settings(map[string]string{"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}),
		pgtest.Files(map[string][]byte{"server.crt": cert.PEM, "server.key": cert.KeyPEM}),
		pgtest.HBA("local all all trust\n"+host+" all all all trust\n"))
}

// front are the settings of a gate that speaks TLS with clients.
func front(a *fake.Authority, mode string) (fake.Certificate, []string) {
	cert := a.Issue("cancello", "127.0.0.1")
	return cert, []string{"client_tls_sslmode=" + mode, "client_tls_cert_file=" + cert.File, "client_tls_key_file=" + cert.KeyFile, "client_tls_ca_file=" + a.File}
}

// over is the DSN of a database with another sslmode.
func over(g address, sslmode string, params ...string) string {
	return strings.Replace(g.DSN("postgres", "postgres", params...), "sslmode=disable", "sslmode="+sslmode, 1)
}

// TLS on both sides, on one, on none: queries, large answers, COPY, and a cancel by libpq and by pgx.
func TestTLS(t *testing.T) {
	a := fake.NewAuthority(t)
	for _, major := range majors {
		for _, back := range []bool{false, true} {
			for _, ahead := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d, clients %v, servers %v", major, ahead, back), func(t *testing.T) {
					c := pgtest.Start(t, major)
					dsn := upstream(c, "postgres", "postgres") + "?sslmode=disable"
					if back {
						c = encrypted(t, a, major, false)
						dsn = upstream(c, "postgres", "postgres") + "?sslmode=verify-full&sslrootcert=" + a.File
					}
					o := gateOptions{upstreams: []string{dsn}, mode: "transaction", size: 2}
					mode, root := "disable", ""
					if ahead {
						_, o.set = front(a, "require")
						mode, root = "verify-full", "sslrootcert="+a.File
					}
					g := startGate(t, o)
					useTLS(t, c, g, mode, root, back)
				})
			}
		}
	}
}

func useTLS(t *testing.T, c *postgres.Cluster, g *gate, mode, root string, back bool) {
	t.Helper()
	params := []string{}
	if root != "" {
		params = append(params, root)
	}
	out := pgtest.PSQL(t, pgtest.SystemLibpq, "-d", over(g.address, mode, params...), "-Atc",
		"SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", "-c", "SELECT md5(string_agg(n::text, '')), repeat('x', 3000000) FROM generate_series(1, 100000) n")
	want := map[bool]string{false: "f", true: "t"}[back]
	if line, rest, _ := strings.Cut(out.Stdout, "\n"); out.Code != 0 || line != want || len(rest) != 32+1+3_000_000+1 {
		t.Errorf("psql ended %d, ssl %s, %d bytes: %s", out.Code, line, len(rest), out.Stderr)
	}
	superuser(t, c, "DROP TABLE IF EXISTS cl_tls; CREATE TABLE cl_tls (n int, t text)")
	usePSQL(t, c, g, pgtest.SystemLibpq, over(g.address, mode, params...), "cl_tls")

	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	config, err := pgx.ParseConfig(over(g.address, mode, params...))
	if err != nil {
		t.Fatal(err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	superuser(t, c, "DROP TABLE IF EXISTS cl_pgx; CREATE TABLE cl_pgx (n int primary key, t text)")
	usePGX(ctx, t, conn)
	cancelPGX(ctx, t, c, conn, "cl_tls_pgx")
}

// libpq 18 begins with TLS instead of asking for it, and cancels the same way; and so do we towards PostgreSQL 18.
func TestDirectTLS(t *testing.T) {
	a := fake.NewAuthority(t)
	c := encrypted(t, a, 18, false)
	_, set := front(a, "require")
	g := startGate(t, gateOptions{
		upstreams: []string{upstream(c, "postgres", "postgres") + "?sslmode=verify-full&sslnegotiation=direct&sslrootcert=" + a.File},
		mode:      "transaction", size: 2, set: set,
	})
	superuser(t, c, "CREATE TABLE cl_direct (n int, t text)")
	usePSQL(t, c, g, 18, over(g.address, "verify-full", "sslrootcert="+a.File, "sslnegotiation=direct"), "cl_direct")
}

// What is refused, and in which words.
func TestTLSRefusals(t *testing.T) {
	a, stranger := fake.NewAuthority(t), fake.NewAuthority(t)
	c := encrypted(t, a, 18, true)
	_, set := front(a, "verify-full")
	client, alien := a.Issue("postgres"), stranger.Issue("postgres")
	dsn := upstream(c, "postgres", "postgres")
	for _, tt := range []struct{ name, upstream, mode, params, want string }{
		{"a client certificate", dsn + "?sslmode=require", "require", "sslcert=" + client.File + " sslkey=" + client.KeyFile, ""},
		{"the default is prefer", dsn, "require", "sslcert=" + client.File + " sslkey=" + client.KeyFile, ""},
		{"allow", dsn + "?sslmode=allow", "require", "sslcert=" + client.File + " sslkey=" + client.KeyFile, ""},
		{"clear to the server", dsn + "?sslmode=disable", "require", "sslcert=" + client.File + " sslkey=" + client.KeyFile, "no encryption"},
		{"a stranger's server", dsn + "?sslmode=verify-full&sslrootcert=" + stranger.File, "require", "sslcert=" + client.File + " sslkey=" + client.KeyFile, "its certificate cannot be trusted"},
		{"no TLS", dsn, "disable", "", "SSL connection is required"},
		{"no certificate", dsn, "require", "", "certificate required"},
		{"a stranger's certificate", dsn, "require", "sslcert=" + alien.File + " sslkey=" + alien.KeyFile, "unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := startGate(t, gateOptions{upstreams: []string{tt.upstream}, set: set})
			out := pgtest.PSQL(t, pgtest.SystemLibpq, "-d", over(g.address, tt.mode, strings.Fields(tt.params)...), "-Atc", "SELECT 42")
			switch {
			case tt.want == "" && (out.Code != 0 || out.Stdout != "42\n"):
				t.Errorf("psql: %s%s", out.Stdout, out.Stderr)
			case !strings.Contains(out.Stderr, tt.want):
				t.Errorf("psql says %q, want %q", out.Stderr, tt.want)
			}
		})
	}
}

// SIGHUP has certificates read again; sessions go on with what they have, and a broken file changes nothing.
func TestReloadOfCertificates(t *testing.T) {
	a, b := fake.NewAuthority(t), fake.NewAuthority(t)
	c := pgtest.Start(t, 18)
	cert, set := front(a, "require")
	g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, set: set})
	works := func(root *fake.Authority) bool {
		return pgtest.PSQL(t, pgtest.SystemLibpq, "-d", over(g.address, "verify-full", "sslrootcert="+root.File), "-Atc", "SELECT 1").Code == 0
	}
	if !works(a) || works(b) {
		t.Fatal("the first certificate is not a's")
	}
	next := b.Issue("cancello", "127.0.0.1")
	reload := func(certificate, key []byte, line string) {
		t.Helper()
		for path, content := range map[string][]byte{cert.File: certificate, cert.KeyFile: key} {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		g.AwaitLog(line)
	}
	reload(next.PEM, []byte("no key"), "reload refused")
	if !works(a) {
		t.Error("a bad file changed something")
	}
	reload(next.PEM, next.KeyPEM, "reloaded")
	if works(a) || !works(b) {
		t.Error("the new certificate is not served")
	}
}
