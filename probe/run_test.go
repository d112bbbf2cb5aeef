package probe

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cancello/probe/fake"
)

func targetOf(t *testing.T, dsn string) *Target {
	t.Helper()
	target, err := ParseTarget(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// few is a table of two cases, one of which needs --races.
func few(run func(context.Context, *Bench) Result) []Case {
	c := Case{ID: "startup.ready", Group: GroupStartup, Title: "It is ready.", Source: "here", Expected: "so", Means: "not so", Run: run}
	risky := c
	risky.ID, risky.Races = "startup.risky", true
	return []Case{c, risky}
}

// TestRun: the table is worked through in order, what is risky is left out unless asked for, progress is told.
func TestRun(t *testing.T) {
	target := targetOf(t, fake.Start(t, fake.Knobs{}).DSN())
	var told []string
	cases := few(func(context.Context, *Bench) Result { return Conclude(Pass, "seen") })
	r, err := run(context.Background(), cases, target, Options{}, func(p Progress) {
		told = append(told, fmt.Sprintf("%d/%d %s", p.Done, p.Total, p.ID))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(told, ", "); got != "0/2 startup.ready, 1/2 startup.risky, 2/2 " {
		t.Errorf("progress: %s", got)
	}
	if r.Findings[0].Verdict != Pass || r.Findings[1].Verdict != NotApplicable || !strings.Contains(r.Findings[1].Seen, "--races") {
		t.Errorf("findings: %+v", r.Findings)
	}
	if r.About.ServerVersion != "18.4" || r.About.Major != 18 || r.About.User != "ann" || r.About.Database != "db" {
		t.Errorf("about: %+v", r.About)
	}
	r, err = run(context.Background(), cases, target, Options{Races: true}, nil)
	if err != nil || r.Findings[1].Verdict != Pass {
		t.Errorf("with --races: %v, %+v", err, r.Findings)
	}
}

// TestInterrupted: what did not run, or ran when the end came, has no verdict.
func TestInterrupted(t *testing.T) {
	target := targetOf(t, fake.Start(t, fake.Knobs{}).DSN())
	ctx, cancel := context.WithCancel(context.Background())
	r, err := run(ctx, few(func(context.Context, *Bench) Result { cancel(); return Conclude(Pass, "seen") }), target, Options{Races: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		if f.Verdict != Unknown || !strings.Contains(f.Seen, "interrupted") {
			t.Errorf("%s: %s", f.Verdict, f.Seen)
		}
	}
}

// TestCaseLimit: a case that waits for ever is ended by its limit, and its connections with it.
func TestCaseLimit(t *testing.T) {
	target := targetOf(t, fake.Start(t, fake.Knobs{}).DSN())
	wait := func(ctx context.Context, b *Bench) Result {
		s, err := b.Login(ctx, LoginOptions{})
		if err != nil {
			return unable(err)
		}
		_, err = s.ReadWithin(time.Hour)
		return Conclude(Unknown, "it ended: %t", err != nil)
	}
	r, err := run(context.Background(), few(wait), target, Options{CaseLimit: 200 * time.Millisecond}, nil)
	if err != nil || r.Findings[0].Seen != "it ended: true" {
		t.Errorf("%v, %+v", err, r.Findings)
	}
}

// TestOutOfReach: a server that is not there or refuses is no report, one that breaks the protocol is.
func TestOutOfReach(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := ln.Addr().String()
	ln.Close()
	locked := fake.Start(t, fake.Knobs{Startup: fake.StartupKnobs{Password: "open sesame"}}).DSN()
	for dsn, want := range map[string]string{
		"postgres://ann@" + nobody + "/db": "connection refused",
		locked:                             "there is no password: put it in the connection string, PGPASSWORD or a passfile",
		strings.Replace(locked, "ann@", "ann:wrong-secret@", 1): "28P01",
		strings.Replace(locked, "disable", "require", 1):        "the connection string asks for it",
		locked + "&require_auth=scram-sha-256":                  "require_auth=scram-sha-256 does not allow",
		locked + "&channel_binding=require":                     "channel_binding=require",
	} {
		target, err := ParseTarget(dsn)
		if err == nil {
			_, err = Run(context.Background(), target, quick, nil)
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "wrong-secret") {
			t.Errorf("%s: %v\nwant %s", dsn, err, want)
		}
	}
	broken := targetOf(t, fake.Start(t, fake.Knobs{CloseAtOnce: true}).DSN())
	o := quick
	o.Only = "startup.order"
	r, err := Run(context.Background(), broken, o, nil)
	if err != nil || len(r.Failures()) != 1 {
		t.Errorf("%v, %+v", err, r.Findings)
	}
}

// TestConnectionString: it is read as libpq does, with what is around it.
func TestConnectionString(t *testing.T) {
	s := fake.Start(t, fake.Knobs{Startup: fake.StartupKnobs{Password: "from the file"}})
	address := strings.TrimPrefix(strings.Split(s.DSN(), "/db")[0], "postgres://ann@")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("PGPASSFILE", write("pass", address+":db:ann:from the file\n"))
	t.Setenv("PGSERVICEFILE", write("services", fmt.Sprintf("[mine]\nhost=%s\nport=%s\nuser=ann\ndbname=db\nsslmode=disable\n", host, port)))
	for _, dsn := range []string{
		s.DSN(), "service=mine", fmt.Sprintf("host=%s port=%s user=ann dbname=db", host, port),
	} {
		t.Run(dsn, func(t *testing.T) {
			if err := targetOf(t, dsn).reach(context.Background(), patient); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("variables", func(t *testing.T) {
		t.Setenv("PGHOST", host)
		t.Setenv("PGPORT", port)
		t.Setenv("PGUSER", "ann")
		t.Setenv("PGDATABASE", "db")
		t.Setenv("PGSSLMODE", "disable")
		if err := targetOf(t, "").reach(context.Background(), patient); err != nil {
			t.Error(err)
		}
	})
	if _, err := ParseTarget("postgres://ann:hidden@[::1"); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("a broken one: %v", err)
	}
}

// TestSecrets: no password and no whole key is in the evidence.
func TestSecrets(t *testing.T) {
	s := fake.Start(t, fake.Knobs{Startup: fake.StartupKnobs{Password: "open sesame"}})
	target := targetOf(t, strings.Replace(s.DSN(), "ann@", "ann:open%20sesame@", 1))
	b := newBench(target, patient)
	defer b.close()
	session, err := b.Login(context.Background(), LoginOptions{Version: V32})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.CancelSession(context.Background(), AsSession, session); err != nil {
		t.Fatal(err)
	}
	all := lines(b.Evidence())
	for _, want := range []string{"a password or SASL message, not shown", "BackendKeyData pid", "(32 bytes)", "CancelRequest pid", "closed by the server"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	for what, secret := range map[string]string{"the password": hex.EncodeToString([]byte("sesame")), "the key": hex.EncodeToString(session.Key[:4])} {
		if strings.Contains(all, secret) {
			t.Errorf("%s is in\n%s", what, all)
		}
	}
	if strings.Contains(all, "sesame") {
		t.Errorf("the password is in\n%s", all)
	}
}

// TestShortened: of long evidence the beginning and the end are kept, and a remark on what is missing.
func TestShortened(t *testing.T) {
	b := newBench(&Target{}, Options{})
	for i := range 100 {
		b.Note("number %d", i)
	}
	got := b.Evidence()
	if len(got) != shownExchanges+1 || got[0].Decoded != "number 0" || got[20].Decoded != "60 exchanges are left out" || got[40].Decoded != "number 99" {
		t.Errorf("%d exchanges: %v", len(got), got)
	}
	b.record.sent(1, Frame('d', make([]byte, 1000)))
	last := b.record.kept[len(b.record.kept)-1]
	if last.Bytes != 1005 || len(last.Hex) != 2*shownBytes+2 || !strings.HasSuffix(last.Hex, "..") {
		t.Errorf("a long message: %+v", last)
	}
}

// TestFailureWords: one reason, one text.
func TestFailureWords(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, "succeeds"},
		{fmt.Errorf("at a place: %w", &ServerError{"FATAL", "28000", "no"}), `refused: FATAL 28000 "no"`},
		{&malformed{"two heads"}, "no sense: two heads"},
		{os.ErrDeadlineExceeded, "falls silent"},
		{io.EOF, "closes the connection during the login"},
		{fmt.Errorf("read: %w", syscall.ECONNRESET), "closes the connection during the login"},
		{net.ErrClosed, "fails"},
		{errors.New("reset"), "fails: reset"},
	} {
		if got := failure(c.err); !strings.Contains(got, c.want) {
			t.Errorf("%v: %s", c.err, got)
		}
	}
}
