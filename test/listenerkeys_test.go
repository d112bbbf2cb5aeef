package test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
)

// Who gets a key by where a client connects, unless its database says so itself; a cancel with one ends its own query.
func TestKeysByListener(t *testing.T) {
	c := pgtest.Start(t, 18)
	for _, mode := range []string{"transaction", "session", "passthrough"} {
		t.Run(mode, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "cancello.toml")
			at := direct(c)
			text := fmt.Sprintf("cancel.client_keys = \"never\"\npool.pool_mode = %q\n[databases.postgres]\nhost = %[2]q\nport = %[3]d\n[databases.own]\nhost = %[2]q\nport = %[3]d\ndbname = \"postgres\"\nclient_keys = \"3.2\"\n", mode, at.host, at.port)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			superuser(t, c, "DROP DATABASE IF EXISTS own")
			superuser(t, c, "CREATE DATABASE own") // where the client's own startup packet goes, in passthrough
			g := startGate(t, gateOptions{file: path, listen: []string{"127.0.0.1:0?client_keys=3.2", "127.0.0.1:0?client_keys=always"}})
			places := map[string]string{"": g.Addr()}
			for _, keys := range []string{"3.2", "always"} {
				places[keys] = g.AwaitLog(`listening on (127\.0\.0\.1:\d+) \([^)]*, client_keys ` + keys + `\)`)[1]
			}
			enter := func(place string, version uint32, database string) *joined {
				c := fake.Dial(t, places[place])
				in := c.Login(version, "user", "postgres", "database", database)
				return &joined{c, in.PID, in.Key}
			}
			n := 0
			for _, tt := range []struct {
				place    string
				version  uint32
				database string
				length   int
			}{
				{"", fake.V30, "postgres", 0},
				{"", fake.V32, "postgres", 0},
				{"3.2", fake.V30, "postgres", 0},
				{"3.2", fake.V32, "postgres", 32},
				{"always", fake.V30, "postgres", 4},
				{"always", fake.V32, "postgres", 32},
				{"", fake.V32, "own", 32},
				{"always", fake.V30, "own", 0},
			} {
				x := enter(tt.place, tt.version, tt.database)
				if len(x.key) != tt.length {
					t.Errorf("%q, version %x, database %s: a key of %d bytes, want %d", tt.place, tt.version, tt.database, len(x.key), tt.length)
				}
				if len(x.key) > 0 {
					n++
					x.Put(fake.Query(sleeper))
					x.Want("N")
					fake.SendCancel(t, places[""], x.pid, x.key) // wherever it comes in
					x.WantError("57014")
					x.Want("Z")
					g.outcome(t, n, map[bool]string{true: "forwarded", false: "cancelled"}[mode == "passthrough"])
				}
				if ask(x, "SELECT 1") != "1" {
					t.Error("the session is of no use any more")
				}
				x.Close()
			}
		})
	}
}
