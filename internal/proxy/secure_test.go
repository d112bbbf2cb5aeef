package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/pgtest/fake"
)

// withTLSOf offers clients TLS in a mode.
func withClientTLS(t testing.TB, a *fake.Authority, mode config.SSLMode, more ...func(*config.Config)) option {
	t.Helper()
	cert := a.Issue("cancello", "127.0.0.1")
	return func(s *Settings) {
		s.Config.TLS.Client = config.ClientTLS{Mode: mode, Cert: cert.File, Key: cert.KeyFile, CA: a.File}
		for _, f := range more {
			f(&s.Config)
		}
		secrets, err := LoadTLS(&s.Config)
		if err != nil {
			t.Fatal(err)
		}
		s.TLS = secrets
	}
}

// trusting is a client's side that verifies.
func trusting(a *fake.Authority, protocols ...string) *tls.Config {
	return &tls.Config{RootCAs: a.Pool, ServerName: "127.0.0.1", NextProtos: protocols}
}

// asked asks for TLS and begins it.
func asked(t testing.TB, w *world, c *tls.Config) *fake.Client {
	t.Helper()
	f := fake.Dial(t, w.addr())
	f.Put(sslRequest)
	if b := f.Byte(); b != 'S' {
		t.Fatalf("SSLRequest was answered %q", b)
	}
	f.Encrypt(c)
	return f
}

func TestTLSFromClients(t *testing.T) {
	a := fake.NewAuthority(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, direct := range []bool{false, true} {
			s := newScript()
			s.data = func(s *script, c engine.Conn, b engine.Buf) { s.out.Forward(c, b, 0, len(b.Bytes)) }
			w := start(t, s, withClientTLS(t, a, config.SSLRequire))
			conf := trusting(a, alpn)
			conf.MinVersion, conf.MaxVersion = version, version
			var c *fake.Client
			if direct {
				c = fake.Dial(t, w.addr())
				c.Encrypt(conf)
			} else {
				c = asked(t, w, conf)
			}
			// The first query comes with the startup packet.
			c.Put(fake.Startup(fake.V30, "user", "ann"), fake.Query("SELECT 1"))
			c.Want("RSSKZ")
			c.Want("Q")
			big := fake.Msg('d', bytes.Repeat([]byte("x"), 300_000))
			go c.Put(big)
			if m := c.Want("d")[0]; len(m.Body) != 300_000 {
				t.Errorf("%d bytes came back", len(m.Body))
			}
			login := next(t, w.logins, "the login")
			w.on(func(time.Duration) { w.out.Close(login.Conn, engine.Flush) })
			c.WantEOF()
		}
	}
}

