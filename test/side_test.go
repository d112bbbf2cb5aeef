package test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
)

// Two hundred cancels at once, before a PostgreSQL whose keys somebody takes away: all go by statements over two
// connections, in turn, and none is lost. Those connections are counted, and a pause closes them.
func TestSidePool(t *testing.T) {
	t.Parallel()
	const crowd = 200
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			c := pgtest.Start(t, major, pgtest.Settings(map[string]string{"max_connections": strconv.Itoa(crowd + 20), "log_connections": "on"}))
			superuser(t, c, "CREATE ROLE canceller LOGIN SUPERUSER")
			s := newShim(t, direct(c).Addr())
			g := startGate(t, gateOptions{file: fallbackFile(t, s.address(), crowd, `cancel_fallback = "sql"`, `cancel_user = "canceller"`), set: []string{"max_client_conn=1000", "cancel_timeout=60s", "admin_users=postgres"}})
			const sleep = "SELECT pg_sleep(1000) /* side */"
			var clients []*rider
			for range crowd {
				cl, err := ride(g.Addr(), fake.V30, "postgres", "postgres")
				if err != nil {
					t.Fatal(err)
				}
				defer cl.Close()
				if err := cl.put(fake.Query(sleep)); err != nil {
					t.Fatal(err)
				}
				clients = append(clients, cl)
			}
			until(t, "all sleep", func() bool {
				return superuser(t, c, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query = '"+sleep+"'") == strconv.Itoa(crowd)
			})
			cancelAtOnce(t, g, clients, "sql")
			sides := "SELECT count(*) FROM pg_stat_activity WHERE usename = 'canceller'"
			if got := superuser(t, c, sides); got != "2" {
				t.Errorf("%s connections are open over which statements cancelled, want 2", got)
			}
			if got := strings.Count(c.Log(), "connection authorized: user=canceller"); got != 2 {
				t.Errorf("%d connections were opened, want 2", got)
			}
			if got := sideConnections(t, g); got != "2" {
				t.Errorf("SHOW UPSTREAMS counts %q", got)
			}
			if n := s.cancels(); n > 0 {
				t.Errorf("%d CancelRequests were sent to a server without keys", n)
			}
			// What has died meanwhile is noticed, and the next cancel has a connection of its own.
			superuser(t, c, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'canceller'")
			until(t, "their death to be noticed", func() bool { return sideConnections(t, g) == "0" })
			cl := clients[0]
			if err := cl.put(fake.Query(sleep)); err != nil {
				t.Fatal(err)
			}
			runsIn(t, c.SocketDSN("postgres", "postgres"), major, sleep)
			fake.SendCancel(t, g.Addr(), cl.pid, cl.key)
			if a, err := cl.until('Z'); err != nil || a.code != "57014" {
				t.Errorf("%+v %v", a, err)
			}
			until(t, "its outcome", func() bool {
				outcomes, _ := outcomesIn(g.Log())
				return outcomes["sql"] == crowd+1
			})
			if got := superuser(t, c, sides); got != "1" {
				t.Errorf("%s connections over which statements cancelled, want 1", got)
			}
			if out := pgtest.PSQL(t, 18, "-X", "-d", g.DSN("postgres", "cancello"), "-c", "PAUSE"); out.Code != 0 {
				t.Fatalf("%+v", out)
			}
			until(t, "the pause to close it", func() bool { return superuser(t, c, sides) == "0" })
		})
	}
}

// sideConnections is what SHOW UPSTREAMS counts of them, at the one upstream there is.
func sideConnections(t testing.TB, g *gate) string {
	t.Helper()
	out := pgtest.PSQL(t, 18, "-x", "-d", g.DSN("postgres", "cancello"), "-c", "SHOW UPSTREAMS").Stdout
	_, behind, _ := strings.Cut(out, "side_connections")
	value, _, _ := strings.Cut(behind, "\n")
	return strings.Trim(value, " |")
}
