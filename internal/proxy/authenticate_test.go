package proxy

import (
	"context"
	"errors"
	"strings"
	"testing"

	"cancello/internal/auth"
	"cancello/internal/event"
	"cancello/internal/pgtest/fake"

	"github.com/jackc/pgx/v5/pgconn"
)

const testUserlist = `"ann" "secret"
"hash" "md5870427799418ccdf7ef8876ebfb98cf7"
`

func TestAuthenticate(t *testing.T) {
	tests := []struct {
		method         auth.Method
		user, password string
		code           string // empty: let in
	}{
		{auth.Trust, "whoever", "", ""},
		{auth.Plain, "ann", "secret", ""},
		{auth.Plain, "ann", "mistaken", "28P01"},
		{auth.Plain, "bob", "secret", "28P01"},
		{auth.MD5, "ann", "secret", ""},
		{auth.MD5, "ann", "mistaken", "28P01"},
		{auth.MD5, "hash", "secret", ""},
		{auth.MD5, "hash", "mistaken", "28P01"},
		{auth.MD5, "bob", "secret", "28P01"},
		{auth.Cert, "ann", "secret", "28000"},
		{auth.SCRAM, "ann", "secret", ""},
		{auth.SCRAM, "ann", "secret", ""}, // from the kept key
		{auth.SCRAM, "ann", "mistaken", "28P01"},
		{auth.SCRAM, "bob", "secret", "28P01"},
		{auth.SCRAM, "hash", "secret", "28P01"},
	}
	worlds := map[auth.Method]*world{}
	for _, m := range []auth.Method{auth.Trust, auth.Plain, auth.MD5, auth.SCRAM, auth.Cert} {
		worlds[m] = start(t, newScript(), withVerifier(m, testUserlist))
	}
	for _, tt := range tests {
		t.Run(tt.method.String()+" "+tt.user+" "+tt.password, func(t *testing.T) {
			w := worlds[tt.method]
			cfg, err := pgconn.ParseConfig("postgres://" + tt.user + ":" + tt.password + "@" + w.addr() + "/db?sslmode=disable")
			if err != nil {
				t.Fatal(err)
			}
			c, err := pgconn.ConnectConfig(context.Background(), cfg)
			if tt.code == "" {
				if err != nil {
					t.Fatal(err)
				}
				c.Conn().Close()
				return
			}
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || pg.Code != tt.code {
				t.Fatalf("got %v, want SQLSTATE %s", err, tt.code)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			last, ok := w.events[len(w.events)-1].(event.LoginRefused)
			if !ok || last.User != tt.user || last.Code != tt.code || last.Reason == "" || strings.Contains(last.Reason, tt.password) {
				t.Errorf("event %+v", last)
			}
		})
	}
}

func TestPasswordMessageOfTheWrongKind(t *testing.T) {
	tests := []struct {
		name string
		send []byte
		code string // empty: closed without a word
	}{
		{"a query", fake.Query("SELECT 1"), "08P01"},
		{"too long", []byte{'p', 0x7f, 0xff, 0xff, 0xff}, "08P01"},
		{"too short", []byte{'p', 0, 0, 0, 3}, "08P01"},
		{"no terminator", fake.Msg('p', []byte("secret")), "08P01"},
		{"empty", fake.Msg('p', ""), "28P01"},
	}
	w := start(t, newScript(), withVerifier(auth.Plain, testUserlist))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := fake.Dial(t, w.addr())
			c.Put(fake.Startup(fake.V30, "user", "ann"))
			c.Want("R")
			c.Put(tt.send)
			c.WantError(tt.code)
			c.WantEOF()
		})
	}
}

// The password, and the first query with it, may come in one segment.
func TestQueryPipelinedWithPassword(t *testing.T) {
	w := start(t, newScript(), withVerifier(auth.Plain, testUserlist))
	c := fake.Dial(t, w.addr())
	c.Put(fake.Startup(fake.V30, "user", "ann"), fake.Msg('p', "secret"), fake.Query("SELECT 1"))
	c.Want("RRSSKZ")
	if got := next(t, w.got, "the query"); got.bytes != string(fake.Query("SELECT 1")) {
		t.Errorf("the engine got %q", got.bytes)
	}
}

// However broken what a client sends in place of its proof, it is told so and the connection ends in order.
func TestBrokenProofsAreAnswered(t *testing.T) {
	first := fake.Msg('p', "SCRAM-SHA-256", 9, []byte("n,,n=,r=a"))
	tests := []struct {
		name   string
		method auth.Method
		send   [][]byte
		want   string // types before the error
		code   string
	}{
		{"SCRAM: nothing", auth.SCRAM, [][]byte{fake.Msg('p')}, "R", "08P01"},
		{"SCRAM: a password", auth.SCRAM, [][]byte{fake.Msg('p', "secret")}, "R", "08P01"},
		{"SCRAM: another mechanism", auth.SCRAM, [][]byte{fake.Msg('p', "OAUTHBEARER", 1, []byte("x"))}, "R", "08P01"},
		{"SCRAM: PLUS in clear", auth.SCRAM, [][]byte{fake.Msg('p', "SCRAM-SHA-256-PLUS", 29, []byte("p=tls-server-end-point,,n=,r="))}, "R", "08P01"},
		{"SCRAM: a length that is wrong", auth.SCRAM, [][]byte{fake.Msg('p', "SCRAM-SHA-256", 900, []byte("n,,n=,r=a"))}, "R", "08P01"},
		{"SCRAM: no first message", auth.SCRAM, [][]byte{fake.Msg('p', "SCRAM-SHA-256", 1, []byte("n"))}, "R", "08P01"},
		{"SCRAM: empty final", auth.SCRAM, [][]byte{first, fake.Msg('p')}, "RR", "08P01"},
		{"SCRAM: garbage for a final", auth.SCRAM, [][]byte{first, fake.Msg('p', []byte{0xff, 0, 1})}, "RR", "08P01"},
		{"SCRAM: a query for a final", auth.SCRAM, [][]byte{first, fake.Query("SELECT 1")}, "RR", "08P01"},
		{"md5: no hash", auth.MD5, [][]byte{fake.Msg('p', "secret")}, "R", "28P01"},
		{"md5: empty", auth.MD5, [][]byte{fake.Msg('p', "")}, "R", "28P01"},
		{"md5: no end", auth.MD5, [][]byte{fake.Msg('p', []byte("md5"))}, "R", "08P01"},
		{"md5: SCRAM", auth.MD5, [][]byte{first}, "R", "08P01"},
		{"too long", auth.SCRAM, [][]byte{{'p', 0x7f, 0xff, 0xff, 0xff}}, "R", "08P01"},
	}
	worlds := map[auth.Method]*world{}
	for _, m := range []auth.Method{auth.SCRAM, auth.MD5} {
		worlds[m] = start(t, newScript(), withVerifier(m, testUserlist))
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := fake.Dial(t, worlds[tt.method].addr())
			c.Put(append([][]byte{fake.Startup(fake.V30, "user", "ann")}, tt.send...)...)
			c.Want(tt.want)
			c.WantError(tt.code)
			c.WantEOF()
		})
	}
}
