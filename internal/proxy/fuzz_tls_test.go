package proxy

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/loop"
	"cancello/internal/pgtest/fake"
)

// oddRecords are records that nobody should send, of each type, version and length.
func oddRecords() [][]byte {
	record := func(typ, minor byte, length int, body ...byte) []byte {
		return append([]byte{typ, 3, minor, byte(length >> 8), byte(length)}, body...)
	}
	alert := record(21, 3, 2, 1, 0)
	return [][]byte{
		nil, {23}, {22, 3}, record(23, 3, 0), record(23, 3, 16, 1), record(23, 3, 16<<10+2048, 1), record(23, 3, 0xffff),
		record(23, 0, 3, 1, 2, 3), record(23, 4, 3, 1, 2, 3), {23, 2, 0, 0, 3, 1, 2, 3}, {23, 0xff, 0xff, 0, 3, 1, 2, 3},
		record(20, 3, 1, 1), record(20, 3, 1, 2), record(20, 3, 2, 1, 1), record(24, 3, 3, 1, 0x40, 0), record(99, 3, 1, 0),
		alert, bytes.Repeat(alert, 40), bytes.Repeat(record(21, 1, 2, 1, 100), 40), record(21, 3, 2, 2, 40), record(21, 3, 1, 1), record(21, 3, 3, 1, 0, 0),
		record(22, 3, 4, 0, 0, 0, 0), bytes.Repeat(record(22, 3, 4, 0, 0, 0, 0), 40), record(22, 3, 4, 2, 0xff, 0xff, 0xff),
		record(22, 3, 5, 24, 0, 0, 1, 1), bytes.Repeat(record(22, 3, 0), 40), bytes.Repeat(record(23, 3, 0), 40),
		append(record(23, 3, 16<<10+256), make([]byte, 16<<10+256)...), append(record(23, 3, 40), make([]byte, 40)...),
		[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), fake.Error("FATAL", "53300", "too many"), fake.Query("SELECT 1"),
	}
}

// FuzzTLSOfServers: whatever a server says in place of its handshake, the dial fails, and not by its limit.
func FuzzTLSOfServers(f *testing.F) {
	hello := serverHello(f)
	for _, b := range append(oddRecords(), hello, hello[:len(hello)/2], append(hello[:len(hello):len(hello)], hello...), hello[5:]) {
		f.Add(b, false)
		f.Add(b, true)
	}
	w := start(f, newScript(), withServerTLS(f, config.DatabaseTLS{Mode: config.Give(config.SSLRequire)}))
	direct := start(f, newScript(), withServerTLS(f, config.DatabaseTLS{Mode: config.Give(config.SSLRequire), Negotiation: config.Give(config.NegotiateDirect)}))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { ln.Close() })
	var last engine.Server
	f.Fuzz(func(t *testing.T, b []byte, atOnce bool) {
		to := w
		if atOnce {
			to = direct
		}
		last++
		to.t = t
		to.dialTo(last, engine.Target{Entry: config.Database{Name: "db"}, Host: "127.0.0.1", Port: ln.Addr().(*net.TCPAddr).Port, Database: "db", User: "ann", Timeout: 2 * fake.Patience})
		nc, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(fake.Patience))
		p := make([]byte, 4096)
		if !atOnce {
			if _, err := io.ReadFull(nc, p[:8]); err != nil {
				t.Fatal(err)
			}
			nc.Write([]byte("S"))
		}
		nc.Read(p) // the hello, or its beginning
		nc.Write(b)
		nc.(*net.TCPConn).CloseWrite()
		if fail := next(t, to.script.failed, "the end of the dial"); strings.Contains(fail.Message, "server_connect_timeout") {
			t.Error(fail.Message)
		}
	})
}

