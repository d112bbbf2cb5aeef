package proxy

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/pgtest/fake"
	"cancello/internal/wire"

	"github.com/google/go-cmp/cmp"
)

var (
	sslRequest = fake.Msg(0, fake.SSLCode)
	gssRequest = fake.Msg(0, fake.GSSCode)
)

func TestStartupIsAnsweredAsPostgreSQLDoes(t *testing.T) {
	join := fake.Join
	tests := []struct {
		name  string
		send  []byte
		want  string // what comes before the messages: N, or a 'v' in hex
		types string // the messages behind it; "E" for an error
		code  string
		text  string
	}{
		{"3.0", fake.Startup(fake.V30, "user", "u"), "", "RSSKZ", "", ""},
		{"3.2", fake.Startup(fake.V32, "user", "u"), "", "RSSKZ", "", ""},
		{"3.1 is taken for 3.0", fake.Startup(0x00030001, "user", "u"), "", "RSSKZ", "", ""},
		{"3.3", fake.Startup(0x00030003, "user", "u"), "760000000c0003000200000000", "RSSKZ", "", ""},
		{"grease", fake.Startup(0x0003270F, "user", "u", "_pq_.test_protocol_negotiation", ""),
			"760000002b0003000200000001" + hex.EncodeToString([]byte("_pq_.test_protocol_negotiation\x00")), "RSSKZ", "", ""},
		{"extensions", fake.Startup(fake.V30, "user", "u", "_pq_.foo", "1", "_pq_.bar", ""),
			"760000001e0003000000000002" + hex.EncodeToString([]byte("_pq_.foo\x00_pq_.bar\x00")), "RSSKZ", "", ""},
		{"SSLRequest first", join(sslRequest, fake.Startup(fake.V30, "user", "u")), hex.EncodeToString([]byte("N")), "RSSKZ", "", ""},
		{"GSSENCRequest first", join(gssRequest, fake.Startup(fake.V30, "user", "u")), hex.EncodeToString([]byte("N")), "RSSKZ", "", ""},
		{"both", join(sslRequest, gssRequest, fake.Startup(fake.V30, "user", "u")), hex.EncodeToString([]byte("NN")), "RSSKZ", "", ""},
		{"SSLRequest twice", join(sslRequest, sslRequest), hex.EncodeToString([]byte("N")), "E", "0A000", "unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2"},
		{"GSSENCRequest twice", join(gssRequest, sslRequest, gssRequest), hex.EncodeToString([]byte("NN")), "E", "0A000", "unsupported frontend protocol 1234.5680: server supports 3.0 to 3.2"},
		{"4.0", fake.Startup(0x00040000, "user", "u"), "", "E", "0A000", "unsupported frontend protocol 4.0: server supports 3.0 to 3.2"},
		{"no user", fake.Startup(fake.V30, "database", "d"), "", "E", "28000", "no PostgreSQL user name specified in startup packet"},
		{"empty user", fake.Startup(fake.V30, "user", ""), "", "E", "28000", "no PostgreSQL user name specified in startup packet"},
		{"no parameters", fake.Startup(fake.V30), "", "E", "28000", "no PostgreSQL user name specified in startup packet"},
		{"no terminator", fake.Msg(0, fake.V30, "user", "u"), "", "E", "08P01", "invalid startup packet layout: expected terminator as last byte"},
		{"bytes behind the terminator", fake.Msg(0, fake.V30, "user", "u", byte(0), byte(0)), "", "E", "08P01", "invalid startup packet layout: expected terminator as last byte"},
		{"version alone", fake.Msg(0, fake.V30), "", "E", "08P01", "invalid startup packet layout: expected terminator as last byte"},
		{"length 7", []byte{0, 0, 0, 7, 0, 3, 0}, "", "E", "08P01", "invalid length of startup packet"},
		{"length 10001", []byte{0, 0, 0x27, 0x11}, "", "E", "08P01", "invalid length of startup packet"},
		{"length negative", []byte{0xff, 0xff, 0xff, 0xff}, "", "E", "08P01", "invalid length of startup packet"},
		{"HTTP", []byte("GET / HTTP/1.1\r\n\r\n"), "", "E", "08P01", "invalid length of startup packet"},
		{"TLS", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), "", "E", "08P01", "invalid length of startup packet"},
	}
	w := start(t, newScript())
	for _, tt := range tests {
		for _, pace := range []string{"at once", "byte by byte"} {
			t.Run(tt.name+" "+pace, func(t *testing.T) {
				c := fake.Dial(t, w.addr())
				if pace == "at once" {
					c.Put(tt.send)
				} else {
					for i := range tt.send {
						if _, err := c.Write(tt.send[i : i+1]); err != nil {
							break // refused before its end
						}
					}
				}
				want, _ := hex.DecodeString(tt.want)
				got := make([]byte, len(want))
				for i := range got {
					got[i] = c.Byte()
				}
				if !bytes.Equal(got, want) {
					t.Fatalf("first came %x, want %x", got, want)
				}
				if tt.types != "E" {
					c.Want(tt.types)
					return
				}
				if text := c.WantError(tt.code); text != tt.text {
					t.Errorf("the error says %q, want %q", text, tt.text)
				}
				c.WantEOF()
			})
		}
	}
}

