package proxy

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/pgtest/fake"
)

// withServerTLS speaks to the servers of database db as a DSN would say.
func withServerTLS(t testing.TB, c config.DatabaseTLS) option {
	t.Helper()
	return func(s *Settings) {
		s.Config.Databases = []config.Database{{Name: "db", Host: "127.0.0.1", Port: 1, TLS: c}}
		secrets, err := LoadTLS(&s.Config)
		if err != nil {
			t.Fatal(err)
		}
		s.TLS = secrets
	}
}

// encrypting is where a fake is, by the entry of withServerTLS.
func encrypting(s *fake.Server) engine.Target {
	t := target(s)
	t.Entry.Name = "db"
	return t
}

// serving is a server's side with a certificate.
func serving(c fake.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c.Pair}, NextProtos: []string{alpn}}
}

func TestTLSToServers(t *testing.T) {
	a, stranger := fake.NewAuthority(t), fake.NewAuthority(t)
	named, elsewhere, common := serving(a.Issue("db", "127.0.0.1")), serving(a.Issue("db", "db.example.org")), serving(a.Issue("127.0.0.1"))
	needy := serving(a.Issue("db", "127.0.0.1"))
	needy.ClientAuth, needy.ClientCAs = tls.RequireAndVerifyClientCert, a.Pool
	old := serving(a.Issue("db", "127.0.0.1"))
	old.NextProtos = nil
	ours := a.Issue("cancello")
	type want struct {
		tls    bool
		failed string // a part of the message; empty: let in
	}
	const disable, allow, prefer, require, ca, full = config.SSLDisable, config.SSLAllow, config.SSLPrefer, config.SSLRequire, config.SSLVerifyCA, config.SSLVerifyFull
	tests := []struct {
		name string
		fake fake.Config
		c    config.DatabaseTLS
		want want
	}{
		{"disable", fake.Config{TLS: named}, config.DatabaseTLS{Mode: config.Give(disable)}, want{}},
		{"allow", fake.Config{TLS: named}, config.DatabaseTLS{Mode: config.Give(allow)}, want{}},
		{"allow, clear refused", fake.Config{TLS: named, RefuseClear: "28000"}, config.DatabaseTLS{Mode: config.Give(allow)}, want{tls: true}},
		{"allow, all refused", fake.Config{RefuseClear: "28000"}, config.DatabaseTLS{Mode: config.Give(allow)}, want{failed: "no pg_hba.conf entry"}},
		{"default is prefer", fake.Config{TLS: named}, config.DatabaseTLS{}, want{tls: true}},
		{"prefer, declined", fake.Config{}, config.DatabaseTLS{Mode: config.Give(prefer)}, want{}},
		{"prefer, TLS refused", fake.Config{TLS: named, RefuseTLS: "28000"}, config.DatabaseTLS{Mode: config.Give(prefer)}, want{}},
		{"prefer, the chain is bad", fake.Config{TLS: named}, config.DatabaseTLS{Mode: config.Give(prefer), CA: stranger.File}, want{}},
		{"prefer, an ancient server", fake.Config{AnswerSSL: fake.Error("FATAL", "08P01", "what?")}, config.DatabaseTLS{Mode: config.Give(prefer)}, want{}},
		{"require", fake.Config{TLS: named}, config.DatabaseTLS{Mode: config.Give(require)}, want{tls: true}},
		{"require, a stranger's certificate", fake.Config{TLS: serving(stranger.Issue("x"))}, config.DatabaseTLS{Mode: config.Give(require)}, want{tls: true}},
		{"require verifies where there are roots", fake.Config{TLS: serving(stranger.Issue("x"))}, config.DatabaseTLS{Mode: config.Give(require), CA: a.File}, want{failed: "cannot be trusted"}},
		{"require, declined", fake.Config{}, config.DatabaseTLS{Mode: config.Give(require)}, want{failed: "does not offer TLS"}},
		{"require, an ancient server", fake.Config{AnswerSSL: fake.Error("FATAL", "08P01", "leave me")}, config.DatabaseTLS{Mode: config.Give(require)}, want{failed: "does not understand SSLRequest"}},
		{"verify-ca", fake.Config{TLS: elsewhere}, config.DatabaseTLS{Mode: config.Give(ca), CA: a.File}, want{tls: true}},
		{"verify-ca, a stranger's", fake.Config{TLS: named}, config.DatabaseTLS{Mode: config.Give(ca), CA: stranger.File}, want{failed: "cannot be trusted"}},
		{"verify-full", fake.Config{TLS: named}, config.DatabaseTLS{Mode: config.Give(full), CA: a.File}, want{tls: true}},
		{"verify-full by common name", fake.Config{TLS: common}, config.DatabaseTLS{Mode: config.Give(full), CA: a.File}, want{tls: true}},
		{"verify-full, another name", fake.Config{TLS: elsewhere}, config.DatabaseTLS{Mode: config.Give(full), CA: a.File}, want{failed: `not for "127.0.0.1"`}},
		{"verify-full, the system's roots", fake.Config{TLS: named}, config.DatabaseTLS{Mode: config.Give(full), CA: config.SystemRoots}, want{failed: "cannot be trusted"}},
		{"our certificate", fake.Config{TLS: needy}, config.DatabaseTLS{Mode: config.Give(require), Cert: ours.File, Key: ours.KeyFile}, want{tls: true}},
		{"no certificate", fake.Config{TLS: needy}, config.DatabaseTLS{Mode: config.Give(require)}, want{failed: "certificate required"}},
		{"direct", fake.Config{TLS: named}, config.DatabaseTLS{Mode: config.Give(full), CA: a.File, Negotiation: config.Give(config.NegotiateDirect)}, want{tls: true}},
		{"direct, an old server", fake.Config{TLS: old}, config.DatabaseTLS{Mode: config.Give(require), Negotiation: config.Give(config.NegotiateDirect)}, want{failed: "by ALPN"}},
		{"bytes behind S", fake.Config{TLS: named, AnswerSSL: []byte("Sx")}, config.DatabaseTLS{Mode: config.Give(require)}, want{failed: "unencrypted data behind"}},
		{"bytes behind S are no reason for less", fake.Config{TLS: named, AnswerSSL: []byte("SE")}, config.DatabaseTLS{Mode: config.Give(prefer)}, want{failed: "unencrypted data behind"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := fake.NewServer(t, tt.fake)
			w := start(t, newScript(), withServerTLS(t, tt.c))
			w.dialTo(1, encrypting(s))
			if tt.want.failed != "" {
				if f := next(t, w.script.failed, "DialFailed"); !strings.Contains(f.Message, tt.want.failed) || strings.Contains(f.Message, "leave me") {
					t.Errorf("the failure says %q, want %q", f.Message, tt.want.failed)
				}
				return
			}
			d := next(t, w.dialed, "Dialed")
			if got := s.Sessions()[len(s.Sessions())-1].TLS(); got != tt.want.tls {
				t.Errorf("TLS %v, want %v", got, tt.want.tls)
			}
			w.on(func(time.Duration) { w.out.Send(d.conn, fake.Query("SELECT 1")) })
			if g := next(t, w.got, "the answer"); !strings.HasPrefix(g.bytes, "C") {
				t.Errorf("the answer begins %q", g.bytes[:1])
			}
			// Its cancel goes the same way.
			w.on(func(time.Duration) { w.out.Carry(1, 1, 0) })
			if d := next(t, w.done, "CancelDone"); d.result != engine.Delivered {
				t.Errorf("the cancel ended %v", d.result)
			}
			if c := s.Cancels(); len(c) != 1 || c[0].TLS != tt.want.tls || !c[0].Matched {
				t.Errorf("the server saw cancels %+v, want one, TLS %v", c, tt.want.tls)
			}
		})
	}
}

