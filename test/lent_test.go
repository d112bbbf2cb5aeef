package test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"cancello/internal/pgtest/fake"
	"cancello/internal/postgres"

	"github.com/jackc/pgx/v5"
)

// verifierOf is what PostgreSQL keeps of a role's password.
func verifierOf(t *testing.T, c *postgres.Cluster, role string) string {
	t.Helper()
	return superuser(t, c, "SELECT rolpassword FROM pg_authid WHERE rolname = '"+role+"'")
}

// lender is a client whose login lent its key, and that stays.
func lender(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// asksOn asks over a connection that is open.
func asksOn(t *testing.T, conn *pgx.Conn) (answer string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = conn.QueryRow(ctx, whoami, pgx.QueryExecModeSimpleProtocol).Scan(&answer)
	return answer, err
}

// With nothing but a SCRAM verifier clients get in, and so do we to servers: in clear, over TLS, bound to it, for every
// method that looks at the verifier. The others say what is missing.
func TestNoPasswordIsStored(t *testing.T) {
	a := fake.NewAuthority(t)
	for _, major := range majors {
		c := matrixCluster(t, a, major)
		verifier := verifierOf(t, c, "mx_scram")
		list := userlist(t, entry("mx_scram", verifier), entry("mx_password", verifier), entry("mx_md5", verifierOf(t, c, "mx_md5")))
		file := backs(t, a, c)
		for _, e := range entrants {
			t.Run(fmt.Sprintf("%d %v", major, e), func(t *testing.T) {
				_, set := front(a, map[bool]string{false: "prefer", true: "verify-full"}[e.method == "cert"])
				g := startGate(t, gateOptions{file: file, mode: "transaction", auth: e.method, authFile: list, set: set})
				for _, database := range []string{"bound", "tls", "clear"} {
					answer, err := byPGX(t, e.dsn(g.address, a, "mx_scram", matrixPassword, database, a.Issue("mx_scram")))
					switch {
					case e.asked && !strings.HasPrefix(answer, "mx_scram "):
						t.Errorf("%s: %q, %v", database, answer, err)
					case !e.asked && (err == nil || !strings.Contains(err.Error(), "until a client has logged in")):
						t.Errorf("%s, before any proof: %q, %v", database, answer, err)
					}
				}
				if e.method == "md5" {
					if answer, err := byPGX(t, e.dsn(g.address, a, "mx_md5", matrixPassword, "clear", fake.Certificate{})); !strings.HasPrefix(answer, "mx_md5 ") {
						t.Errorf("an md5 hash for both sides: %q, %v", answer, err)
					}
				}
				if e.asked {
					if _, err := byPGX(t, e.dsn(g.address, a, "mx_password", matrixPassword, "clear", fake.Certificate{})); err == nil || !strings.Contains(err.Error(), "only a SCRAM verifier") {
						t.Errorf("a server that asks for a password in clear: %v", err)
					}
				}
				g.Stop()
				keepsSecrets(t, g, "secret", "SCRAM-SHA-256$", verifier[len(verifier)-20:])
			})
		}
	}
}

// A kept key lasts over a reload as long as its verifier does, and no longer.
func TestLentKeysAndReload(t *testing.T) {
	a := fake.NewAuthority(t)
	for i, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			c := matrixCluster(t, a, major)
			list := userlist(t, entry("mx_scram", verifierOf(t, c, "mx_scram")))
			g := startGate(t, gateOptions{file: backs(t, a, c), mode: "transaction", auth: "scram-sha-256", authFile: list,
				set: []string{fmt.Sprintf("min_pool_size=%d", i)}})
			reload := func(lines ...string) {
				t.Helper()
				if err := os.WriteFile(list, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				before := strings.Count(g.Log(), "msg=reloaded")
				if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
					t.Fatal(err)
				}
				until(t, "reloaded", func() bool { return strings.Count(g.Log(), "msg=reloaded") > before })
			}
			lose := func() { // all servers, so that the next query needs a new login
				t.Helper()
				closed := strings.Count(g.Log(), "server closed")
				superuser(t, c, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mx_scram'")
				until(t, "the server is gone", func() bool { return strings.Count(g.Log(), "server closed") > closed })
			}
			dsn := func(password string) string {
				return entrants[0].dsn(g.address, a, "mx_scram", password, "clear", fake.Certificate{})
			}
			conn := lender(t, dsn(matrixPassword))
			if answer, err := asksOn(t, conn); answer != "mx_scram false" {
				t.Fatalf("%q, %v", answer, err)
			}
			reload("; the same again", entry("mx_scram", verifierOf(t, c, "mx_scram")), entry("somebody", "else"))
			lose()
			if answer, err := asksOn(t, conn); answer != "mx_scram false" {
				t.Errorf("after a reload of the same: %q, %v", answer, err)
			}

			// The same password set again makes another verifier: the server's is not the file's any more.
			superuser(t, c, "SET password_encryption = 'scram-sha-256'; ALTER ROLE mx_scram PASSWORD '"+strings.ReplaceAll(matrixPassword, "'", "''")+"'")
			lose()
			if _, err := asksOn(t, conn); err == nil || !strings.Contains(err.Error(), "copy rolpassword from the server's pg_authid") {
				t.Errorf("with another salt at the server: %v", err)
			}
			reload(entry("mx_scram", verifierOf(t, c, "mx_scram")))
			if _, err := asksOn(t, conn); err == nil || !strings.Contains(err.Error(), "until a client has logged in") {
				t.Errorf("with the key of the old verifier: %v", err)
			}
			if answer, err := byPGX(t, dsn(matrixPassword)); answer != "mx_scram false" {
				t.Errorf("a new login: %q, %v", answer, err)
			}
			lose()
			if answer, err := asksOn(t, conn); answer != "mx_scram false" {
				t.Errorf("by the key of the newer client: %q, %v", answer, err)
			}
			g.Stop()
			keepsSecrets(t, g, "secret", "SCRAM-SHA-256$")
		})
	}
}

// A forced user logs in for everybody, with a password of its own, whoever comes and however.
func TestForcedUserMatrix(t *testing.T) {
	a := fake.NewAuthority(t)
	for _, major := range majors {
		c := matrixCluster(t, a, major)
		for _, e := range entrants {
			t.Run(fmt.Sprintf("%d %v", major, e), func(t *testing.T) {
				_, set := front(a, map[bool]string{false: "prefer", true: "verify-full"}[e.method == "cert"])
				text := ""
				for _, name := range asking {
					text += fmt.Sprintf("[databases.%s]\nhost = %q\nport = %d\ndbname = \"postgres\"\nuser = %q\npassword = %q\n", name, c.Host(), c.Port(), "mx_"+name, matrixPassword)
				}
				file := backs(t, a, c)
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				g := startGate(t, gateOptions{file: file, mode: "transaction", auth: e.method, authFile: userlist(t, entry("ann", "ann's own")), set: set})
				for _, name := range asking {
					answer, err := byPGX(t, e.dsn(g.address, a, "ann", "ann's own", name, a.Issue("ann")))
					if answer != "mx_"+name+" true" { // sslmode is prefer
						t.Errorf("%s: %q, %v", name, answer, err)
					}
				}
				g.Stop()
				keepsSecrets(t, g, "secret", "ann's own")
			})
		}
	}
}