func TestOldProtocolHearsItsOwnError(t *testing.T) {
	w := start(t, newScript())
	c := fake.Dial(t, w.addr())
	c.Put(fake.Startup(0x00020000, "user", "u"))
	got, err := io.ReadAll(c)
	want := "EFATAL:  unsupported frontend protocol 2.0: server supports 3.0 to 3.2\n\x00"
	if string(got) != want || err != nil {
		t.Errorf("got %q, %v; want %q and EOF", got, err, want)
	}
}

func TestGreeting(t *testing.T) {
	w := start(t, newScript())
	c := fake.Dial(t, w.addr())
	c.Put(fake.Startup(fake.V30, "user", "u"))
	all := c.Want("RSSKZ")
	want := []fake.Message{
		{Type: 'R', Body: []byte{0, 0, 0, 0}},
		{Type: 'S', Body: []byte("server_version\x0018.4\x00")},
		{Type: 'S', Body: []byte("TimeZone\x00UTC\x00")},
		{Type: 'K', Body: []byte{0x40, 0, 0, 7, 1, 2, 3, 4}},
		{Type: 'Z', Body: []byte("I")},
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("greeting (-want +got):\n%s", diff)
	}
}

func TestRequestSaysWhoAsks(t *testing.T) {
	p := func(kv ...string) (all []wire.Param) {
		for i := 0; i < len(kv); i += 2 {
			all = append(all, wire.Param{Name: kv[i], Value: kv[i+1]})
		}
		return all
	}
	tests := []struct {
		name string
		kv   []string
		want engine.Request
	}{
		{"database is named as the user", []string{"user", "ann"}, engine.Request{User: "ann", Database: "ann"}},
		{"empty database too", []string{"user", "ann", "database", ""}, engine.Request{User: "ann", Database: "ann"}},
		{"order is kept", []string{"user", "ann", "b", "1", "database", "shop", "a", "2"}, engine.Request{User: "ann", Database: "shop", Params: p("b", "1", "a", "2")}},
		{"the last value counts", []string{"user", "x", "a", "1", "b", "2", "a", "3", "user", "ann", "database", "x", "database", "shop"},
			engine.Request{User: "ann", Database: "shop", Params: p("a", "3", "b", "2")}},
		{"replication goes on to the engine", []string{"user", "ann", "replication", "1"}, engine.Request{User: "ann", Database: "ann", Params: p("replication", "1")}},
		{"extensions don't", []string{"user", "ann", "_pq_.x", "1"}, engine.Request{User: "ann", Database: "ann"}},
	}
	w := start(t, newScript())
	var seen [][20]byte
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := fake.Dial(t, w.addr())
			c.Put(fake.Startup(fake.V32, tt.kv...))
			c.Until("Z")
			got := next(t, w.logins, "login")
			if got.Remote != c.LocalAddr().String() || got.Local != w.addr() || got.Version != wire.V32 || got.Conn == 0 {
				t.Errorf("remote %q version %v conn %v", got.Remote, got.Version, got.Conn)
			}
			for _, r := range seen {
				if r == got.Random {
					t.Error("the random bytes for the key are not fresh")
				}
			}
			seen = append(seen, got.Random)
			got.Remote, got.Local, got.Version, got.Conn, got.Random = "", "", 0, 0, [20]byte{}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A client may send its first query in the same segment as its startup packet; then the socket is empty after the
// login, and nobody would ever hear of what came with it (trap C4).
func TestQueryPipelinedWithStartup(t *testing.T) {
	s := newScript()
	s.data = func(s *script, c engine.Conn, b engine.Buf) { s.out.Send(c, fake.Msg('Z', byte('I'))) }
	w := start(t, s)
	c := fake.Dial(t, w.addr())
	query := fake.Query("SELECT 1")
	c.Put(sslRequest, fake.Startup(fake.V30, "user", "u"), query)
	c.Byte()
	c.Want("RSSKZ")
	if got := next(t, w.got, "the query"); got.bytes != string(query) {
		t.Errorf("the engine got %q, want %q", got.bytes, query)
	}
	c.Want("Z")
	c.Put(query) // and the socket is watched from then on
	if got := next(t, w.got, "the second query"); got.bytes != string(query) {
		t.Errorf("the engine got %q, want %q", got.bytes, query)
	}
}

func TestBytesBehindStartupKeepTheirOrder(t *testing.T) {
	w := start(t, newScript())
	c := fake.Dial(t, w.addr())
	// More than the login's reader holds at a time, so that part of it is still in the socket at hand-over.
	long := fake.Query(strings.Repeat("x", 100_000))
	c.Put(fake.Startup(fake.V30, "user", "u"), long)
	c.Want("RSSKZ")
	var got strings.Builder
	for got.Len() < len(long) {
		got.WriteString(next(t, w.got, "the rest of the query").bytes)
	}
	if got.String() != string(long) {
		t.Error("the query arrived changed")
	}
}

func TestRefusal(t *testing.T) {
	s := newScript()
	s.login = func(s *script, _ time.Duration, l engine.Login, _ engine.Request) {
		s.out.Admit(l, engine.Verdict{Refusal: fake.Error("FATAL", "3D000", "no such database")})
	}
	w := start(t, s)
	c := fake.Dial(t, w.addr())
	c.Put(fake.Startup(fake.V30, "user", "u"))
	c.WantError("3D000")
	c.WantEOF()
	r := next(t, w.logins, "login")
	if got := next(t, w.closed, "the end of the reserved connection"); got.conn != r.Conn || !errors.Is(got.err, errRefused) {
		t.Errorf("Closed(%v, %v), want %v and a refusal", got.conn, got.err, r.Conn)
	}
}

func TestClientThatGoesWhileItWaits(t *testing.T) {
	s := newScript()
	var held engine.Login
	s.login = func(_ *script, _ time.Duration, l engine.Login, _ engine.Request) { held = l }
	w := start(t, s)
	c := fake.Dial(t, w.addr())
	c.Put(fake.Startup(fake.V30, "user", "u"))
	r := next(t, w.logins, "login")
	c.Close()
	if got := next(t, w.closed, "the end of the reserved connection"); got.conn != r.Conn || !errors.Is(got.err, io.EOF) {
		t.Errorf("Closed(%v, %v), want %v and EOF", got.conn, got.err, r.Conn)
	}
	w.on(func(time.Duration) { s.out.Admit(held, admitted()) }) // too late, and harmless
	w.on(func(time.Duration) {
		if n := len(w.own.logins); n != 0 {
			t.Errorf("%d logins are still kept", n)
		}
	})
}

func TestClientThatSpeaksWhileItWaits(t *testing.T) {
	s := newScript()
	var held engine.Login
	s.login = func(_ *script, _ time.Duration, l engine.Login, _ engine.Request) { held = l }
	w := start(t, s)
	c := fake.Dial(t, w.addr())
	c.Put(fake.Startup(fake.V30, "user", "u"))
	next(t, w.logins, "login")
	query := fake.Query("SELECT 1")
	c.Put(query)
	w.on(func(time.Duration) { s.out.Admit(held, admitted()) })
	c.Want("RSSKZ")
	if got := next(t, w.got, "the query"); got.bytes != string(query) {
		t.Errorf("the engine got %q, want %q", got.bytes, query)
	}
}

// What the engine says between its verdict and the hand-over is said behind the greeting.
func TestWordsBetweenVerdictAndHandOver(t *testing.T) {
	s := newScript()
	s.login = func(s *script, _ time.Duration, l engine.Login, r engine.Request) {
		s.out.Admit(l, admitted())
		s.out.Send(r.Conn, fake.Error("FATAL", "57P01", "going down"))
		s.out.Close(r.Conn, engine.Flush)
	}
	w := start(t, s)
	c := fake.Dial(t, w.addr())
	c.Put(fake.Startup(fake.V30, "user", "u"))
	c.Want("RSSKZ")
	c.WantError("57P01")
	c.WantEOF()
	c.Close()
	next(t, w.closed, "the end of the connection")
}

// A greeting that the socket doesn't take at once is written as the client reads.
func TestGreetingLargerThanTheSocket(t *testing.T) {
	s := newScript()
	long := strings.Repeat("x", 8<<20)
	s.login = func(s *script, _ time.Duration, l engine.Login, _ engine.Request) {
		v := admitted()
		v.Params = []wire.Param{{Name: "search_path", Value: long}}
		s.out.Admit(l, v)
	}
	w := start(t, s)
	c := fake.Dial(t, w.addr())
	query := fake.Query("SELECT 1")
	c.Put(fake.Startup(fake.V30, "user", "u"), query)
	if got := c.Want("RSKZ")[1].Strings(); got[1] != long {
		t.Errorf("%d bytes of the value arrived, want %d", len(got[1]), len(long))
	}
	if got := next(t, w.got, "the query"); got.bytes != string(query) {
		t.Errorf("the engine got %q", got.bytes)
	}
}

func TestClientThatNeverReadsItsGreeting(t *testing.T) {
	s := newScript()
	s.login = func(s *script, _ time.Duration, l engine.Login, _ engine.Request) {
		v := admitted()
		v.Params = []wire.Param{{Name: "search_path", Value: strings.Repeat("x", 16<<20)}}
		s.out.Admit(l, v)
	}
	w := start(t, s, func(set *Settings) { set.Config.Timeouts.ClientLogin = time.Second })
	c := fake.Dial(t, w.addr())
	c.Put(fake.Startup(fake.V30, "user", "u"))
	if got := next(t, w.closed, "the end of the connection"); got.err == nil || !strings.Contains(got.err.Error(), "did not take its greeting: "+context.DeadlineExceeded.Error()) {
		t.Errorf("Closed tells %v", got.err)
	}
}

func TestLoginTimeout(t *testing.T) {
	hold := func(*script, time.Duration, engine.Login, engine.Request) {}
	tests := []struct {
		name   string
		send   []byte
		before string // messages that come before the error
		opts   []option
	}{
		{"silence", nil, "", nil},
		{"half a packet", fake.Startup(fake.V30, "user", "u")[:9], "", nil},
		{"no password", fake.Startup(fake.V30, "user", "u"), "R", []option{withVerifier(1, `"u" "p"`)}},
		{"no verdict", fake.Startup(fake.V30, "user", "u"), "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript()
			s.login = hold
			short := func(set *Settings) { set.Config.Timeouts.ClientLogin = 30 * time.Millisecond }
			w := start(t, s, append(tt.opts, short)...)
			c := fake.Dial(t, w.addr())
			c.Put(tt.send)
			c.Want(tt.before)
			c.WantError("08004")
			c.WantEOF()
		})
	}
}

