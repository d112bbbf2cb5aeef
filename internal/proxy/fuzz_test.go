package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"cancello/internal/auth"
	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/pgtest/fake"
)

// FuzzClientBeforeLogin: whatever a client sends, in whatever pieces, it is answered or not, and then its connection
// ends.
func FuzzClientBeforeLogin(f *testing.F) {
	startup := fake.Startup(fake.V30, "user", "ann")
	for _, b := range [][]byte{
		nil, {0}, startup, startup[:9], sslRequest, fake.Join(sslRequest, gssRequest, startup), fake.Join(sslRequest, sslRequest),
		fake.Cancel(testPID, testKey), fake.Cancel(1, nil), fake.Msg(0, fake.CancelCode), fake.Startup(0x0003270F, "user", "u", "_pq_.x", ""),
		fake.Startup(0x00020000, "user", "u"), fake.Join(startup, fake.Msg('p', "secret"), fake.Query("SELECT 1")),
		fake.Join(startup, fake.Msg('p', "SCRAM-SHA-256", 5, []byte("n,,n="))), []byte("GET / HTTP/1.1\r\n\r\n"), {0xff, 0xff, 0xff, 0xff},
	} {
		for _, cut := range []uint16{0, 5} {
			f.Add(b, cut, true)
			f.Add(b, cut, false)
		}
	}
	var worlds [3]*world
	for i, m := range []auth.Method{auth.Plain, auth.SCRAM, auth.MD5} {
		s := newScript()
		s.login = func(s *script, _ time.Duration, l engine.Login, r engine.Request) {
			<-s.logins
			s.out.Admit(l, admitted())
			s.out.Close(r.Conn, engine.Flush)
		}
		worlds[i] = start(f, s, withVerifier(m, testUserlist))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint16, plain bool) {
		w := worlds[0]
		if !plain {
			w = worlds[1+len(b)%2]
		}
		sendCut(t, w.addr(), b, int(cut))
		for { // what the script recorded is of no use here
			select {
			case <-w.script.closed:
			case <-w.cancels:
			case <-w.got:
			default:
				return
			}
		}
	})
}

// FuzzServerLogin: whatever a server says, the login ends: with an error, or a session.
func FuzzServerLogin(f *testing.F) {
	good := fake.Join(fake.Msg('R', 0), fake.Msg('S', "server_version", "18.4"), fake.Msg('K', 1, testKey), fake.Msg('Z', byte('I')))
	for _, b := range [][]byte{
		nil, good, good[:len(good)-1], fake.Error("FATAL", "28000", "no"), fake.Msg('R', 3), fake.Msg('R', 5, []byte("salt")), fake.Msg('R', 5),
		fake.Msg('R', 10, "SCRAM-SHA-256", byte(0)), fake.Join(fake.Msg('R', 10, "SCRAM-SHA-256", byte(0)), fake.Msg('R', 11, []byte("r=x,s=eA==,i=4096"))),
		fake.Join(fake.Msg('v', fake.V30, 0), good), {'S', 0xff, 0xff, 0xff, 0xff}, {'E', 0, 0, 0, 0}, []byte("N"),
	} {
		f.Add(b)
	}
	p := &Proxy{gate: newGate()}
	c := engine.Target{Host: "h", Port: 1, User: "ann", Database: "db", Timeout: time.Second}
	p.config.Store(newConfig())
	p.access.Store(&access{passwords: Passwords{Environment: "secret"}})
	f.Fuzz(func(t *testing.T, b []byte) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		go func() {
			go io.Copy(io.Discard, theirs)
			theirs.Write(b)
			theirs.Close()
		}()
		ours.SetDeadline(time.Now().Add(fake.Patience))
		ctx, cancel := context.WithTimeout(context.Background(), fake.Patience)
		defer cancel()
		l := &serverLogin{p: p, ctx: ctx, nc: ours, r: bufio.NewReader(ours), target: c}
		if err := l.run(asking{}); isTimeout(err) {
			t.Fatal("it hangs")
		}
	})
}

// FuzzTLSFromClients: whatever comes in place of a handshake, in whatever pieces, the connection ends.
func FuzzTLSFromClients(f *testing.F) {
	hello := clientHello(f)
	for _, b := range [][]byte{
		{firstOfTLS}, hello, hello[:len(hello)/2], append(hello, hello...), fake.Join(sslRequest, hello), fake.Join(sslRequest, hello[:30]),
		fake.Join(sslRequest, fake.Startup(fake.V30, "user", "ann")), fake.Join(sslRequest, []byte{firstOfTLS, 3, 1, 0xff, 0xff, 1}),
		{firstOfTLS, 3, 1, 0, 0}, {21, 3, 1, 0, 2, 2, 40}, fake.Join(sslRequest, []byte{0x80, 0x2e, 1, 3, 1}), fake.Join(gssRequest, sslRequest, hello),
	} {
		f.Add(b, uint16(0))
		f.Add(b, uint16(9))
	}
	w := start(f, newScript(), withClientTLS(f, fake.NewAuthority(f), config.SSLRequire))
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		sendCut(t, w.addr(), b, int(cut))
		select {
		case <-w.logins:
			t.Fatal("somebody was let in")
		case <-w.cancels:
		default:
		}
		w.mu.Lock()
		w.events = nil
		w.mu.Unlock()
	})
}

// clientHello is what crypto/tls begins with.
func clientHello(f *testing.F) []byte {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go tls.Client(theirs, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpn}}).Handshake()
	buf := make([]byte, 4096)
	n, err := ours.Read(buf)
	if err != nil {
		f.Fatal(err)
	}
	return buf[:n]
}

// FuzzTLSRecords: whatever comes in place of records from a client that is in, its connection ends, and nothing of it
// reaches the engine.
func FuzzTLSRecords(f *testing.F) {
	for _, b := range [][]byte{
		nil, {23}, {23, 3, 3, 0, 0}, {23, 3, 3, 0x40, 0x12}, {23, 3, 3, 0xff, 0xff}, {21, 3, 3, 0, 2, 1, 0}, {20, 3, 3, 0, 1, 1},
		{22, 3, 3, 0, 5, 24, 0, 0, 1, 1}, append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...), fake.Query("SELECT 1"),
	} {
		f.Add(b, false)
		f.Add(b, true)
	}
	a := fake.NewAuthority(f)
	w := start(f, newScript(), withClientTLS(f, a, config.SSLRequire))
	f.Fuzz(func(t *testing.T, b []byte, old bool) {
		c := fake.Dial(t, w.addr())
		conf := trusting(a, alpn)
		if old {
			conf.MaxVersion = tls.VersionTLS12
		}
		c.Encrypt(conf)
		c.Login(fake.V30, "user", "ann")
		r := next(t, w.logins, "the login")
		raw := c.Conn.(*tls.Conn).NetConn()
		raw.Write(b)
		raw.(*net.TCPConn).CloseWrite()
		if gone := next(t, w.script.closed, "the end"); gone.conn != r.Conn || gone.err == nil {
			t.Errorf("conn %v ended with %v, want %v", gone.conn, gone.err, r.Conn)
		}
		select {
		case g := <-w.got:
			t.Errorf("%q reached the engine", g.bytes)
		default:
		}
	})
}

// sendCut sends b in two pieces, the first of cut bytes at most, and waits until the other side closes. That it does not
// is the failure.
func sendCut(t testing.TB, addr string, b []byte, cut int) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(fake.Patience))
	at := min(cut, len(b))
	nc.Write(b[:at])
	nc.Write(b[at:])
	nc.(*net.TCPConn).CloseWrite()
	if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("it hangs")
	}
}
