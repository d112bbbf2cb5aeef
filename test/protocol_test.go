package test

import (
	"fmt"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
)

// Each version of the protocol with clients over each with servers: keys of each side's own length, and a cancel that
// finds its query. PostgreSQL 15 negotiates 3.2 down; a client that greases (3.9999) has 3.2.
func TestProtocolsMeet(t *testing.T) {
	const grease = 0x0003270F
	for _, major := range majors {
		for _, servers := range []string{"3.0", "3.2"} {
			t.Run(fmt.Sprintf("%d, servers %s", major, servers), func(t *testing.T) {
				c := pgtest.Start(t, major)
				g := startGate(t, gateOptions{file: fallbackFile(t, direct(c), 2, `server_protocol = "`+servers+`"`)})
				n := 0
				for version, keyLen := range map[uint32]int{fake.V30: 4, fake.V32: 32, grease: 32} {
					kv := []string{"user", "postgres", "database", "postgres"}
					if version == grease {
						kv = append(kv, "_pq_.test_protocol_negotiation", "")
					}
					f := fake.Dial(t, g.Addr())
					in := f.Login(version, kv...)
					if len(in.Key) != keyLen {
						t.Errorf("at %#x the key has %d bytes, want %d", version, len(in.Key), keyLen)
					}
					cl := &joined{f, in.PID, in.Key}
					text := fmt.Sprintf("SELECT pg_sleep(%d) /* protocols */", 4000+version)
					cl.Put(fake.Query(text))
					runsIn(t, c.SocketDSN("postgres", "postgres"), major, text)
					fake.SendCancel(t, g.Addr(), cl.pid, cl.key)
					cl.Want("T")
					cl.WantError("57014")
					cl.Want("Z")
					n++
					g.outcome(t, n, "cancelled")
					if ask(cl, "SELECT 41 + 1") != "42" {
						t.Error("the next query is harmed")
					}
				}
			})
		}
	}
}