func TestSilentConnectionsMakeRoom(t *testing.T) {
	w := newWorld(t, newScript())
	w.lobby.limit = 3
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	oldest := fake.Dial(t, w.addr())
	oldest.Put(sslRequest) // so that it is surely the first one in
	oldest.Byte()
	for range 2 {
		c := fake.Dial(t, w.addr())
		c.Put(sslRequest)
		c.Byte()
	}
	halfway := fake.Dial(t, w.addr())
	cancel := fake.Cancel(testPID, testKey)
	halfway.Put(cancel[:7])
	if text := oldest.WantError("53300"); !strings.Contains(text, "make room") {
		t.Errorf("the error says %q", text)
	}
	oldest.WantEOF()
	halfway.Put(cancel[7:])
	next(t, w.cancels, "the cancel that took the place")
	fake.SendCancel(t, w.addr(), testPID, testKey)
	next(t, w.cancels, "the cancel that needs none")
}

func TestTooManyLogins(t *testing.T) {
	s := newScript()
	s.login = func(*script, time.Duration, engine.Login, engine.Request) {}
	w := start(t, s, func(set *Settings) { set.Config.Pool = config.Pool{DefaultSize: 1, MaxClientConn: 1} })
	for range loginsPerClient {
		fake.Dial(t, w.addr()).Put(fake.Startup(fake.V30, "user", "u"))
		next(t, w.logins, "login")
	}
	c := fake.Dial(t, w.addr())
	c.Put(fake.Startup(fake.V30, "user", "u"))
	c.WantError("53300")
	c.WantEOF()
	fake.SendCancel(t, w.addr(), testPID, testKey)
}

func TestDrain(t *testing.T) {
	w := start(t, newScript())
	in := fake.Dial(t, w.addr())
	in.Login(fake.V30, "user", "u")
	w.Proxy.Drain()
	w.Proxy.Drain()
	next(t, w.drained, "the end of the drain")
	c := fake.Dial(t, w.addr())
	c.Put(fake.Startup(fake.V30, "user", "u"))
	c.WantError("57P03")
	c.WantEOF()
	fake.SendCancel(t, w.addr(), testPID, testKey)
	next(t, w.cancels, "the cancel")
	in.Put(fake.Query("SELECT 1"))
	next(t, w.logins, "login")
	next(t, w.got, "the query of a client that was in before")
}