// A cancel goes with what its session was verified with, and with what holds now if that doesn't fit any more.
func TestCancelAfterNewCertificates(t *testing.T) {
	a, b := fake.NewAuthority(t), fake.NewAuthority(t)
	conf := serving(a.Issue("db", "127.0.0.1"))
	current := conf.Certificates[0]
	conf.Certificates = nil
	conf.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { c := current; return &c, nil }
	s := fake.NewServer(t, fake.Config{TLS: conf})
	c := config.DatabaseTLS{Mode: config.Give(config.SSLVerifyFull), CA: a.File}
	w := start(t, newScript(), withServerTLS(t, c))
	w.connected(1, encrypting(s))
	cancel := func(id engine.Order) engine.Result {
		w.on(func(time.Duration) { w.out.Carry(id, 1, 0) })
		return next(t, w.done, "CancelDone").result
	}
	use := func(authority *fake.Authority) {
		cfg := w.Proxy.set.Config
		cfg.Databases = []config.Database{{Name: "db", Host: "127.0.0.1", Port: 1, TLS: config.DatabaseTLS{Mode: config.Give(config.SSLVerifyFull), CA: authority.File}}}
		secrets, err := LoadTLS(&cfg)
		if err != nil {
			t.Fatal(err)
		}
		w.UseTLS(secrets)
	}
	use(b)
	if r := cancel(1); r != engine.Delivered {
		t.Errorf("with new roots here and the old certificate there: %v", r)
	}
	current = b.Issue("db", "127.0.0.1").Pair
	if r := cancel(2); r != engine.Delivered {
		t.Errorf("with new ones on both sides: %v", r)
	}
	use(a)
	if r := cancel(3); r != engine.NotSent {
		t.Errorf("with a certificate that nothing fits: %v", r)
	}
	if n := len(s.Cancels()); n != 2 {
		t.Errorf("the server saw %d cancels, want 2", n)
	}
}
