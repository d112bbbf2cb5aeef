package peer

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"cancello/internal/wire"
)

// stranger dials e's listener as a node would, with any hello that make makes of the session's binding.
func stranger(t *testing.T, e *end, make func(binding []byte) []byte) *tls.Conn {
	t.Helper()
	c, err := selfSigned()
	if err != nil {
		t.Fatal(err)
	}
	nc, err := tls.Dial("tcp", e.Addr().String(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	binding, err := bindingOf(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Write(make(binding)); err != nil {
		t.Fatal(err)
	}
	return nc
}

func says(h hello, secrets ...[]byte) func(binding []byte) []byte {
	return func(binding []byte) []byte {
		h.prove(secrets, binding)
		return h.append(nil)
	}
}

// hears reads the listener's hello; nil: it closed the connection without one.
func hears(t *testing.T, nc net.Conn) *hello {
	t.Helper()
	h, err := readHello(nc)
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return h
}

// asNode is a hello of node 9.
func asNode() hello {
	return hello{newest: version, oldest: version, role: dialer, node: 9, incarnation: 99}
}

// Who does not prove that it knows the secret, or is not who it should be, hears nothing at all; the log hears why.
func TestHello(t *testing.T) {
	t.Parallel()
	e := newEnd(t, 1, oneSecret)
	e.peers(unreachable(9))
	for name, c := range map[string]struct {
		hello   func(binding []byte) []byte
		refused string // empty: it is let in
	}{
		"a peer":           {says(asNode(), oneSecret), ""},
		"two secrets":      {says(asNode(), twoSecret, oneSecret), ""},
		"a later version":  {says(hello{newest: 9, oldest: 1, role: dialer, node: 9, incarnation: 98}, oneSecret), ""},
		"another secret":   {says(asNode(), twoSecret), "does not know the cluster's secret"},
		"no proof":         {says(asNode()), "does not know the cluster's secret"},
		"too many proofs":  {says(asNode(), twoSecret, twoSecret, twoSecret, twoSecret, oneSecret), errNoHello.Error()},
		"another session":  {func([]byte) []byte { return says(asNode(), oneSecret)(bytes.Repeat([]byte{7}, 32)) }, "does not know the cluster's secret"},
		"a changed node":   {func(b []byte) []byte { return changed(says(asNode(), oneSecret)(b), 6) }, "does not know the cluster's secret"},
		"a cut proof":      {func(b []byte) []byte { return cut(says(asNode(), oneSecret)(b)) }, errNoHello.Error()},
		"as a listener":    {says(hello{newest: version, oldest: version, role: listener, node: 9}, oneSecret), errNoHello.Error()},
		"an older version": {says(hello{newest: 0, oldest: 0, role: dialer, node: 9}, oneSecret), "versions 0 to 0"},
		"a newer version":  {says(hello{newest: 3, oldest: 2, role: dialer, node: 9}, oneSecret), "versions 2 to 3"},
		"no peer":          {says(hello{newest: version, oldest: version, role: dialer, node: 8}, oneSecret), "node 8 is not among the peers"},
		"our own number":   {says(hello{newest: version, oldest: version, role: dialer, node: 1}, oneSecret), "node 1, as this one is"},
		"this process":     {says(hello{newest: version, oldest: version, role: dialer, node: 1, incarnation: e.set.Incarnation}, oneSecret), "this very process"},
		"another protocol": {func([]byte) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") }, errNoHello.Error()},
		"a long length":    {func([]byte) []byte { return []byte{0xff, 0xff, 1} }, errNoHello.Error()},
		"a short length":   {func([]byte) []byte { return []byte{0, 3, 1, 1, 1} }, errNoHello.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			nc := stranger(t, e, c.hello)
			h := hears(t, nc)
			if c.refused == "" {
				if h == nil || h.node != 1 || h.role != listener {
					t.Fatalf("%+v", h)
				}
				e.up(9)
				nc.Close()
				e.down(9)
				return
			}
			if h != nil {
				t.Error("it was told something")
			}
			if reason := e.refused(); !strings.Contains(reason, c.refused) || strings.Contains(reason, "hunter2") {
				t.Errorf("%s, want %q", reason, c.refused)
			}
		})
	}
}

// changed is b with another byte at i.
func changed(b []byte, i int) []byte { b[i] ^= 1; return b }

// cut is a hello whose last byte is missing.
func cut(b []byte) []byte { b[1]--; return b[:len(b)-1] }

// A hello with what later versions add behind it is understood.
func TestHelloWithMore(t *testing.T) {
	want := asNode()
	want.prove([][]byte{oneSecret}, []byte("binding"))
	b := append(want.append(nil)[2:], "more"...)
	got, err := parseHello(b)
	if err != nil || got.node != 9 || !got.proven([][]byte{oneSecret}, []byte("binding")) {
		t.Errorf("%+v, %v", got, err)
	}
}

// One in the middle who has TLS with both gets nothing passed on: the proofs are of another session.
func TestManInTheMiddle(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, 1, oneSecret), newEnd(t, 2, oneSecret)
	conf, err := selfSigned()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	passed := make(chan struct{}, 100)
	go func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := tls.Dial("tcp", b.Addr().String(), conf)
			if err != nil {
				near.Close()
				continue
			}
			go func() {
				if n, _ := io.Copy(far, near); n > 0 {
					passed <- struct{}{}
				}
				far.Close()
			}()
			go func() { io.Copy(near, far); near.Close() }()
		}
	}()
	t.Cleanup(func() { ln.Close() })
	b.peers(unreachable(1))
	a.peers(at(2, ln.Addr().String()))
	if reason := b.refused(); !strings.Contains(reason, "does not know the cluster's secret") {
		t.Error(reason)
	}
	if reason := a.down(2); !strings.Contains(reason, "instead of proving itself") {
		t.Error(reason)
	}
	wait(t, passed, "the hello to be passed on")
	a.peers()
	if len(sessions(a))+len(sessions(b)) > 0 {
		t.Error("there is a link")
	}
}

