package test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"

	"github.com/jackc/pgx/v5"
)

// passthrough are the options of a gate that passes everything through to a DSN.
func passthrough(dsn string, set ...string) gateOptions {
	return gateOptions{upstreams: []string{dsn}, mode: passedThrough, set: set}
}

// Clients log in to the server itself, by whatever it asks for: the gate has no password. Then all of psql and pgx
// works, and so does their cancel, in clear and over TLS on both sides.
func TestPassthrough(t *testing.T) {
	a := fake.NewAuthority(t)
	for _, major := range majors {
		for _, tls := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, TLS %v", major, tls), func(t *testing.T) {
				cert := a.Issue("postgres", "127.0.0.1")
				c := pgtest.Start(t, major,
					pgtest.Settings(map[string]string{"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}),
					pgtest.Files(map[string][]byte{"server.crt": cert.PEM, "server.key": cert.KeyPEM}),
					pgtest.HBA("local all all trust\nhost all ann all scram-sha-256\nhost all all all trust\n"))
				superuser(t, c, "CREATE ROLE ann SUPERUSER LOGIN PASSWORD 'right'; CREATE TABLE cl_passed (n int, t text); CREATE TABLE cl_pgx (n int primary key, t text)")
				dsn, mode, params := "postgres://"+c.Addr()+"?sslmode=disable", "disable", []string{"channel_binding=disable"}
				o := passthrough(dsn)
				if tls {
					o = passthrough("postgres://" + c.Addr() + "?sslmode=verify-full&sslrootcert=" + a.File)
					_, set := front(a, "require")
					o.set = append(o.set, set...)
					mode, params = "verify-full", append(params, "sslrootcert="+a.File)
				}
				g := startGate(t, o)
				login := func(password string) string {
					dsn := strings.Replace(g.DSN("ann:"+password, "postgres", params...), "sslmode=disable", "sslmode="+mode, 1)
					return strings.Replace(dsn, "%3A", ":", 1)
				}
				if out := pgtest.PSQL(t, pgtest.SystemLibpq, "-d", login("wrong"), "-c", "SELECT 1"); !strings.Contains(out.Stderr, `password authentication failed for user "ann"`) {
					t.Errorf("psql says %q", out.Stderr)
				}
				g.AwaitLog(`msg="login refused" .*code=28P01`)
				usePSQL(t, c, g, pgtest.SystemLibpq, login("right"), "cl_passed")
				ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
				defer cancel()
				config, err := pgx.ParseConfig(login("right"))
				if err != nil {
					t.Fatal(err)
				}
				conn, err := pgx.ConnectConfig(ctx, config)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { conn.Close(context.Background()) })
				usePGX(ctx, t, conn)
				cancelPGX(ctx, t, c, conn, "cl_passed_pgx")
				g.AwaitLog(` outcome=forwarded `)
			})
		}
	}
}

// What is said before the end of the login is passed on, whatever it is: methods that nobody knows, messages of a
// vendor's, a query that did not wait, and a server that gives no key.
func TestPassthroughOfWhatWeDoNotKnow(t *testing.T) {
	vendors := fake.Msg('?', []byte("what is this"))
	token := fake.Msg('p', []byte("a vendor's token"))
	seen := make(chan []byte, 1)
	f := fake.NewServer(t, fake.Config{Key: fake.NoKey, Greet: func(s *fake.Session) {
		s.Send(vendors, fake.Msg('R', 4711, []byte("a vendor's method")))
		m, err := s.Read()
		if err == nil {
			seen <- fake.Msg(m.Type, m.Body)
		}
		s.Send(fake.Msg('N', byte('S'), "NOTICE", byte(0)), fake.Msg('!', make([]byte, 300_000)))
		s.SendGreeting(false)
	}})
	g := startGate(t, passthrough(fakeUpstream(f)))
	c := fake.Dial(t, g.Addr())
	c.Put(fake.Startup(fake.V30, "user", "ann", "database", "shop", "options", "-c what=ever", "_pq_.vendor", "1"), token, fake.Query("SELECT early"))
	for _, want := range []byte("?RN!R") {
		if m := c.Message(); m.Type != want || want == '!' && len(m.Body) != 300_000 {
			t.Fatalf("%q with %d bytes, want %q", m.Type, len(m.Body), want)
		}
	}
	for types := fake.Types(c.Until("Z")); strings.Trim(types, "S") != "Z"; {
		t.Fatalf("behind AuthenticationOk came %q, and no key should", types)
	}
	if got := <-seen; !bytes.Equal(got, token) {
		t.Errorf("the server was sent %q", got)
	}
	c.Want("CZ")
	c.Put(fake.Query("SELECT late"))
	c.Want("CZ")
	s := f.Sessions()[0]
	if s.Param("options") != "-c what=ever" || s.Param("_pq_.vendor") != "1" {
		t.Error("the startup packet is another one")
	}
	c.Put(fake.Msg('X'))
	c.WantEOF()
}

