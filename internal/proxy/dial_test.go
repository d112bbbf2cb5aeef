package proxy

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"cancello/internal/auth"
	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/pgtest/fake"
	"cancello/internal/wire"

	"github.com/google/go-cmp/cmp"
)

// target is where a fake is.
func target(s *fake.Server) engine.Target {
	return engine.Target{Host: "127.0.0.1", Port: s.Port(), Database: "db", User: "ann", Timeout: fake.Patience}
}

// dialTo asks for a server connection.
func (w *world) dialTo(id engine.Server, t engine.Target) {
	w.t.Helper()
	w.on(func(time.Duration) { w.out.Dial(id, t) })
}

// connected dials and expects it to work.
func (w *world) connected(id engine.Server, t engine.Target) gotDialed {
	w.t.Helper()
	w.dialTo(id, t)
	select {
	case d := <-w.dialed:
		return d
	case f := <-w.script.failed:
		w.t.Fatalf("dial failed: %+v", f)
	case <-time.After(fake.Patience):
		w.t.Fatal("no answer to Dial")
	}
	panic("unreachable")
}

func TestDial(t *testing.T) {
	params := []string{"server_version", "18.4", "TimeZone", "UTC"}
	list := []wire.Param{{Name: "server_version", Value: "18.4"}, {Name: "TimeZone", Value: "UTC"}}
	info := engine.ServerInfo{Params: list, PID: 1001, HasKey: true, Extras: true, Addr: "127.0.0.1"}
	with := func(f func(*engine.ServerInfo)) engine.ServerInfo { i := info; f(&i); return i }
	tests := []struct {
		name string
		fake fake.Config
		want engine.ServerInfo
	}{
		{"PostgreSQL", fake.Config{}, info},
		{"no key", fake.Config{Key: fake.NoKey}, with(func(i *engine.ServerInfo) { i.PID, i.HasKey = 0, false })},
		{"empty key", fake.Config{Key: fake.EmptyKey}, with(func(i *engine.ServerInfo) { i.HasKey = false })},
		{"zero key", fake.Config{Key: fake.ZeroKey}, with(func(i *engine.ServerInfo) { i.HasKey, i.Dummy = false, "its cancel keys are zeros" })},
		{"shortest key", fake.Config{Key: fake.RandomKey(4)}, info},
		{"key of an odd length", fake.Config{Key: fake.RandomKey(7)}, info},
		{"long key", fake.Config{Key: fake.RandomKey(256)}, info},
		{"key first", fake.Config{KeyFirst: true}, info},
		{"extras refused", fake.Config{Refuse: map[string]string{"idle_session_timeout": "42704"}}, with(func(i *engine.ServerInfo) { i.PID, i.Extras = 1002, false })},
		{"one of the extras refused", fake.Config{Refuse: map[string]string{"client_connection_check_interval": "08P01"}}, with(func(i *engine.ServerInfo) { i.PID, i.Extras = 1002, false })},
		{"password", fake.Config{Auth: fake.Cleartext, User: "ann", Password: "secret"}, info},
		{"md5", fake.Config{Auth: fake.MD5, User: "ann", Password: "secret"}, info},
		{"SCRAM", fake.Config{Auth: fake.SCRAM, User: "ann", Password: "secret"}, info},
		{"notices", fake.Config{Greet: func(s *fake.Session) {
			s.Send(fake.Msg('N', []byte("S"), "NOTICE", []byte("C"), "00000", []byte("M"), "hello", byte(0)))
			s.SendGreeting(true)
		}}, info},
		{"a parameter twice", fake.Config{Greet: func(s *fake.Session) {
			s.Send(fake.Msg('R', 0), fake.Msg('S', "server_version", "1"), fake.Msg('S', "TimeZone", "UTC"),
				fake.Msg('S', "server_version", "18.4"), fake.Msg('K', s.PID, s.Key), fake.Msg('Z', byte('I')))
		}}, info},
		{"parameters taken for extensions", fake.Config{Greet: func(s *fake.Session) {
			s.Send(fake.Msg('v', fake.V30, 1, "_pq_.idle_session_timeout"))
			s.SendGreeting(true)
		}}, with(func(i *engine.ServerInfo) { i.Extras = false })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.fake.Params = params
			s := fake.NewServer(t, tt.fake)
			w := start(t, newScript(), func(set *Settings) { set.Passwords.Environment = "secret" })
			for range 2 { // the second time with what was learned
				got := w.connected(engine.Server(s.Accepted()+1), target(s))
				x := s.Sessions()[len(s.Sessions())-1]
				want := tt.want
				want.Local = x.Conn.RemoteAddr().String()
				if diff := cmp.Diff(want, got.info); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if x.Version != fake.V30 || x.Param("user") != "ann" || x.Param("database") != "db" {
					t.Errorf("asked for version %#x as %s to %s", x.Version, x.Param("user"), x.Param("database"))
				}
				if x.Has("idle_session_timeout") == !tt.want.Extras && tt.name != "parameters taken for extensions" {
					t.Error("the extras were not sent where they are taken, or sent where they are not")
				}
				if tt.want.PID != 0 {
					tt.want.PID++
				}
			}
			if want := 2; len(tt.fake.Refuse) > 0 && s.Accepted() != want+1 {
				t.Errorf("%d connections, want %d: the refusal must be remembered", s.Accepted(), want+1)
			}
		})
	}
}