func TestTLSIsAskedForOnce(t *testing.T) {
	a := fake.NewAuthority(t)
	tests := []struct {
		name   string
		mode   config.SSLMode
		direct bool
		before [][]byte // in clear, each answered
		clear  string
		inside [][]byte
		answer string
		text   string // of the error at the end; empty: let in
	}{
		{name: "asked", mode: config.SSLPrefer, before: [][]byte{sslRequest}, clear: "S"},
		{name: "GSS first", mode: config.SSLAllow, before: [][]byte{gssRequest, sslRequest}, clear: "NS"},
		{name: "asked again inside", mode: config.SSLPrefer, before: [][]byte{sslRequest}, clear: "S", inside: [][]byte{sslRequest}, text: "unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2"},
		{name: "GSS inside", mode: config.SSLPrefer, before: [][]byte{sslRequest}, clear: "S", inside: [][]byte{gssRequest}, text: "unsupported frontend protocol 1234.5680: server supports 3.0 to 3.2"},
		{name: "direct", mode: config.SSLPrefer, direct: true},
		{name: "SSL inside direct", mode: config.SSLPrefer, direct: true, inside: [][]byte{sslRequest}, answer: "N"},
		{name: "both inside direct", mode: config.SSLPrefer, direct: true, inside: [][]byte{sslRequest, gssRequest}, answer: "NN"},
		{name: "twice inside direct", mode: config.SSLPrefer, direct: true, inside: [][]byte{gssRequest, sslRequest, sslRequest}, answer: "NN", text: "unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2"},
		{name: "in clear", mode: config.SSLPrefer, before: [][]byte{gssRequest}, clear: "N"},
		{name: "in clear where it must not be", mode: config.SSLRequire, text: "SSL connection is required"},
		{name: "disabled", mode: config.SSLDisable, before: [][]byte{sslRequest, gssRequest}, clear: "NN"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := start(t, newScript(), withClientTLS(t, a, tt.mode))
			c := fake.Dial(t, w.addr())
			for i, b := range tt.before {
				c.Put(b)
				if got := c.Byte(); got != tt.clear[i] {
					t.Fatalf("request %d was answered %q", i, got)
				}
			}
			if tt.direct || strings.HasSuffix(tt.clear, "S") {
				c.Encrypt(trusting(a, alpn))
			}
			for i, b := range tt.inside {
				c.Put(b)
				if i < len(tt.answer) {
					if got := c.Byte(); got != tt.answer[i] {
						t.Fatalf("request %d inside was answered %q", i, got)
					}
				}
			}
			if len(tt.inside) == len(tt.answer) {
				c.Put(fake.Startup(fake.V30, "user", "ann"))
			}
			if tt.text == "" {
				c.Want("RSSKZ")
				return
			}
			if text := c.Want("E")[0].Field('M'); text != tt.text {
				t.Errorf("the error says %q", text)
			}
			c.WantEOF()
		})
	}
}

// What was sent in clear behind an SSLRequest is not taken for something that came encrypted (CVE-2021-23214).
func TestNothingInClearBehindSSLRequest(t *testing.T) {
	a := fake.NewAuthority(t)
	w := start(t, newScript(), withClientTLS(t, a, config.SSLPrefer))
	c := fake.Dial(t, w.addr())
	c.Put(sslRequest, fake.Startup(fake.V30, "user", "mallory"))
	if b := c.Byte(); b != 'S' {
		t.Fatalf("SSLRequest was answered %q", b)
	}
	c.Encrypt(trusting(a))
	if text := c.WantError("08P01"); text != "received unencrypted data after SSL request" {
		t.Errorf("the error says %q", text)
	}
	c.WantEOF()
	select {
	case r := <-w.logins:
		t.Errorf("%s was let in", r.User)
	default:
	}
}

func TestALPN(t *testing.T) {
	a := fake.NewAuthority(t)
	w := start(t, newScript(), withClientTLS(t, a, config.SSLPrefer))

	asked(t, w, trusting(a)).Login(fake.V30, "user", "ann") // none is fine when it was asked for

	c := fake.Dial(t, w.addr())
	c.Put(sslRequest)
	c.Byte()
	var alert tls.AlertError
	if _, err := c.TryEncrypt(trusting(a, "http/1.1")); !errors.As(err, &alert) && (err == nil || !strings.Contains(err.Error(), "no application protocol")) {
		t.Errorf("a list without %s: %v", alpn, err)
	}

	c = fake.Dial(t, w.addr()) // direct without: the handshake works, then comes nothing
	c.Encrypt(trusting(a))
	c.SetReadDeadline(time.Now().Add(fake.Patience))
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("direct TLS without ALPN: %d bytes, %v", n, err)
	}
	until(t, "the log knows why", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, e := range w.events {
			if r, ok := e.(event.LoginRefused); ok && strings.HasSuffix(r.Reason, "without ALPN protocol negotiation extension") {
				return true
			}
		}
		return false
	})
}

