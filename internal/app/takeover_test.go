package app

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/peer"
	"cancello/internal/pgtest/fake"
)

// successor starts a process's worth of Cancello in the place of the one at name.
func successor(t *testing.T, o Options, edit func(*config.Config)) (*App, error) {
	t.Helper()
	o.Takeover = true
	edit(&o.Config)
	a, err := Start(o)
	if err == nil {
		t.Cleanup(a.Stop)
	}
	return a, err
}

func awaitDrained(t *testing.T, a *App) {
	t.Helper()
	select {
	case <-a.Drained():
	case <-time.After(fake.Patience):
		t.Fatal("not drained")
	}
}

// The new process has the places of the old one. What the old one had accepted it serves or passes on; whoever is in
// goes on there until it has finished.
func TestTakeover(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	authority := fake.NewAuthority(t)
	cert := authority.Issue("cancello", "127.0.0.1")
	dir := t.TempDir()
	o := options(t, s)
	o.Config.Listen = []string{"127.0.0.1:0", dir + ":6432", "127.0.0.1:0"}
	o.Config.Takeover, o.Config.HTTP = filepath.Join(dir, "takeover"), "0"
	o.Config.Cluster = config.Cluster{Node: 3, Listen: "127.0.0.1:0", Secret: oneSecret}
	o.Config.TLS.Client = config.ClientTLS{Mode: config.SSLAllow, Cert: cert.File, Key: cert.KeyFile}
	old := started(t, o)
	addr, socket := old.Addrs()[0].String(), old.Addrs()[1].String()

	working := fake.Dial(t, addr)
	g := working.Login(fake.V30, "user", "ann", "database", "db")
	working.Put(fake.Query("sleep"))
	s.Await(t, "it runs", func() bool { return len(s.Sessions()) == 1 && s.Sessions()[0].Running() })
	silent, silentUnix := fake.Dial(t, addr), fake.Dial(t, socket)
	halfway := fake.Dial(t, addr)
	halfway.Put(fake.Msg(0, uint32(80877103)))
	if b := halfway.Byte(); b != 'S' {
		t.Fatalf("SSLRequest is answered %q", b)
	}

	next, err := successor(t, o, func(c *config.Config) { c.Listen = c.Listen[:2] })
	if err != nil {
		t.Fatal(err)
	}
	if got := next.Addrs(); len(got) != 2 || got[0].String() != addr || got[1].String() != socket {
		t.Errorf("it listens on %v", got)
	}
	if next.HTTPAddr().String() != old.HTTPAddr().String() {
		t.Errorf("it answers HTTP on %s, and not on %s", next.HTTPAddr(), old.HTTPAddr())
	}
	if next.PeerAddr().String() != old.PeerAddr().String() {
		t.Errorf("other nodes reach it on %s, and not on %s", next.PeerAddr(), old.PeerAddr())
	}
	if to := <-old.TakenOver(); to != next.Identity() || next.TookOver() != old.Identity() {
		t.Errorf("%+v took over from %+v, by their own words from %+v", next.Identity(), old.Identity(), next.TookOver())
	}
	for _, c := range []*fake.Client{silent, silentUnix, fake.Dial(t, addr), fake.Dial(t, socket)} {
		c.Login(fake.V30, "user", "ann", "database", "db")
		c.Put(fake.Query("SELECT 1"))
		c.Want("CZ")
	}
	snapshot, err := next.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := clientsIn(snapshot); n != 4 {
		t.Errorf("%d clients are in the new process, want 4", n)
	}
	if _, err := net.Dial("tcp", old.Addrs()[2].String()); err == nil {
		t.Error("what is not in the configuration any more is still listened on")
	}
	if status, _ := fetch(t, next, "/readyz"); status != 200 {
		t.Errorf("/readyz: %d", status)
	}
	if old.proxy.Draining() {
		t.Error("it drains before all who were accepted are in")
	}
	halfway.Encrypt(&tls.Config{RootCAs: authority.Pool, ServerName: "127.0.0.1"})
	halfway.Login(fake.V30, "user", "ann", "database", "db") // not 57P03
	halfway.WantError("57P01")

	select {
	case <-old.Drained():
		t.Fatal("drained with a client at work")
	default:
	}
	fake.SendCancel(t, addr, g.PID, g.Key)
	working.WantError("57014")
	working.Want("Z")
	working.WantError("57P01")
	awaitDrained(t, old)
	old.Stop()
	if _, err := os.Stat(socket); err != nil {
		t.Errorf("the old process removed what is another's by now: %v", err)
	}
	fake.Dial(t, socket).Login(fake.V30, "user", "ann", "database", "db")
	next.Stop()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func clientsIn(s event.Snapshot) (n int) {
	for _, p := range s.Pools {
		n += p.ClientsActive + p.ClientsIdle + p.ClientsWaiting
	}
	return n
}

// A new process that can't start leaves the old one as it was.
func TestTakeoverThatFails(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	dir := t.TempDir()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	o := options(t, s)
	o.Config.Listen = []string{"127.0.0.1:0", dir + ":6432"}
	o.Config.Takeover = filepath.Join(dir, "takeover")
	old := started(t, o)
	for _, tt := range []struct {
		name, want string
		edit       func(*config.Config)
	}{
		{"a port in use", "the port is in use", func(c *config.Config) { c.Listen = []string{c.Listen[0], c.Listen[1], busy.Addr().String()} }},
		{"HTTP's port in use", "the port is in use", func(c *config.Config) { c.HTTP = busy.Addr().String() }},
		{"no auth file", "cannot read the auth file", func(c *config.Config) { c.Auth = config.Auth{Method: config.SCRAM, File: dir + "/none"} }},
		{"no such host", "is not known", func(c *config.Config) {
			c.Databases = append(c.Databases[:0:0], c.Databases...)
			c.Databases[0].Host = "no..such.host"
		}},
		{"no takeover_socket", "--takeover needs takeover_socket", func(c *config.Config) { c.Takeover = "" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := successor(t, o, tt.edit); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			for _, addr := range old.Addrs() {
				c := fake.Dial(t, addr.String())
				c.Login(fake.V30, "user", "ann", "database", "db")
				c.Put(fake.Query("SELECT 1"))
				c.Want("CZ")
			}
			if old.proxy.Draining() {
				t.Error("the old process drains")
			}
		})
	}
	if _, err := Start(o); err == nil || !strings.Contains(err.Error(), "take its place with --takeover") {
		t.Errorf("a second process without takeover: %v", err)
	}
	next, err := successor(t, o, func(*config.Config) {})
	if err != nil {
		t.Fatal(err)
	}
	awaitDrained(t, old)
	fake.Dial(t, next.Addrs()[1].String()).Login(fake.V30, "user", "ann", "database", "db")
}

// With nobody there --takeover starts as usual, and removes what a process that was killed left behind.
func TestTakeoverFromNobody(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	o := options(t, s)
	o.Config.Takeover = filepath.Join(t.TempDir(), "takeover")
	if err := os.Symlink("takeover.0badcafe", o.Config.Takeover); err != nil {
		t.Fatal(err)
	}
	a, err := successor(t, o, func(*config.Config) {})
	if err != nil {
		t.Fatal(err)
	}
	fake.Dial(t, a.Addrs()[0].String()).Login(fake.V30, "user", "ann", "database", "db")
	if from := a.TookOver(); from.PID != 0 {
		t.Errorf("it took over from %+v", from)
	}
}

// inLine starts a process and as many successors as are asked for, each with a client that works; all are still there.
func inLine(t *testing.T, s *fake.Server, n int, versions ...uint32) (o Options, all []*App, clients []*fake.Client, keys []fake.Greeting) {
	t.Helper()
	o = options(t, s)
	o.Config.Takeover = filepath.Join(t.TempDir(), "takeover")
	for i := range n {
		a, err := Start(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(a.Stop)
		o.Takeover = true
		c := fake.Dial(t, a.Addrs()[0].String())
		keys = append(keys, c.Login(versions[i%len(versions)], "user", "ann", "database", "db"))
		c.Put(fake.Query("sleep"))
		s.Await(t, "it runs", func() bool { return running(s) == i+1 })
		all, clients = append(all, a), append(clients, c)
	}
	return o, all, clients, keys
}

// As many processes of a node as there may be reach each other's clients, and one more says why it does not start.
func TestLongChainOfTakeovers(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	o, all, clients, keys := inLine(t, s, peer.MaxProcesses, fake.V30, fake.V32)
	last := all[len(all)-1]
	o.Takeover = true
	if one, err := Start(o); err == nil {
		one.Stop()
		t.Error("there is one more")
	} else if !strings.Contains(err.Error(), "24 processes of this node have clients yet") {
		t.Error(err)
	}
	awaitSnapshot(t, last, "all links are there", func(s event.Snapshot) bool { return kinUp(s) == len(all)-1 })
	for left, i := range []int{0, 11, 22, 23} { // the oldest, the newest, and some between
		fake.SendCancel(t, last.Addrs()[0].String(), keys[i].PID, keys[i].Key)
		clients[i].WantError("57014")
		clients[i].Want("Z")
		if n := running(s); n != len(all)-1-left {
			t.Errorf("%d queries run, want %d", n, len(all)-1-left)
		}
	}
	for _, i := range []int{0, 11, 22} {
		awaitDrained(t, all[i])
		all[i].Stop()
	}
	awaitSnapshot(t, last, "the others' links stay", func(s event.Snapshot) bool {
		return kinUp(s) == len(all)-4 && len(s.Predecessors) == len(all)-4
	})
	next, err := Start(o)
	if err != nil {
		t.Fatal("when there is room again:", err)
	}
	next.Stop()
}

// kinUp is to how many processes of its node one has a link.
func kinUp(s event.Snapshot) (n int) {
	for _, p := range s.Peers {
		if p.Kin && p.Up {
			n++
		}
	}
	return n
}

// running is how many sessions are at something.
func running(s *fake.Server) (n int) {
	for _, x := range s.Sessions() {
		if x.Running() {
			n++
		}
	}
	return n
}

// The last of several processes finds the clients of all; their pids may be the same.
func TestChainOfTakeovers(t *testing.T) {
	for name, version := range map[string]uint32{"3.0": fake.V30, "3.2": fake.V32} {
		t.Run(name, func(t *testing.T) {
			s := fake.NewServer(t, fake.Config{})
			_, all, clients, keys := inLine(t, s, 4, version)
			addr := all[0].Addrs()[0].String()
			awaitSnapshot(t, all[3], "it knows of those before", func(s event.Snapshot) bool {
				ok := len(s.Predecessors) == 3
				for _, p := range s.Predecessors {
					ok = ok && p.Clients == 1 && p.Process == os.Getpid()
				}
				return ok
			})
			for left, i := range []int{1, 3, 0, 2} {
				if keys[i].PID != keys[0].PID {
					t.Errorf("pid %d, and not %d", keys[i].PID, keys[0].PID)
				}
				fake.SendCancel(t, addr, keys[i].PID, keys[i].Key)
				clients[i].WantError("57014")
				clients[i].Want("Z")
				if n := running(s); n != 3-left {
					t.Errorf("%d queries run, want %d", n, 3-left)
				}
			}
			for _, a := range all[:3] {
				awaitDrained(t, a)
				a.Stop()
			}
			awaitSnapshot(t, all[3], "those before have ended", func(s event.Snapshot) bool { return len(s.Predecessors) == 0 })
			if _, err := all[3].succession.claim.Link(t.Context()); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the socket of a process that has ended is still there: %v", err)
			}
			if o := all[3].succession.claim.Offer; o.Secrets != nil || o.Own != nil || o.Mock != nil {
				t.Error("what the process before offered is kept twice")
			}
			clients[3].Put(fake.Query("SELECT 1"))
			clients[3].Want("CZ")
		})
	}
}

// What was accepted by an old process, and turns out to be a cancel for a client of the new one, reaches it.
func TestLateCancel(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	authority := fake.NewAuthority(t)
	cert := authority.Issue("cancello", "127.0.0.1")
	o := options(t, s)
	o.Config.Takeover = filepath.Join(t.TempDir(), "takeover")
	o.Config.TLS.Client = config.ClientTLS{Mode: config.SSLAllow, Cert: cert.File, Key: cert.KeyFile}
	old := started(t, o)
	addr := old.Addrs()[0].String()
	late := fake.Dial(t, addr)
	late.Put(fake.Msg(0, uint32(80877103)))
	late.Byte()
	if _, err := successor(t, o, func(*config.Config) {}); err != nil {
		t.Fatal(err)
	}
	c := fake.Dial(t, addr)
	g := c.Login(fake.V32, "user", "ann", "database", "db")
	c.Put(fake.Query("sleep"))
	s.Await(t, "it runs", func() bool { return running(s) == 1 })
	late.Encrypt(&tls.Config{RootCAs: authority.Pool, ServerName: "127.0.0.1"})
	late.Put(fake.Cancel(g.PID, g.Key))
	c.WantError("57014")
	late.WantEOF()
	awaitDrained(t, old)
}