// What a node once said is worth nothing in another session, nor said back to itself.
func TestReplay(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, 9, oneSecret), newEnd(t, 1, oneSecret)
	conf, err := selfSigned()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	b.peers(unreachable(9))
	a.peers(at(1, ln.Addr().String()))
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	said, err := readHello(nc)
	if err != nil {
		t.Fatal(err)
	}
	again := said.append(nil)
	if _, err := nc.Write(again); err != nil {
		t.Fatal(err)
	}
	if reason := a.down(1); !strings.Contains(reason, errNoHello.Error()) {
		t.Errorf("its own hello: %s", reason)
	}
	if h := hears(t, stranger(t, b, func([]byte) []byte { return again })); h != nil {
		t.Error("a hello of another session is good")
	}
	if reason := b.refused(); !strings.Contains(reason, "does not know the cluster's secret") {
		t.Error(reason)
	}
}

// The dialer looks at who answers: it must be the node that it dialed.
func TestWrongNode(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, 1, oneSecret), newEnd(t, 3, oneSecret)
	b.peers(unreachable(1))
	a.peers(at(2, b.Addr().String()))
	if reason := a.down(2); !strings.Contains(reason, "there is node 3: correct the peer's address or number") {
		t.Error(reason)
	}
}

// While the secret is changed, nodes that know the new one and the former have links with those that know one of them.
func TestRotation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ a, b [][]byte }{
		"the dialer first":   {[][]byte{twoSecret, oneSecret}, [][]byte{oneSecret}},
		"the listener first": {[][]byte{oneSecret}, [][]byte{twoSecret, oneSecret}},
		"both":               {[][]byte{twoSecret, oneSecret}, [][]byte{twoSecret, oneSecret}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newEnd(t, 1, c.a...), newEnd(t, 2, c.b...)
			b.peers(unreachable(1))
			a.peers(b.here())
			a.up(2)
			b.up(1)
		})
	}
	a, b := newEnd(t, 1, oneSecret), newEnd(t, 2, twoSecret)
	b.peers(unreachable(1))
	a.peers(b.here())
	a.down(2)
	a.conf.Secrets = [][]byte{oneSecret, twoSecret}
	a.peers(b.here())
	a.up(2) // without being told to dial again
}

// Of two sessions with one process that stays which the lower node dialed, else the newer one.
func TestTie(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		number uint16 // ours; the other one's is 9
		stays  bool   // ours, when the other one dials
	}{{"we are lower", 1, true}, {"we are higher", 11, false}} {
		t.Run(c.name, func(t *testing.T) {
			e := newEnd(t, c.number, oneSecret)
			conf, err := selfSigned()
			if err != nil {
				t.Fatal(err)
			}
			ln, err := tls.Listen("tcp", "127.0.0.1:0", conf)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			e.peers(at(9, ln.Addr().String()))
			ours, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer ours.Close()
			ours.SetDeadline(time.Now().Add(patience))
			if _, err := readHello(ours); err != nil {
				t.Fatal(err)
			}
			binding, err := bindingOf(ours.(*tls.Conn))
			if err != nil {
				t.Fatal(err)
			}
			ours.Write(says(hello{newest: version, oldest: version, role: listener, node: 9, incarnation: 99}, oneSecret)(binding))
			e.up(9)
			theirs := stranger(t, e, says(asNode(), oneSecret))
			if h := hears(t, theirs); (h == nil) != c.stays {
				t.Fatalf("the other one was let in: %v", h != nil)
			}
			if c.stays {
				if of := sessions(e); len(of) != 1 || !of[0].dialed || of[0].ended() {
					t.Error("ours did not stay")
				}
				return
			}
			theirs.Write(aPing)                                  // which says that it has the answer
			if _, err := io.Copy(io.Discard, ours); err != nil { // its pings, then the end
				t.Error(err)
			}
			newer := stranger(t, e, says(asNode(), oneSecret))
			if h := hears(t, newer); h == nil {
				t.Error("a newer one was not let in")
			}
			newer.Write(aPing)
			if _, err := io.Copy(io.Discard, theirs); err != nil {
				t.Error(err)
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			if len(e.events) > 0 {
				t.Errorf("nothing was lost meanwhile, and it tells %v", e.events)
			}
		})
	}
}

