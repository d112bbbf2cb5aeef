package proxy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/pgtest/fake"
)

// server_protocol = 3.2: what comes of it at servers that know it, that know less, and that don't know how to say so.
func TestServerProtocol(t *testing.T) {
	const V3999 = 0x0003270F
	long := fake.RandomKey(32)
	says := func(msgs ...[]byte) func(*fake.Session) {
		return func(s *fake.Session) { s.Send(msgs...); s.SendGreeting(true) }
	}
	// old refuses or hangs up on whatever is newer than 3.0.
	old := func(last ...[]byte) func(*fake.Session) {
		return func(s *fake.Session) {
			if s.Version == fake.V30 {
				s.SendGreeting(true)
				return
			}
			s.Send(last...)
			s.Conn.Close()
		}
	}
	for _, tt := range []struct {
		name   string
		fake   fake.Config
		asked  []uint32 // by two dials
		extras bool
		failed string
	}{
		{"PostgreSQL 18", fake.Config{Key: long}, []uint32{fake.V32, fake.V32}, true, ""},
		{"a short key at 3.2", fake.Config{}, []uint32{fake.V32, fake.V32}, true, ""},
		{"the longest key", fake.Config{Key: fake.RandomKey(256)}, []uint32{fake.V32, fake.V32}, true, ""},
		{"PostgreSQL 15 negotiates down", fake.Config{Greet: says(fake.Msg('v', fake.V30, 0))}, []uint32{fake.V32, fake.V32}, true, ""},
		{"the minor alone", fake.Config{Greet: says(fake.Msg('v', 0, 0))}, []uint32{fake.V32, fake.V32}, true, ""},
		{"parameters taken for extensions", fake.Config{Greet: says(fake.Msg('v', fake.V30, 1, "_pq_.idle_session_timeout"))}, []uint32{fake.V32, fake.V32}, false, ""},
		{"refused (CockroachDB)", fake.Config{Greet: old(fake.Error("FATAL", "08P01", "unknown protocol version 196610"))}, []uint32{fake.V32, fake.V30, fake.V30}, true, ""},
		{"refused (0A000)", fake.Config{Greet: old(fake.Error("FATAL", "0A000", "unsupported frontend protocol"))}, []uint32{fake.V32, fake.V30, fake.V30}, true, ""},
		{"hangs up (RisingWave)", fake.Config{Greet: old()}, []uint32{fake.V32, fake.V30, fake.V30}, true, ""},
		{"negotiates up", fake.Config{Greet: says(fake.Msg('v', uint32(V3999), 0))}, []uint32{fake.V32}, true, "wants protocol"},
		{"who we are is refused, not what we ask", fake.Config{Greet: func(s *fake.Session) { s.Send(fake.Error("FATAL", "28P01", "no")); s.Conn.Close() }}, []uint32{fake.V32}, true, "no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := fake.NewServer(t, tt.fake)
			w := start(t, newScript())
			to := target(s)
			to.Entry.Cancel.Protocol = config.Give(config.Protocol32)
			if tt.failed != "" {
				w.dialTo(1, to)
				if f := next(t, w.script.failed, "the failure"); !strings.Contains(f.Message, tt.failed) {
					t.Errorf("the failure says %q", f.Message)
				}
			} else {
				for id := range engine.Server(2) {
					got := w.connected(id+1, to)
					if !got.info.HasKey || got.info.Extras != tt.extras {
						t.Errorf("%+v", got.info)
					}
					w.on(func(time.Duration) { w.out.Carry(engine.Order(id+1), id+1, 0) })
					if d := next(t, w.done, "the cancel"); d.result != engine.Delivered {
						t.Errorf("the cancel ended %v", d.result)
					}
				}
				if all := s.Cancels(); len(all) != 2 || !all[0].Matched || !all[1].Matched {
					t.Errorf("cancels %+v", all)
				}
			}
			var asked []uint32
			for _, x := range s.Sessions() {
				asked = append(asked, x.Version)
			}
			if !slices.Equal(asked, tt.asked) {
				t.Errorf("asked for %#x, want %#x", asked, tt.asked)
			}
		})
	}
}

// Of two keys the last one counts.
func TestSecondKey(t *testing.T) {
	s := fake.NewServer(t, fake.Config{Greet: func(s *fake.Session) {
		s.Send(fake.Msg('R', 0), fake.Msg('K', 7, []byte{1, 2, 3, 4}), fake.Msg('S', "server_version", "1"), fake.Msg('K', s.PID, s.Key), fake.Msg('Z', byte('I')))
	}})
	w := start(t, newScript())
	if got := w.connected(1, target(s)); got.info.PID == 7 || !got.info.HasKey {
		t.Errorf("%+v", got.info)
	}
	w.on(func(time.Duration) { w.out.Carry(1, 1, 0) })
	next(t, w.done, "the cancel")
	if all := s.Cancels(); len(all) != 1 || !all[0].Matched {
		t.Errorf("cancels %+v", all)
	}
}

func TestStatementsAreFilled(t *testing.T) {
	who := badge{"{pid}": "42", "{backend_start}": "2026-01-02", "{address}": "::1", "{port}": "5432", "{session_id}": "it's"}
	for text, want := range map[string]string{
		"SELECT stop({pid})":              "SELECT stop('42')",
		"KILL {session_id} AT {address}":  "KILL 'it''s' AT '::1'",
		"SELECT 1 WHERE {pid} <> {pid} ":  "SELECT 1 WHERE '42' <> '42' ",
		"CANCEL {nobody} OF {session_id}": "CANCEL {nobody} OF 'it''s'",
	} {
		if got, ok := who.fill(text); got != want || !ok {
			t.Errorf("%q became %q, %v", text, got, ok)
		}
	}
	for _, bad := range []badge{nil, {"{port}": "1"}, {"{pid}": `\`}, {"{pid}": "\x00"}} {
		if sql, ok := bad.fill("SELECT stop({pid})"); ok {
			t.Errorf("%v made %q", bad, sql)
		}
	}
	for _, tt := range []struct {
		a    reply
		want bool
	}{
		{reply{rows: true, row: []string{"t"}, tag: "SELECT 1"}, true}, {reply{rows: true, row: []string{"f"}, tag: "SELECT 1"}, false},
		{reply{rows: true, tag: "SELECT 0"}, false}, {reply{tag: "CANCEL QUERIES 1"}, true}, {reply{tag: "CANCEL QUERIES 0"}, false},
		{reply{tag: "CANCEL"}, true}, {reply{refused: "42501"}, false}, {reply{rows: true, row: []string{""}, tag: "SELECT 1"}, false},
	} {
		if tt.a.did() != tt.want {
			t.Errorf("%+v: %v", tt.a, !tt.want)
		}
	}
}
