package test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
)

// PgBouncer as the upstream: it gives keys of its own, of eight bytes, refuses the startup parameters that we would like to give,
// and passes a cancel on. It ends what it is meant for, and neither the next query nor a neighbour's.
func TestPgBouncerUpstream(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, 15)
	g := startGate(t, gateOptions{upstreams: []string{fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", pgbouncer(t, direct(c)))}, mode: "transaction", size: 2})
	neighbour, cl := enter(t, g), enter(t, g)
	neighbour.Put(fake.Query("SELECT pg_sleep(0.01) FROM generate_series(1, 200)"))
	for n := range 10 {
		text := fmt.Sprintf("SELECT pg_sleep(%d) /* bouncer */", 1000+n)
		cl.Put(fake.Query(text))
		runsIn(t, c.SocketDSN("postgres", "postgres"), 15, text)
		fake.SendCancel(t, g.Addr(), cl.pid, cl.key)
		cl.Want("T")
		cl.WantError("57014")
		cl.Want("Z")
		g.outcome(t, n+1, "cancelled")
		if got := ask(cl, "SELECT 42"); got != "42" {
			t.Errorf("the next query says %q", got)
		}
	}
	for _, m := range neighbour.Until("Z") {
		if m.Type == 'E' {
			t.Errorf("a stranger's statement was ended: %s", errorText(m))
		}
	}
	if strings.Contains(g.Log(), `msg="server closed"`) {
		t.Errorf("a server was lost:\n%s", g.Log())
	}
}

// pgbouncer starts PgBouncer before a PostgreSQL, in session mode, and returns where it listens.
func pgbouncer(t *testing.T, to address) string {
	t.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil {
			pgtest.Missing(t, "PgBouncer: run scripts/install-debian")
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().(*net.TCPAddr)
	ln.Close()
	ini := filepath.Join(t.TempDir(), "pgbouncer.ini")
	text := fmt.Sprintf(`[databases]
postgres = host=%s port=%d user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = session
`, to.host, to.port, addr.Port)
	if err := os.WriteFile(ini, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{ini}
	if os.Getuid() == 0 { // it does not run as root
		args = []string{"-u", "nobody", ini}
	}
	startOdd(t, exec.Command(path, args...))
	until(t, "PgBouncer to listen", func() bool {
		nc, err := net.Dial("tcp", addr.String())
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
	return addr.String()
}