// What clients get for a key, by client_keys and protocol; a cancel with it ends its own query, and no other's.
func TestPassthroughKeys(t *testing.T) {
	for _, major := range majors {
		for _, tt := range []struct {
			keys     string
			version  uint32
			length   int // on 18
			upstream bool
		}{
			{"always", fake.V30, 4, false},
			{"always", fake.V32, 32, false},
			{"3.2", fake.V30, 0, false},
			{"3.2", fake.V32, 32, false},
			{"never", fake.V32, 0, false},
			{"upstream", fake.V30, 4, true},
			{"upstream", fake.V32, 32, true},
		} {
			t.Run(fmt.Sprintf("%d, %s, %x", major, tt.keys, tt.version), func(t *testing.T) {
				if major < 18 && tt.version == fake.V32 { // which PostgreSQL negotiates down
					if tt.length = 4; tt.keys == "3.2" || tt.keys == "never" {
						tt.length = 0
					}
				}
				c := pgtest.Start(t, major)
				g := startGate(t, passthrough(upstream(c, "", "postgres"), "client_keys="+tt.keys))
				enter := func() *joined {
					c := fake.Dial(t, g.Addr())
					in := c.Login(tt.version, "user", "postgres", "database", "postgres")
					if len(in.Key) != tt.length {
						t.Fatalf("a key of %d bytes, want %d", len(in.Key), tt.length)
					}
					c.Put(fake.Query("SELECT pg_backend_pid()"))
					pid := firstColumn(c.Want("TDCZ")[1].Body)
					if own := pid == fmt.Sprint(in.PID); tt.length > 0 && own != tt.upstream {
						t.Errorf("pid %d at backend %s", in.PID, pid)
					}
					c.Put(fake.Query(sleeper))
					c.Want("N")
					return &joined{c, in.PID, in.Key}
				}
				first, second := enter(), enter()
				if tt.length == 0 {
					return
				}
				fake.SendCancel(t, g.Addr(), second.pid, second.key)
				second.WantError("57014")
				second.Want("Z")
				g.outcome(t, 1, "forwarded")
				fake.SendCancel(t, g.Addr(), first.pid, first.key)
				first.WantError("57014")
				first.Want("Z")
				g.outcome(t, 2, "forwarded")
				second.Put(fake.Query("SELECT 1"))
				second.Want("TDCZ")
			})
		}
	}
}

