package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/pgtest/fake"

	"github.com/jackc/pgx/v5"
)

// console connects to a's console with pgx, which speaks the extended protocol and asks for binary values.
func console(t *testing.T, a *App, user, more string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), fake.Patience)
	defer cancel()
	c, err := pgx.Connect(ctx, fmt.Sprintf("postgres://%s@%s/cancello?sslmode=disable%s", user, a.Addrs()[0], more))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// shown asks for rows and gives them as maps.
func shown(t *testing.T, c *pgx.Conn, what string) []map[string]any {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), fake.Patience)
	defer cancel()
	rows, err := c.Query(ctx, "SHOW "+what)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToMap)
	if err != nil {
		t.Fatalf("SHOW %s: %v", what, err)
	}
	return list
}

func TestConsoleShowsWhatHappens(t *testing.T) {
	for _, mode := range []string{"", "&default_query_exec_mode=simple_protocol", "&default_query_exec_mode=exec", "&default_query_exec_mode=describe_exec"} {
		t.Run(mode, func(t *testing.T) {
			s := fake.NewServer(t, fake.Config{})
			o := options(t, s)
			o.Config.Pool.DefaultSize = 1
			out := &outcomes{make(chan event.Outcome, 10)}
			o.Watch = out.watch
			a := started(t, o)
			one, two := fake.Dial(t, a.Addrs()[0].String()), fake.Dial(t, a.Addrs()[0].String())
			g1 := one.Login(fake.V30, "user", "ann", "database", "db")
			two.Login(fake.V30, "user", "ann", "database", "db")
			one.Put(fake.Query("sleep"))
			s.Await(t, "it runs", func() bool { return len(s.Sessions()) == 1 && s.Sessions()[0].Running() })
			two.Put(fake.Query("SELECT 1"))
			awaitSnapshot(t, a, "one waits", func(s event.Snapshot) bool { return s.Pools[0].ClientsWaiting == 1 })

			c := console(t, a, "anybody", mode)
			if got := shown(t, c, "VERSION"); len(got) != 1 || got[0]["version"] != "Cancello "+o.Version {
				t.Errorf("version %v", got)
			}
			pools := shown(t, c, "POOLS")
			if len(pools) != 1 || pools[0]["database"] != "db" || pools[0]["user"] != "ann" || pools[0]["cl_active"] != int64(1) ||
				pools[0]["cl_waiting"] != int64(1) || pools[0]["sv_active"] != int64(1) || pools[0]["pool_mode"] != "transaction" {
				t.Errorf("pools %v", pools)
			}
			clients, servers := shown(t, c, "CLIENTS"), shown(t, c, "SERVERS")
			if len(clients) != 2 || clients[0]["id"] != int64(g1.PID) || clients[0]["state"] != "active" || clients[1]["state"] != "waiting" {
				t.Errorf("clients %v", clients)
			}
			if len(servers) != 1 || servers[0]["link"] != clients[0]["ptr"] || servers[0]["ptr"] != clients[0]["link"] {
				t.Errorf("servers %v", servers)
			}
			fake.SendCancel(t, a.Addrs()[0].String(), g1.PID, g1.Key)
			one.WantError("57014")
			out.want(t, event.Cancelled)
			cancels := shown(t, c, "CANCELS")
			if len(cancels) != 1 || cancels[0]["outcome"] != "cancelled" || cancels[0]["client"] != int64(g1.PID) || cancels[0]["kind"] != "query" ||
				cancels[0]["unit"] != int64(1) || cancels[0]["sends"] != int64(1) || cancels[0]["ms"].(float64) <= 0 {
				t.Errorf("cancels %v", cancels)
			}
			if err := c.Ping(t.Context()); err != nil {
				t.Errorf("ping: %v", err)
			}
			for _, what := range []string{"DATABASES", "STATS", "CONFIG", "STATE", "client_encoding"} {
				if got := shown(t, c, what); len(got) == 0 {
					t.Errorf("SHOW %s shows nothing", what)
				}
			}
		})
	}
}

// The console is no client: it neither counts as one nor hinders a drain, and can be had in one. A Stop ends it.
func TestConsoleInADrain(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	a := started(t, options(t, s))
	before := console(t, a, "anybody", "")
	cl := fake.Dial(t, a.Addrs()[0].String())
	cl.Login(fake.V30, "user", "ann", "database", "db")
	cl.Put(fake.Query("BEGIN"))
	cl.Want("CZ")
	a.Drain()
	if got := shown(t, console(t, a, "anybody", ""), "CLIENTS"); len(got) != 1 || got[0]["state"] != "active" {
		t.Errorf("clients in a drain: %v", got)
	}
	cl.Close()
	select {
	case <-a.Drained():
	case <-time.After(fake.Patience):
		t.Fatal("not drained: a console hinders it")
	}
	shown(t, before, "STATE")
	a.Stop()
	if err := before.Ping(t.Context()); err == nil {
		t.Error("a console outlives Stop")
	}
}

