package proxy

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/pgtest/fake"
)

func TestCancelRequestForms(t *testing.T) {
	zeros := func(n int) []byte { return make([]byte, n) }
	_, long := testMinter.Mint(fake.V32, 7, [12]byte{9})
	const reaches = event.Cancelled // stands for the engine, which hears of it
	tests := []struct {
		name   string
		before [][]byte // packets in front, each answered N
		pid    uint32
		key    []byte
		raw    []byte // in place of pid and key
		want   event.Outcome
	}{
		{name: "3.0", pid: testPID, key: testKey, want: reaches},
		{name: "3.2", pid: testPID, key: long, want: reaches},
		{name: "behind SSLRequest", before: [][]byte{sslRequest}, pid: testPID, key: testKey, want: reaches},
		{name: "behind GSSENCRequest", before: [][]byte{gssRequest}, pid: testPID, key: testKey, want: reaches},
		{name: "behind both", before: [][]byte{gssRequest, sslRequest}, pid: testPID, key: long, want: reaches},
		{name: "another key of 3.0", pid: testPID, key: zeros(4), want: event.UnknownKey},
		{name: "another key of 3.2", pid: testPID, key: zeros(32), want: event.Forged},
		{name: "longest", pid: testPID, key: zeros(256), want: event.Malformed},
		{name: "without a key", pid: testPID, key: nil, want: event.Malformed},
		{name: "all zero", pid: 0, key: zeros(4), want: event.UnknownKey},
		{name: "too long", pid: testPID, key: zeros(257), want: event.Malformed},
		{name: "without a pid", raw: fake.Msg(0, fake.CancelCode), want: event.Malformed},
		{name: "half a pid", raw: fake.Msg(0, fake.CancelCode, uint16(1)), want: event.Malformed},
	}
	w := start(t, newScript())
	nobodys := 0
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := fake.Dial(t, w.addr())
			for _, b := range tt.before {
				c.Put(b)
				if got := c.Byte(); got != 'N' {
					t.Fatalf("got %q, want N", got)
				}
			}
			if tt.raw == nil {
				tt.raw = fake.Cancel(tt.pid, tt.key)
			}
			before := w.loop.Now()
			c.Put(tt.raw)
			c.WantEOF() // and not a byte before
			if tt.want != reaches {
				nobodys++
				if got := w.settled(); len(got) != nobodys || got[nobodys-1] != tt.want {
					t.Errorf("outcomes %v, want %v after %d others", got, tt.want, nobodys-1)
				}
				w.on(func(time.Duration) {
					if len(w.cancels) > 0 {
						t.Error("the engine heard of it")
					}
				})
				return
			}
			r := next(t, w.cancels, "the cancel")
			if r.PID != tt.pid || !bytes.Equal(r.Key, tt.key) || r.Remote != c.LocalAddr().String() {
				t.Errorf("the engine got pid %d, %d bytes of key, from %s", r.PID, len(r.Key), r.Remote)
			}
			if after := w.loop.Now(); r.ReadAt < before || r.ReadAt > after {
				t.Errorf("ReadAt = %v, not within %v and %v", r.ReadAt, before, after)
			}
		})
	}
}

func TestCancelConnectionStaysUntilRelease(t *testing.T) {
	s := newScript()
	tickets := make(chan engine.Ticket, 1)
	s.cancel = func(_ *script, tk engine.Ticket, _ engine.CancelRequest) { tickets <- tk }
	w := start(t, s)
	c := fake.Dial(t, w.addr())
	c.Put(fake.Cancel(testPID, testKey))
	tk := next(t, tickets, "the cancel")
	c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); n != 0 || !isTimeout(err) {
		t.Fatalf("read %d bytes, %v before the ticket was released", n, err)
	}
	w.on(func(time.Duration) { s.out.Release(tk) })
	c.WantEOF()
	w.on(func(time.Duration) {
		if len(w.own.tickets) != 0 {
			t.Error("the ticket is still kept")
		}
	})
}

// What a client has sent before somebody asks to cancel it is seen by the engine before the request is, even where
// the loop has not read it yet.
func TestClientIsReadBeforeItsCancelIsJudged(t *testing.T) {
	s := newScript()
	var client engine.Conn
	var order []string
	asked, sent := make(chan struct{}), make(chan struct{})
	s.login = func(s *script, _ time.Duration, l engine.Login, r engine.Request) {
		client = r.Conn
		s.out.Admit(l, admitted())
	}
	s.target = func(pid uint32, key []byte) (engine.Conn, bool) {
		close(asked)
		<-sent // the loop stands still, so nobody has read what the client sends now
		return client, pid == testPID && bytes.Equal(key, testKey)
	}
	s.data = func(_ *script, _ engine.Conn, b engine.Buf) {
		if len(b.Bytes) > 0 {
			order = append(order, "data")
		}
	}
	s.cancel = func(s *script, tk engine.Ticket, _ engine.CancelRequest) {
		order = append(order, "cancel")
		s.out.Release(tk)
	}
	w := start(t, s)
	c := fake.Dial(t, w.addr())
	c.Login(fake.V30, "user", "u")
	x := fake.Dial(t, w.addr())
	x.Put(fake.Cancel(testPID, testKey))
	next(t, asked, "the question whom the cancel is for")
	c.Put(fake.Query("SELECT 1"))
	close(sent)
	x.WantEOF()
	w.on(func(time.Duration) {
		if !slices.Equal(order, []string{"data", "cancel"}) {
			t.Errorf("order %v, want data before cancel", order)
		}
	})
}

// A guest's cancel is for the console where a server's own keys are held by clients, too, and where another process passed
// it on; its key goes to no server. What is no guest's goes there.
func TestGuestsCancelIsNotForwarded(t *testing.T) {
	srv := fake.NewServer(t, fake.Config{})
	o := &others{heard: make(chan string, 10)}
	w := start(t, newScript(), withServerTLS(t, config.DatabaseTLS{}), func(s *Settings) {
		d := &s.Config.Databases[0]
		d.Host, d.Port, d.Keys = "127.0.0.1", srv.Port(), config.Give(config.KeysUpstream)
		s.Elsewhere = o
	})
	pid, k := w.guests.enter("ann", false)
	waits := 0
	w.guests.onCancel(k, func() bool { waits--; return waits >= 0 })
	for name, send := range map[string]func(){
		"from a client":      func() { fake.SendCancel(t, w.addr(), pid, k.key) },
		"for this node only": func() { w.CancelHere(t.Context(), "192.0.2.1:1", pid, k.key) },
	} {
		waits = 1
		before := len(w.settled())
		send()
		if got := w.settled()[before:]; !slices.Equal(got, []event.Outcome{event.Cancelled}) || waits != 0 {
			t.Errorf("%s: outcomes %v, and %d wait", name, got, waits)
		}
	}
	waits = 1
	w.Judge(1<<63|5, engine.CancelRequest{PID: pid, Key: k.key})
	for _, want := range []string{"9223372036854775813 is released", "9223372036854775813 is cancelled"} {
		if got := next(t, o.heard, want); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if n := srv.Accepted(); n != 0 || len(w.cancels) != 0 {
		t.Errorf("%d connections to the server, and %d requests that the engine judges", n, len(w.cancels))
	}
	foreign := []byte{1, 2, 3, 4}
	fake.SendCancel(t, w.addr(), pid, foreign)
	srv.Await(t, "what is no guest's", func() bool { return len(srv.Cancels()) == 1 })
	if c := srv.Cancels()[0]; c.PID != pid || !bytes.Equal(c.Key, foreign) {
		t.Errorf("the server got pid %d", c.PID)
	}
}