// What is not a node's, in clear or in TLS, is closed, and keeps nobody else out.
func TestGarbage(t *testing.T) {
	t.Parallel()
	e := newEnd(t, 1, oneSecret)
	e.peers(unreachable(9))
	for _, b := range []string{"", "\x00", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x00\x05hello", "\x00\x00\x00\x08\x04\xd2\x16\x2f", "\x00\x00\x00\x09\x00\x03\x00\x00\x00", "\xff\xff\xff\xff"} {
		nc, err := net.Dial("tcp", e.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(patience))
		nc.Write([]byte(b))
		nc.(*net.TCPConn).CloseWrite()
		answer, err := io.ReadAll(nc)
		if len(answer) > 0 && answer[0] != 0x15 { // an alert of TLS
			t.Errorf("%q was answered %q, %v", b, answer, err)
		}
		nc.Close()
	}
	// A session that says what is no message ends.
	for _, b := range [][]byte{{0, 0}, {0xff, 0xff}, {0, 2, 1, 1}} {
		nc := stranger(t, e, says(asNode(), oneSecret))
		if hears(t, nc) == nil {
			t.Fatal("not let in")
		}
		nc.Write(b)
		if _, err := io.Copy(io.Discard, nc); err != nil {
			t.Error(err)
		}
		e.down(9)
	}
	// One of a later version is skipped.
	nc := stranger(t, e, says(asNode(), oneSecret))
	if hears(t, nc) == nil {
		t.Fatal("not let in")
	}
	nc.Write(append([]byte{0, 3, 200, 1, 2}, aPing...))
	b := make([]byte, 1024)
	for found := false; !found; {
		n, err := nc.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		found = bytes.Contains(b[:n], []byte{1, 2, 3, 4, 5, 6, 7, 8}) // the pong
	}
}

// aPing is a message.
var aPing = []byte{0, 9, 1, 1, 2, 3, 4, 5, 6, 7, 8}

// Connections that say nothing keep no node out, however many there are.
func TestSilentConnections(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, 1, oneSecret), newEnd(t, 2, oneSecret)
	b.peers(unreachable(1))
	for range 2 * maxUnproven {
		nc, err := net.Dial("tcp", b.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	a.peers(b.here())
	a.up(2)
	b.unproven.mu.Lock()
	defer b.unproven.mu.Unlock()
	if n := b.unproven.queue.Len(); n > maxUnproven {
		t.Errorf("%d of them", n)
	}
}

// Requests in clear that are not let go are among them: the oldest one's connection is closed for one more.
func TestPlainRequestsThatStay(t *testing.T) {
	t.Parallel()
	b := newEnd(t, 2, oneSecret)
	b.peers(unreachable(1))
	var conns []net.Conn
	for n := range maxUnproven + 5 {
		nc, err := net.Dial("tcp", b.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := nc.Write(wire.AppendCancelRequest(nil, uint32(n), []byte("a key"))); err != nil {
			t.Fatal(err)
		}
		select {
		case <-b.plain:
		case <-time.After(patience):
			t.Fatalf("request %d is not heard", n)
		}
		conns = append(conns, nc)
	}
	for n, nc := range conns[:5] {
		nc.SetReadDeadline(time.Now().Add(patience))
		if _, err := nc.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("connection %d, whose place is another one's: %v", n, err)
		}
	}
}

func FuzzHello(f *testing.F) {
	h := asNode()
	h.prove([][]byte{oneSecret}, []byte("binding"))
	f.Add(h.append(nil)[2:])
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHello(b)
		if err != nil {
			return
		}
		if again := h.append(nil)[2:]; len(again) > len(b) || !bytes.Equal(again, b[:len(again)]) {
			t.Errorf("%x was read as %x", b, again)
		}
	})
}
