package test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
)

// With too few descriptors for what is promised Cancello doesn't start, and says what to do; with just enough it does.
// A reload that promises more is refused in the same words.
func TestTooFewDescriptors(t *testing.T) {
	c := pgtest.Start(t, 18)
	path := filepath.Join(t.TempDir(), "c.toml")
	write := func(clients int) {
		t.Helper()
		text := fmt.Sprintf("[pool]\nmax_client_conn = %d\ndefault_pool_size = 5\n[databases.postgres]\nhost = %q\nport = %d\n", clients, c.Host(), c.Port())
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(50)
	const need = 50 + 5 + 256
	o := gateOptions{file: path, files: need - 1}
	out, err := o.command(t).CombinedOutput()
	if err == nil {
		t.Fatalf("it ended well:\n%s", out)
	}
	words := []string{"the limit of open files is 310, and 311 are needed", "LimitNOFILE=311", "ulimit -n 311", "max_client_conn = 49"}
	for _, w := range words {
		if !strings.Contains(string(out), w) {
			t.Errorf("%q is missing in:\n%s", w, out)
		}
	}
	o.files = need
	g := startGate(t, o)
	write(51)
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	g.AwaitLog(`reload refused.*limit of open files is 311, and 312 are needed.*LimitNOFILE=312`)
	login(t, g.Addr(), "postgres", "postgres").value("SELECT 1")
}

// TestOutOfDescriptors fills a gate whose limit is just high enough to start: with clients, with logins that don't go on,
// with connections that say nothing. Whoever else wants in is told why he can't; every cancel gets through, in clear
// and over TLS.
func TestOutOfDescriptors(t *testing.T) {
	const clients, servers = 200, 2
	a := fake.NewAuthority(t)
	c := pgtest.Start(t, 18)
	_, set := front(a, "allow")
	g := startGate(t, gateOptions{
		upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: servers,
		auth: "plain", authFile: userlist(t, entry("eve", "right")), files: clients + servers + 256,
		set: append(set, fmt.Sprintf("max_client_conn=%d", clients), "client_login_timeout=1h"),
	})
	sleeping := loginWith(t, g, "eve", "right")
	for range clients - 20 {
		loginWith(t, g, "eve", "right")
	}
	stuck := 0
	for ; ; stuck++ {
		if stuck > 3*clients {
			t.Fatal("descriptors don't run out")
		}
		r := knockAtDoor(t, g, "eve")
		m := r.until("RE")
		if e := m[len(m)-1]; e.Type == 'E' {
			if e.Field('C') != "53300" || e.Field('S') != "FATAL" || !strings.Contains(e.Field('D'), "kept for cancels") {
				t.Fatalf("the one too many was told %s: %s", errorText(e), e.Field('D'))
			}
			r.ended()
			break
		}
	}
	t.Logf("%d logins are stuck", stuck)
	g.AwaitLog(`file descriptors have run out: clients are refused, cancels are still carried`)
	pid, key := sleeping.key(t)
	for round := range 10 {
		for range 20 { // silent ones, who would take the reserve
			dialRaw(t, g.Addr())
		}
		sleeping.send(fake.Query(sleeper))
		sleeping.until("N")
		if round%2 == 0 {
			fake.SendCancel(t, g.Addr(), pid, key)
		} else {
			cancelOverTLS(t, g, a, pid, key)
		}
		m := sleeping.until("Z")
		if e := first(m, 'E'); e.Field('C') != "57014" {
			t.Fatalf("round %d: %s", round, summary(m))
		}
	}
	g.AwaitLog(`(?s)(outcome=cancelled.*){10}`)
	if lines := strings.Count(g.Log(), "\n"); lines > 2000 {
		t.Errorf("%d lines in the log", lines)
	}
	if got := sleeping.value("SELECT 'well'"); got != "well" {
		t.Errorf("the client says %q", got)
	}
}

// knockAtDoor sends a startup packet and no more.
func knockAtDoor(t testing.TB, g *gate, user string) *raw {
	t.Helper()
	r := dialRaw(t, g.Addr())
	r.send(fake.Startup(fake.V30, "user", user, "database", "postgres"))
	r.listen()
	return r
}

// loginWith logs in with a password.
func loginWith(t testing.TB, g *gate, user, password string) *raw {
	t.Helper()
	r := knockAtDoor(t, g, user)
	r.until("R")
	r.send(fake.Msg('p', password))
	for _, m := range r.until("ZE") {
		if m.Type == 'E' {
			t.Fatal(errorText(m))
		}
	}
	return r
}

// key is what the client was given to cancel with.
func (c *raw) key(t testing.TB) (pid uint32, key []byte) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	m := first(c.got, 'K')
	if len(m.Body) < 8 {
		t.Fatal("it has no key")
	}
	return uint32(m.Body[0])<<24 | uint32(m.Body[1])<<16 | uint32(m.Body[2])<<8 | uint32(m.Body[3]), m.Body[4:]
}

// first is the first message of a type, empty if there is none.
func first(list []fake.Message, typ byte) fake.Message {
	for _, m := range list {
		if m.Type == typ {
			return m
		}
	}
	return fake.Message{}
}

// cancelOverTLS sends a CancelRequest over TLS and waits for the end of its connection.
func cancelOverTLS(t testing.TB, g *gate, a *fake.Authority, pid uint32, key []byte) {
	t.Helper()
	r := dialRaw(t, g.Addr())
	r.send(fake.Msg(0, uint32(fake.SSLCode)))
	if b := r.byte(); b != 'S' {
		t.Fatalf("SSLRequest was answered %q", b)
	}
	nc := tls.Client(r.nc, &tls.Config{RootCAs: a.Pool, ServerName: "127.0.0.1"})
	nc.SetDeadline(time.Now().Add(patience))
	if _, err := nc.Write(fake.Cancel(pid, key)); err != nil {
		t.Fatal(err)
	}
	if err := drained(nc); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
}