// With passwords only those of the lists get in, and only with theirs.
func TestConsoleWantsAPassword(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	o := options(t, s)
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("\"eve\" \"right\"\n\"ann\" \"right\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Config.Auth = config.Auth{Method: config.SCRAM, File: users, StatsUsers: []string{"eve"}}
	a := started(t, o)
	tests := []struct{ user, want string }{
		{"eve:right", ""}, {"eve:wrong", "28P01"}, {"ann:right", "28000"},
	}
	for _, tt := range tests {
		c, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://%s@%s/cancello?sslmode=disable", tt.user, a.Addrs()[0]))
		if err == nil {
			c.Close(context.Background())
		}
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.user, err, tt.want)
		}
	}
}

// order gives the console a command.
func order(t *testing.T, c *pgx.Conn, what string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), fake.Patience)
	defer cancel()
	_, err := c.Exec(ctx, what)
	return err
}

// A PAUSE answers when every server is free, lets cancels through, and RESUME undoes it.
func TestPauseAndResume(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	o := options(t, s)
	o.Config.Auth.AdminUsers = []string{"root"}
	a := started(t, o)
	root, other := console(t, a, "root", ""), console(t, a, "root", "")
	one, two := fake.Dial(t, a.Addrs()[0].String()), fake.Dial(t, a.Addrs()[0].String())
	g1 := one.Login(fake.V30, "user", "ann", "database", "db")
	g2 := two.Login(fake.V30, "user", "ann", "database", "db")
	one.Put(fake.Query("sleep"))
	s.Await(t, "it runs", func() bool { return len(s.Sessions()) == 1 && s.Sessions()[0].Running() })

	paused := make(chan error, 1)
	go func() { paused <- order(t, root, "PAUSE db") }()
	awaitSnapshot(t, a, "it is paused", func(s event.Snapshot) bool { return s.Pools[0].Paused })
	two.Put(fake.Query("SELECT 1"))
	awaitSnapshot(t, a, "one waits", func(s event.Snapshot) bool { return s.Pools[0].ClientsWaiting == 1 })
	select {
	case err := <-paused:
		t.Fatalf("PAUSE answered while a query ran: %v", err)
	default:
	}
	fake.SendCancel(t, a.Addrs()[0].String(), g1.PID, g1.Key)
	one.WantError("57014")
	if err := fake.Next(t, paused, "the end of PAUSE"); err != nil {
		t.Fatal(err)
	}
	awaitSnapshot(t, a, "no server is left", func(s event.Snapshot) bool {
		p := s.Pools[0]
		return p.ServersActive+p.ServersIdle+p.ServersCleaning+p.ServersDialing == 0
	})
	if got := shown(t, other, "DATABASES"); got[0]["paused"] != int64(1) {
		t.Errorf("databases %v", got)
	}
	if err := order(t, other, "RESUME"); err != nil {
		t.Fatal(err)
	}
	two.Want("CZ")
	if err := order(t, other, "RESUME"); err == nil || !strings.Contains(err.Error(), "nothing is paused") {
		t.Errorf("a second RESUME: %v", err)
	}
	if err := order(t, other, "RECONNECT db"); err != nil {
		t.Error(err)
	}
	if err := order(t, other, fmt.Sprintf("KILL_CLIENT %d", g2.PID)); err != nil {
		t.Error(err)
	}
	two.WantError("57P01")
	two.WantEOF()
	if err := order(t, other, "KILL"); err != nil {
		t.Error(err)
	}
	one.Want("Z") // of what was cancelled
	one.WantError("57P01")
}

// RELOAD and SHUTDOWN reach the App.
func TestReloadAndShutdownAtTheConsole(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	o := options(t, s)
	o.Config.Auth.AdminUsers = []string{"root"}
	next := o.Config
	next.Pool.DefaultSize = 7
	o.Load = func() (config.Config, error) { return next, nil }
	a := started(t, o)
	root := console(t, a, "root", "")
	if err := order(t, root, "RELOAD"); err != nil {
		t.Fatal(err)
	}
	if got := shown(t, root, "DATABASES"); got[0]["pool_size"] != int64(7) {
		t.Errorf("databases %v", got)
	}
	next.Pool.DefaultSize = -1
	if err := order(t, root, "RELOAD"); err == nil || !strings.Contains(err.Error(), "reload refused") {
		t.Errorf("a bad RELOAD: %v", err)
	}
	if err := order(t, root, "SHUTDOWN"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-a.StopAsked():
	case <-time.After(fake.Patience):
		t.Fatal("the end was not asked for")
	}
	if err := order(t, root, "SHUTDOWN WAIT_FOR_CLIENTS"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-a.Drained():
	case <-time.After(fake.Patience):
		t.Fatal("not drained")
	}
}