// Where a cancel cannot be told from another's it is not sent, and where there is nobody it says so.
func TestPassthroughCancelsThatCannotBe(t *testing.T) {
	for name, tt := range map[string]struct {
		config  fake.Config
		outcome string
	}{
		"zeros":       {fake.Config{Key: fake.ZeroKey}, "unsupported"},
		"one for all": {fake.Config{Key: func() ([]byte, bool) { return []byte{1, 2, 3, 4}, true }, SamePID: 42}, "unsupported"},
		"reset":       {fake.Config{Cancel: fake.ResetIt}, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			f := fake.NewServer(t, tt.config)
			g := startGate(t, passthrough(fakeUpstream(f)))
			c, other := enter(t, g), enter(t, g)
			c.Put(fake.Query("sleep"))
			other.Put(fake.Query("sleep"))
			running(t, f, 2)
			fake.SendCancel(t, g.Addr(), c.pid, c.key)
			g.outcome(t, 1, tt.outcome)
			if sent := len(f.Cancels()); tt.outcome == "unsupported" && sent != 0 {
				t.Errorf("%d CancelRequests were sent", sent)
			}
		})
	}
}

// Both ends of a passage go together: with what was said to them, and with a word of ours where one can be said.
func TestPassthroughEnds(t *testing.T) {
	f := fake.NewServer(t, fake.Config{Query: func(s *fake.Session, sql string) {
		switch sql {
		case "crash":
			s.Send(fake.Error("FATAL", "57P02", "crash"))
			s.Conn.Close()
		case "half":
			s.Send(fake.Msg('D', make([]byte, 100))[:50])
		default:
			s.Answer(sql)
		}
	}})
	g := startGate(t, passthrough(fakeUpstream(f), "max_client_conn=3", "admin_users=postgres"))
	crashed, killed, cut := enter(t, g), enter(t, g), enter(t, g)
	fourth := fake.Dial(t, g.Addr())
	fourth.Put(fake.Startup(fake.V30, "user", "postgres", "database", "postgres"))
	fourth.WantError("53300")
	fourth.WantEOF()

	crashed.Put(fake.Query("crash"))
	crashed.WantError("57P02")
	crashed.WantEOF()

	cut.Put(fake.Query("half"))
	halves := make([]byte, 50)
	if _, err := cut.Read(halves); err != nil {
		t.Fatal(err)
	}
	console := fake.Dial(t, g.Addr())
	console.Login(fake.V30, "user", "postgres", "database", "cancello")
	console.Put(fake.Query("SHOW SERVERS"))
	if types := fake.Types(console.Until("Z")); types != "TDDCZ" {
		t.Errorf("SHOW SERVERS answers %q, want two servers", types)
	}
	for _, c := range []*joined{killed, cut} {
		console.Put(fake.Query(fmt.Sprintf("KILL_CLIENT %d", c.pid)))
		console.Want("CZ")
	}
	killed.WantError("57P01")
	killed.WantEOF()
	cut.WantEOF() // nothing can be said in the middle of a message
	until(t, "the servers have been left", func() bool {
		console.Put(fake.Query("SHOW SERVERS"))
		return fake.Types(console.Until("Z")) == "TCZ"
	})

	last := enter(t, g)
	g.terminate(t, "draining")
	last.Put(fake.Query("SELECT"))
	last.Want("CZ") // whether it has finished is not ours to say
	last.Put(fake.Msg('X'))
	last.WantEOF()
	g.ends(t)
}

// Much data, and readers that don't read: nothing is lost, and nothing is piled up.
func TestPassthroughPressure(t *testing.T) {
	c := pgtest.Start(t, 18)
	g := startGate(t, passthrough(upstream(c, "", "postgres")))
	x := enter(t, g)
	const rows = 100_000
	x.Put(fake.Query(fmt.Sprintf("COPY (SELECT repeat('x', 1000) FROM generate_series(1, %d)) TO STDOUT", rows)))
	x.Want("H")
	until(t, "PostgreSQL waits for us", func() bool {
		return superuser(t, c, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'") == "1"
	})
	n := 0
	for began := time.Now(); ; n++ {
		if m := x.Message(); m.Type != 'd' {
			x.Want("CZ")
			break
		}
		if time.Since(began) > 2*patience {
			t.Fatal("too slow")
		}
	}
	if n != rows {
		t.Errorf("%d rows of %d", n, rows)
	}
	if peak := g.Memory().peak; peak > 64<<20 {
		t.Errorf("%d bytes in memory", peak)
	}
}