// serverHello is what crypto/tls answers a hello with, up to what waits for the client.
func serverHello(f *testing.F) []byte {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}).Handshake()
	var said bytes.Buffer
	conf := serving(fake.NewAuthority(f).Issue("db"))
	t := loop.ServerTLS(&listener{Conn: ours, said: &said}, nil, conf)
	ours.SetDeadline(time.Now().Add(fake.Patience))
	if err := t.Shake(nil); err != nil && said.Len() == 0 {
		f.Fatal(err)
	}
	return said.Bytes()
}

// listener keeps what is written.
type listener struct {
	net.Conn
	said *bytes.Buffer
}

func (l *listener) Write(p []byte) (int, error) { l.said.Write(p); return l.Conn.Write(p) }

// FuzzTLSRecordsOfServers: whatever comes in place of records from a server that we logged in to, its connection ends,
// and nothing of it reaches the engine; a neighbour's goes on.
func FuzzTLSRecordsOfServers(f *testing.F) {
	for _, b := range oddRecords() {
		f.Add(b, false)
		f.Add(b, true)
	}
	a := fake.NewAuthority(f)
	cert := a.Issue("db", "127.0.0.1")
	old := serving(cert)
	old.MaxVersion = tls.VersionTLS12
	servers := [2]*fake.Server{fake.NewServer(f, fake.Config{TLS: serving(cert)}), fake.NewServer(f, fake.Config{TLS: old})}
	w := start(f, newScript(), withServerTLS(f, config.DatabaseTLS{Mode: config.Give(config.SSLVerifyFull), CA: a.File}))
	neighbour := w.connected(1, encrypting(servers[0]))
	last := engine.Server(1)
	f.Fuzz(func(t *testing.T, b []byte, old bool) {
		s := servers[0]
		if old {
			s = servers[1]
		}
		last++
		w.t = t
		d := w.connected(last, encrypting(s))
		all := s.Sessions()
		raw := all[len(all)-1].Conn.(*tls.Conn).NetConn()
		raw.Write(b)
		raw.(interface{ CloseWrite() error }).CloseWrite()
		if gone := next(t, w.script.closed, "the end"); gone.conn != d.conn || gone.err == nil {
			t.Errorf("conn %v ended with %v, want %v", gone.conn, gone.err, d.conn)
		}
		select {
		case g := <-w.got:
			t.Errorf("%q reached the engine", g.bytes)
		default:
		}
		w.on(func(time.Duration) { w.out.Send(neighbour.conn, fake.Query("SELECT 1")) })
		for answer := ""; !strings.Contains(answer, "Z\x00\x00\x00\x05"); {
			g := next(t, w.got, "the neighbour's answer")
			if g.conn != neighbour.conn {
				t.Fatalf("%q reached the engine", g.bytes)
			}
			answer += g.bytes
		}
	})
}