func TestClientCertificates(t *testing.T) {
	a, stranger := fake.NewAuthority(t), fake.NewAuthority(t)
	for _, mode := range []config.SSLMode{config.SSLVerifyCA, config.SSLVerifyFull} {
		w := start(t, newScript(), withClientTLS(t, a, mode))
		good := trusting(a)
		good.Certificates = []tls.Certificate{a.Issue("ann").Pair}
		asked(t, w, good).Login(fake.V30, "user", "ann")
		for name, conf := range map[string]*tls.Config{"none": trusting(a), "a stranger's": trusting(a)} {
			if name != "none" {
				pair := stranger.Issue("ann").Pair
				conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
			}
			c := fake.Dial(t, w.addr())
			c.Put(sslRequest)
			c.Byte()
			if _, err := c.TryEncrypt(conf); err == nil { // with TLS 1.3 the client learns of it by its first read
				c.Put(fake.Startup(fake.V30, "user", "ann"))
				if m, err := c.TryMessage(); err == nil {
					t.Errorf("with certificate %s the client hears %q", name, m.Type)
				}
			}
		}
	}
}

func TestTLSMinVersion(t *testing.T) {
	a := fake.NewAuthority(t)
	w := start(t, newScript(), withClientTLS(t, a, config.SSLPrefer, func(c *config.Config) { c.TLS.Min = config.TLS13 }))
	old := trusting(a)
	old.MaxVersion = tls.VersionTLS12
	c := fake.Dial(t, w.addr())
	c.Put(sslRequest)
	c.Byte()
	if _, err := c.TryEncrypt(old); err == nil {
		t.Error("TLS 1.2 was spoken in spite of tls_min_version = 1.3")
	}
	asked(t, w, trusting(a)).Login(fake.V30, "user", "ann")
}

// Many drivers send their CancelRequest in clear even where their session is encrypted (rule R5).
func TestCancelRequestsComeEitherWay(t *testing.T) {
	a := fake.NewAuthority(t)
	w := start(t, newScript(), withClientTLS(t, a, config.SSLVerifyFull))
	conf := trusting(a, alpn)
	conf.Certificates = []tls.Certificate{a.Issue("ann").Pair}
	for name, begin := range map[string]func(c *fake.Client){
		"in clear": func(*fake.Client) {},
		"asked":    func(c *fake.Client) { c.Put(sslRequest); c.Byte(); c.Encrypt(conf) },
		"direct":   func(c *fake.Client) { c.Encrypt(conf) },
	} {
		c := fake.Dial(t, w.addr())
		begin(c)
		c.Put(fake.Cancel(testPID, testKey))
		c.WantEOF()
		if r := next(t, w.cancels, "the cancel "+name); r.PID != testPID || !bytes.Equal(r.Key, testKey) {
			t.Errorf("%s: it came as %d, %x", name, r.PID, r.Key)
		}
	}
}

// Certificates that were replaced hold for connections to come, and a bad file changes nothing.
func TestUseTLS(t *testing.T) {
	a, b := fake.NewAuthority(t), fake.NewAuthority(t)
	w := start(t, newScript(), withClientTLS(t, a, config.SSLPrefer))
	before := asked(t, w, trusting(a))
	next := b.Issue("cancello", "127.0.0.1")
	c := w.Proxy.set.Config
	c.TLS.Client.Cert, c.TLS.Client.Key = next.File, next.KeyFile
	secrets, err := LoadTLS(&c)
	if err != nil {
		t.Fatal(err)
	}
	w.UseTLS(secrets)
	asked(t, w, trusting(b)).Login(fake.V30, "user", "ann")
	before.Login(fake.V30, "user", "ann")

	c.TLS.Client.Key = c.TLS.Client.Cert
	if _, err := LoadTLS(&c); err == nil || !strings.Contains(err.Error(), "client_tls_key_file") {
		t.Errorf("a certificate in place of a key: %v", err)
	}
	c.TLS.Client.Cert = next.File + "x"
	if _, err := LoadTLS(&c); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
}

// A client that asks for TLS and then says nothing keeps nobody else from it: whoever waits isn't inside the gate.
func TestSilentHandshakesHoldNobodyUp(t *testing.T) {
	a := fake.NewAuthority(t)
	w := start(t, newScript(), withClientTLS(t, a, config.SSLPrefer))
	for range 2*w.gate.free + 2 {
		c := fake.Dial(t, w.addr())
		c.Put(sslRequest)
		c.Byte()
	}
	asked(t, w, trusting(a)).Login(fake.V30, "user", "ann")
}
