package auth

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"cancello/internal/sqlstate"
	"cancello/internal/wire"
)

// pgx knows SCRAM by itself, so it is a witness that our server side is what drivers expect.
func TestPgxLogsIn(t *testing.T) {
	for _, c := range []struct {
		name           string
		method         Method
		user, password string
		code           string // of the refusal
	}{
		{"trust", Trust, "anybody", "", ""},
		{"plain", Plain, "plain", "wonderland", ""},
		{"plain, wrong", Plain, "plain", "x", "28P01"},
		{"scram, plain text", SCRAM, "plain", "wonderland", ""},
		{"scram, verifier", SCRAM, "stored", "pencil", ""},
		{"scram, wrong", SCRAM, "stored", "pen", "28P01"},
		{"scram, unknown", SCRAM, "nobody", "pencil", "28P01"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, server := net.Pipe()
			defer server.Close()
			server.SetDeadline(time.Now().Add(time.Minute)) // a pipe's never fails
			cfg, err := pgconn.ParseConfig("host=127.0.0.1 sslmode=disable dbname=db")
			if err != nil {
				t.Fatal(err)
			}
			cfg.User, cfg.Password = c.user, c.password
			cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) { return client, nil }
			served := make(chan error, 1)
			go func() { served <- serveLogin(server, testVerifier(t, c.method, mixedList)) }()
			conn, err := pgconn.ConnectConfig(t.Context(), cfg)
			if serr := <-served; serr != nil {
				t.Fatal(serr)
			}
			if c.code == "" {
				if err != nil {
					t.Fatal(err)
				}
				server.Close()
				_ = conn.Close(t.Context())
				return
			}
			var refusal *pgconn.PgError
			if !errors.As(err, &refusal) || refusal.Code != c.code {
				t.Errorf("%v, want %s", err, c.code)
			}
		})
	}
}

// serveLogin is the loop of a login driver, without deadlines and gate.
func serveLogin(conn net.Conn, v *Verifier) error {
	four := make([]byte, 4)
	if _, err := io.ReadFull(conn, four); err != nil {
		return err
	}
	n, err := wire.StartupLen(four)
	if err != nil {
		return err
	}
	packet := append(four, make([]byte, n-4)...)
	if _, err = io.ReadFull(conn, packet[4:]); err != nil {
		return err
	}
	startup, err := wire.ParseStartup(packet)
	if err != nil {
		return err
	}
	user := ""
	for _, p := range startup.Params {
		if p.Name == "user" {
			user = p.Value
		}
	}
	x := v.Begin(user, testNonce)
	if first := x.First(); first != nil {
		if err := exchange(conn, x, first); err != nil {
			var e sqlstate.Error
			if !errors.As(err, &e) {
				return err
			}
			_, err = conn.Write(wire.AppendError(nil, e.Severity, e.Code, e.Message, e.Detail, e.Hint))
			return err
		}
	}
	_, err = conn.Write(wire.AppendReadyForQuery(wire.AppendAuthOK(nil), 'I'))
	return err
}

func exchange(conn net.Conn, x *Exchange, send []byte) error {
	header := make([]byte, wire.HeaderLen)
	for done := false; ; {
		if send != nil {
			if _, err := conn.Write(send); err != nil {
				return err
			}
		}
		if done {
			return nil
		}
		if _, err := io.ReadFull(conn, header); err != nil {
			return err
		}
		_, n, err := wire.FrontendHeader(header)
		if err != nil {
			return err
		}
		body := make([]byte, n)
		if _, err = io.ReadFull(conn, body); err != nil {
			return err
		}
		if send, done, err = x.Receive(body); err != nil {
			return err
		}
	}
}