func TestAdoptedServerTalks(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	w := start(t, newScript())
	d := w.connected(7, target(s))
	if d.server != 7 {
		t.Errorf("Dialed for server %d", d.server)
	}
	w.on(func(time.Duration) { w.out.Send(d.conn, fake.Query("BEGIN")) })
	if got := next(t, w.got, "the answer"); got.conn != d.conn || got.bytes != string(fake.Join(fake.Msg('C', "BEGIN"), fake.Msg('Z', byte('T')))) {
		t.Errorf("the server answered %q", got.bytes)
	}
}

// What a server says right behind its ReadyForQuery is for the engine to judge, not lost.
func TestBytesBehindReadyForQuery(t *testing.T) {
	word := fake.Error("FATAL", "57P01", "terminating connection")
	s := fake.NewServer(t, fake.Config{Greet: func(s *fake.Session) {
		s.Send(fake.Msg('R', 0), fake.Msg('Z', byte('I')), word)
	}})
	w := start(t, newScript())
	d := w.connected(1, target(s))
	if got := next(t, w.got, "the server's word"); got.conn != d.conn || got.bytes != string(word) {
		t.Errorf("the engine got %q", got.bytes)
	}
}

// Some servers give one key to everybody; a cancel with it might hit anybody.
func TestSameKeyForAll(t *testing.T) {
	s := fake.NewServer(t, fake.Config{SamePID: 42, Key: func() ([]byte, bool) { return []byte{0, 0x2b, 0xe2, 0x10}, true }})
	w := start(t, newScript())
	if !w.connected(1, target(s)).info.HasKey {
		t.Error("the only one with its key has none")
	}
	if w.connected(2, target(s)).info.HasKey {
		t.Error("the second one with the same key has one")
	}
}