// FuzzCertificates: whatever is in the files, they are taken whole or refused; the error names the setting, and holds
// nothing of the key.
func FuzzCertificates(f *testing.F) {
	a := fake.NewAuthority(f)
	one, other := a.Issue("cancello", "127.0.0.1"), a.Issue("cancello", "127.0.0.1")
	for _, s := range [][3][]byte{
		{one.PEM, one.KeyPEM, a.PEM}, {one.PEM, other.KeyPEM, a.PEM}, {one.KeyPEM, one.PEM, a.PEM}, {a.PEM, one.KeyPEM, one.PEM},
		{nil, nil, nil}, {one.PEM[:100], one.KeyPEM, a.PEM}, {one.PEM, one.KeyPEM[:100], a.PEM}, {one.PEM, one.KeyPEM, a.PEM[:100]},
		{[]byte("garbage"), []byte("garbage"), []byte("garbage")}, {one.PEM, one.KeyPEM, one.KeyPEM},
		{fake.Join(one.PEM, a.PEM), one.KeyPEM, fake.Join(a.PEM, other.PEM)}, {fake.Join([]byte("a comment\n"), one.PEM), fake.Join(one.PEM, one.KeyPEM), a.PEM},
		{bytes.ReplaceAll(one.PEM, []byte("A"), []byte("B")), bytes.ReplaceAll(one.KeyPEM, []byte("A"), []byte("B")), a.PEM},
		{bytes.ReplaceAll(one.PEM, []byte("CERTIFICATE"), []byte("NONSENSE")), one.KeyPEM, a.PEM},
		{one.PEM, bytes.ReplaceAll(one.KeyPEM, []byte("PRIVATE KEY"), []byte("ENCRYPTED PRIVATE KEY")), a.PEM},
	} {
		f.Add(s[0], s[1], s[2])
	}
	dir := f.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	f.Fuzz(func(t *testing.T, cert, key, ca []byte) {
		for name, content := range map[string][]byte{"cert": cert, "key": key, "ca": ca} {
			if err := os.WriteFile(path(name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c := newConfig()
		c.TLS.Client = config.ClientTLS{Mode: config.SSLVerifyCA, Cert: path("cert"), Key: path("key"), CA: path("ca")}
		_, errClient := LoadTLS(c)
		c.TLS.Client = config.ClientTLS{}
		c.Databases = []config.Database{{Name: "db", Host: "h", TLS: config.DatabaseTLS{Mode: config.Give(config.SSLVerifyFull), Cert: path("cert"), Key: path("key"), CA: path("ca")}}}
		secrets, errServer := LoadTLS(c)
		if (errClient == nil) != (errServer == nil) {
			t.Fatalf("as clients' %v, as servers' %v", errClient, errServer)
		}
		if errServer != nil {
			for _, err := range []error{errClient, errServer} {
				if text := err.Error(); !strings.Contains(text, "_file") || holds(text, key) {
					t.Errorf("the error says %q", text)
				}
			}
			return
		}
		if s, ok := secrets.server("db"); !ok || s.config == nil || len(s.config.Certificates[0].Certificate) == 0 {
			t.Error("it was taken, and is not there")
		}
	})
}

// holds tells whether a text has something of a key in it.
func holds(text string, key []byte) bool {
	for block, rest := pem.Decode(key); block != nil; block, rest = pem.Decode(rest) {
		if len(block.Bytes) >= 32 && strings.Contains(text, string(block.Bytes[:32])) {
			return true
		}
	}
	for _, line := range bytes.Split(key, []byte("\n")) {
		if len(line) >= 32 && strings.Contains(text, string(line)) {
			return true
		}
	}
	return false
}

// A client that wants to negotiate anew, which TLS 1.2 has and nobody needs: before its startup packet and within its
// session its connection ends, and its neighbour's doesn't.
func TestRenegotiation(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("openssl is not installed")
		}
		t.Skip("openssl is not installed")
	}
	a := fake.NewAuthority(t)
	w := start(t, newScript(), withClientTLS(t, a, config.SSLRequire))
	neighbour := asked(t, w, trusting(a))
	neighbour.Login(fake.V30, "user", "ann")
	stays := next(t, w.logins, "the neighbour's login").Conn
	for _, inside := range []bool{false, true} {
		cmd := exec.Command(openssl, "s_client", "-starttls", "postgres", "-connect", w.addr(), "-tls1_2", "-quiet", "-no_ign_eof")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		if inside {
			in.Write(fake.Startup(fake.V30, "user", "ann"))
			r := next(t, w.logins, "the login")
			go io.Copy(io.Discard, out)
			in.Write([]byte("R\n"))
			if gone := next(t, w.script.closed, "the end"); gone.conn != r.Conn || gone.err == nil {
				t.Errorf("conn %v ended with %v, want %v", gone.conn, gone.err, r.Conn)
			}
		} else {
			go io.Copy(io.Discard, out)
			in.Write([]byte("R\n"))
		}
		go func() { done <- cmd.Wait() }()
		var exit *exec.ExitError
		if err := next(t, done, "the end of openssl"); !inside && !errors.As(err, &exit) {
			t.Errorf("openssl ended: %v", err)
		}
	}
	w.on(func(time.Duration) { w.out.Send(stays, fake.Msg('N', "")) })
	neighbour.Until("N")
}