func TestDialFails(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	refuse := func(code string) fake.Config {
		return fake.Config{Greet: func(s *fake.Session) { s.Send(fake.Error("FATAL", code, "not you")); s.Conn.Close() }}
	}
	answer := func(msgs ...[]byte) fake.Config {
		return fake.Config{Greet: func(s *fake.Session) { s.Send(msgs...); s.Conn.Close() }}
	}
	tests := []struct {
		name  string
		fake  fake.Config
		edit  func(*engine.Target)
		code  string // SQLSTATE of a refusal
		text  string
		dials int
	}{
		{"nobody listens", fake.Config{}, func(t *engine.Target) { t.Port = closed.Addr().(*net.TCPAddr).Port }, "", "connection refused", 0},
		{"unknown name", fake.Config{}, func(t *engine.Target) { t.Host = "no..such.host" }, "", `host name "no..such.host" is not known`, 0},
		{"no socket", fake.Config{}, func(t *engine.Target) { t.Host = "/nowhere" }, "", "no such file or directory", 0},
		{"wrong password", fake.Config{Auth: fake.Cleartext, User: "ann", Password: "other"}, nil, "28P01", `password authentication failed for user "ann"`, 1},
		{"wrong md5", fake.Config{Auth: fake.MD5, User: "ann", Password: "other"}, nil, "28P01", `password authentication failed for user "ann"`, 1},
		{"wrong SCRAM", fake.Config{Auth: fake.SCRAM, User: "ann", Password: "other"}, nil, "28P01", `password authentication failed for user "ann"`, 1},
		{"no such database", refuse("3D000"), nil, "3D000", "not you", 1},
		{"full", refuse("53300"), nil, "53300", "not you", 1},
		{"starting", refuse("57P03"), nil, "57P03", "not you", 1},
		{"refused without a reason we know", refuse("XX000"), nil, "XX000", "not you", 2},
		{"closed", answer(), nil, "", "closed the connection during login", 1},
		{"garbage", answer([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")), nil, "", "message of type", 1},
		{"a length of 2 GB", answer([]byte{'S', 0x7f, 0xff, 0xff, 0xff}), nil, "", "length", 1},
		{"a huge error", answer([]byte{'E', 0x3f, 0xff, 0xff, 0xff}), nil, "", "more than 262144 bytes", 1},
		{"ready before let in", answer(fake.Msg('Z', byte('I'))), nil, "", "before AuthenticationOk", 1},
		{"a row", answer(fake.Msg('R', 0), fake.Msg('D', uint16(0))), nil, "", "during login", 1},
		{"key cut off", answer(fake.Msg('R', 0), fake.Msg('K', uint16(0))), nil, "", "cannot be read", 1},
		{"parameter cut off", answer(fake.Msg('R', 0), fake.Msg('S', "name")), nil, "", "cannot be read", 1},
		{"short key", fake.Config{Key: fake.RandomKey(3)}, nil, "", "a cancel key of 3 bytes", 1},
		{"key too long", fake.Config{Key: fake.RandomKey(257)}, nil, "", "a cancel key of 257 bytes", 1},
		{"another protocol", answer(fake.Msg('v', 0x00030002, 0)), nil, "", "wants protocol 3.2", 1},
		{"Kerberos", answer(fake.Msg('R', 7)), nil, "", "Kerberos", 1},
		{"silence", fake.Config{Greet: func(s *fake.Session) { s.Read() }}, func(t *engine.Target) { t.Timeout = 30 * time.Millisecond },
			"", "did not let us in within server_connect_timeout = 30ms", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := fake.NewServer(t, tt.fake)
			w := start(t, newScript(), func(set *Settings) { set.Passwords.Environment = "my secret" })
			to := target(s)
			if tt.edit != nil {
				tt.edit(&to)
			}
			w.dialTo(1, to)
			f := next(t, w.script.failed, "the failure")
			if f.Refused != (tt.code != "") || f.Code != tt.code || !strings.Contains(f.Message, tt.text) {
				t.Errorf("failure %+v, want code %q and %q", f, tt.code, tt.text)
			}
			if strings.Contains(f.Message, "my secret") || strings.Contains(f.Message, "\n") {
				t.Errorf("message %q", f.Message)
			}
			if s.Accepted() != tt.dials {
				t.Errorf("dialed %d times, want %d", s.Accepted(), tt.dials)
			}
		})
	}
}

// The engine is told where trying again would not help, so that nobody waits for it.
func TestUnableToLogIn(t *testing.T) {
	for name, c := range map[string]struct {
		fake   fake.Config
		unable bool
		text   string
	}{
		"no password":    {fake.Config{Auth: fake.SCRAM, User: "ann", Password: "secret"}, true, "there is none"},
		"unknown method": {fake.Config{Greet: func(s *fake.Session) { s.Send(fake.Msg('R', 7)); s.Read() }}, true, "Kerberos"},
		"closed":         {fake.Config{Greet: func(s *fake.Session) { s.Conn.Close() }}, false, "closed the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			s := fake.NewServer(t, c.fake)
			w := start(t, newScript())
			w.dialTo(1, target(s))
			if f := next(t, w.script.failed, "the failure"); f.Unable != c.unable || f.Refused || !strings.Contains(f.Message, c.text) {
				t.Errorf("failure %+v, want unable %v and %q", f, c.unable, c.text)
			}
		})
	}
}

func TestPasswordPlaces(t *testing.T) {
	dir := t.TempDir()
	s := fake.NewServer(t, fake.Config{Auth: fake.Cleartext, User: "ann", Password: "right"})
	file := func(name, host string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, fmt.Appendf(nil, "# a comment\n%s:%d:db:ann:right\n", host, s.Port()), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	list := func(text string) *auth.Userlist {
		l, err := auth.ParseUserlist("users", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	dsn := func(password string) config.Database {
		return config.Database{Name: "db", Password: password}
	}
	tests := []struct {
		name string
		db   config.Database
		from Passwords
		ok   bool
	}{
		{"nowhere", config.Database{}, Passwords{}, false},
		{"DSN", dsn("right"), Passwords{Userlist: list(`"ann" "wrong"`), Environment: "wrong"}, true},
		{"wrong in the DSN", dsn("wrong"), Passwords{Environment: "right"}, false},
		{"user list", config.Database{}, Passwords{Userlist: list(`"ann" "right"`), Environment: "wrong"}, true},
		{"user list without the user", config.Database{}, Passwords{Userlist: list(`"bob" "wrong"`), Environment: "right"}, true},
		{"environment", config.Database{}, Passwords{Environment: "right", Passfile: file("a", "*", 0o600)}, true},
		{"passfile", config.Database{}, Passwords{Passfile: file("b", "127.0.0.1", 0o600)}, true},
		{"passfile for another host", config.Database{}, Passwords{Passfile: file("c", "192.0.2.1", 0o600)}, false},
		{"passfile that others can read", config.Database{}, Passwords{Passfile: file("d", "*", 0o644)}, false},
		{"passfile that is a folder", config.Database{}, Passwords{Passfile: dir}, false},
		{"passfile that is not there", config.Database{}, Passwords{Passfile: filepath.Join(dir, "none")}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := start(t, newScript(), func(set *Settings) {
				set.Passwords = tt.from
			})
			to := target(s)
			to.Entry = tt.db
			w.dialTo(1, to)
			select {
			case <-w.dialed:
				if !tt.ok {
					t.Error("let in")
				}
			case f := <-w.script.failed:
				if tt.ok {
					t.Errorf("not let in: %s", f.Message)
				}
			case <-time.After(fake.Patience):
				t.Fatal("no answer to Dial")
			}
		})
	}
}

func TestAddress(t *testing.T) {
	tests := []struct {
		host          string
		network, addr string
	}{
		{"db.example", "tcp", "db.example:5432"},
		{"::1", "tcp", "[::1]:5432"},
		{"/run/postgresql", "unix", "/run/postgresql/.s.PGSQL.5432"},
		{"/run/postgresql/", "unix", "/run/postgresql/.s.PGSQL.5432"},
		{"@abstract", "unix", "@abstract/.s.PGSQL.5432"},
	}
	for _, tt := range tests {
		if network, addr := address(engine.Target{Host: tt.host, Port: 5432}); network != tt.network || addr != tt.addr {
			t.Errorf("address(%s) = %s %s, want %s %s", tt.host, network, addr, tt.network, tt.addr)
		}
	}
}

func TestDialThroughUnixSocket(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	dir := t.TempDir()
	ln, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL."+strconv.Itoa(s.Port())))
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(ln)
	w := start(t, newScript())
	to := target(s)
	to.Host = dir
	if !w.connected(1, to).info.HasKey {
		t.Error("no key")
	}
	w.on(func(time.Duration) { w.out.Carry(1, 1, 0) })
	if d := next(t, w.done, "the end of the order"); d.result != engine.Delivered {
		t.Errorf("result %v", d.result)
	}
}
