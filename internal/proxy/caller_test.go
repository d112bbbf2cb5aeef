package proxy

import (
	"context"
	"io"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"cancello/internal/auth"
	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/pgtest/fake"
	"cancello/internal/sqlstate"

	"golang.org/x/sys/unix"
)

// pencil is the verifier of that password in RFC 7677.
const pencil = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

// prove answers what is asked, up to the end of the greeting.
func prove(t *testing.T, c *fake.Client, user, password string) {
	t.Helper()
	l := auth.NewLogin(user, password, make([]byte, 16))
	for done := false; !done; {
		m := c.Message()
		send, over, err := l.Receive(m.Body)
		if m.Type != 'R' || err != nil {
			t.Fatalf("%c: %v", m.Type, err)
		}
		if done = over; len(send) > 0 {
			c.Put(send)
		}
	}
	c.Want("SSKZ")
}

// What takes some microseconds costs no goroutine: logins in clear by every method that derives nothing, declined requests
// for encryption before them, and cancels.
func TestCallersNeedNoGoroutine(t *testing.T) {
	for _, tt := range []struct {
		name     string
		method   auth.Method
		userlist string
	}{
		{"trust", auth.Trust, ""},
		{"md5", auth.MD5, `"ann" "pencil"`},
		{"SCRAM", auth.SCRAM, `"ann" "` + pencil + `"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := start(t, newScript(), withVerifier(tt.method, tt.userlist))
			c := fake.Dial(t, w.addr())
			c.Put(sslRequest)
			c.Byte()
			c.Put(fake.Startup(fake.V30, "user", "ann"))
			prove(t, c, "ann", "pencil")
			fake.SendCancel(t, w.addr(), testPID, testKey)
			next(t, w.cancels, "the cancel")
			fake.SendCancel(t, w.addr(), testPID, []byte{1, 2, 3, 5})
			until(t, "the wrong key is settled", func() bool { return len(w.settled()) == 1 })
			w.on(func(time.Duration) {
				if n := len(w.own.callers); n != 0 {
					t.Errorf("%d callers are still kept", n)
				}
			})
			if n := w.hands.free.Load(); n != 0 {
				t.Errorf("%d goroutines were needed", n)
			}
		})
	}
}

// A caller whose place in the lobby is needed is told so, and who is in the middle of its proof keeps its own.
func TestCallersMakeRoom(t *testing.T) {
	w := start(t, newScript(), withVerifier(auth.MD5, testUserlist))
	proving := fake.Dial(t, w.addr())
	proving.Put(fake.Startup(fake.V30, "user", "ann"))
	proving.Want("R")
	knocking := fake.Dial(t, w.addr())
	knocking.Put(sslRequest)
	knocking.Byte()
	w.onLoop(func(time.Duration) {}) // it is in the lobby once the turn is over that answered it
	w.lobby.makeRoom(10)
	knocking.WantError("53300")
	knocking.WantEOF()
	proving.Put(fake.Msg('p', "no hash"))
	proving.WantError("28P01")
	proving.WantEOF()
}

// A cancel whose connection waits for the engine is closed without a word when the Proxy stops.
func TestStopWhileACancelIsCarried(t *testing.T) {
	s := newScript()
	s.cancel = func(*script, engine.Ticket, engine.CancelRequest) {} // never released
	w := start(t, s)
	c := fake.Dial(t, w.addr())
	c.Put(fake.Cancel(testPID, testKey))
	next(t, w.cancels, "the cancel")
	if n := w.carrying.Load(); n != 1 {
		t.Errorf("%d cancels are carried, want 1", n)
	}
	w.Stop()
	c.WantEOF()
	if n := w.carrying.Load(); n != 0 {
		t.Errorf("%d cancels are carried after Stop", n)
	}
	if all := w.settled(); len(all) != 0 {
		t.Errorf("settled as %v by nobody", all)
	}
}

// Of two cancels that are taken in one turn the second is judged when the client has been told what came of the first.
func TestCallersAreServedOneByOne(t *testing.T) {
	s := newScript()
	var client engine.Conn
	var order []string // the loop's
	s.login = func(s *script, _ time.Duration, l engine.Login, r engine.Request) {
		client = r.Conn
		s.out.Admit(l, admitted())
	}
	s.cancel = func(s *script, tk engine.Ticket, _ engine.CancelRequest) {
		order = append(order, "cancel")
		s.out.Send(client, []byte("x"))
		s.out.Release(tk)
	}
	s.sent = func(engine.Conn) { order = append(order, "sent") }
	w := start(t, s)
	c := fake.Dial(t, w.addr())
	c.Login(fake.V30, "user", "u")
	standing, on := make(chan struct{}), make(chan struct{})
	w.loop.Post(func(time.Duration) {
		order = nil
		close(standing)
		<-on
	})
	next(t, standing, "the loop to stand still")
	var both []*fake.Client
	for range 2 {
		x := fake.Dial(t, w.addr())
		x.Put(fake.Cancel(testPID, testKey))
		both = append(both, x)
	}
	close(on)
	for _, x := range both {
		x.WantEOF()
	}
	w.on(func(time.Duration) {
		if want := []string{"cancel", "sent", "cancel", "sent"}; !slices.Equal(order, want) {
			t.Errorf("%v, want %v", order, want)
		}
	})
}

// Who has been refused takes no place of a login from others, however long it stays to read why.
func TestRefusedCallersLeaveTheLine(t *testing.T) {
	s := newScript()
	s.login = func(s *script, _ time.Duration, l engine.Login, r engine.Request) {
		v := admitted()
		if r.Database == "none" {
			e := sqlstate.DatabaseNotConfigured(r.Database)
			v = engine.Verdict{Refusal: appendError(nil, e)}
		}
		s.out.Admit(l, v)
	}
	w := start(t, s, withVerifier(auth.MD5, testUserlist))
	for _, user := range []string{"", "nobody of ours"} {
		before := w.loggingIn.Load()
		c := fake.Dial(t, w.addr())
		c.Put(fake.Startup(fake.V30, "user", user))
		if user != "" {
			c.Want("R")
			c.Put(fake.Msg('p', "no hash"))
		}
		c.Want("E")
		if n := w.loggingIn.Load(); n != before {
			t.Errorf("user %q: %d log in after the refusal, %d before", user, n, before)
		}
	}
	t.Run("by the engine", func(t *testing.T) {
		w := start(t, s)
		c := fake.Dial(t, w.addr())
		c.Put(fake.Startup(fake.V30, "user", "u", "database", "none"))
		c.Want("E")
		if n := w.loggingIn.Load(); n != 0 {
			t.Errorf("%d log in after the refusal", n)
		}
	})
}

// stuck is a log whose reader reads nothing until it is let.
type stuck struct {
	slog.Handler
	entered, free chan struct{}
}

func (h stuck) Handle(context.Context, slog.Record) error {
	h.entered <- struct{}{}
	<-h.free
	return nil
}

// The loop does not wait for who reads the log.
func TestAcceptFailsWhileTheLogIsStuck(t *testing.T) {
	h := stuck{slog.NewTextHandler(io.Discard, nil), make(chan struct{}, 10), make(chan struct{})}
	w := start(t, newScript(), func(s *Settings) { s.Log = slog.New(h) })
	t.Cleanup(func() { close(h.free) })
	w.loop.Post(func(time.Duration) { w.acceptFailed(w.entrances[0], unix.EMFILE) })
	next(t, h.entered, "the line of the log")
	fake.Dial(t, w.addr()).Login(fake.V30, "user", "u")
}

// drip sends the first bytes of a message one by one, each as soon as the caller, who is the only one, has read the one before.
func drip(t *testing.T, w *world, c *fake.Client, b []byte) {
	t.Helper()
	for i := range b {
		c.Put(b[i : i+1])
		until(t, "a byte is read", func() (read bool) {
			w.on(func(time.Duration) {
				read = len(w.own.callers) == 0
				for k := range w.own.callers {
					read = len(k.got) > i
				}
			})
			return read
		})
	}
}

// Who sends a message in many pieces costs the loop no wait for each.
func TestCallersThatDripAreVisits(t *testing.T) {
	w := start(t, newScript(), withVerifier(auth.MD5, testUserlist))
	callers := func() (n int) {
		w.on(func(time.Duration) { n = len(w.own.callers) })
		return n
	}
	startup := fake.Startup(fake.V30, "user", "ann")
	c := fake.Dial(t, w.addr())
	for _, b := range [][]byte{gssRequest, sslRequest} { // each message may come in some pieces
		c.Put(b)
		c.Byte()
	}
	drip(t, w, c, startup[:mayDrip-1])
	if n := callers(); n != 1 {
		t.Errorf("%d callers, want the one that has sent its packets in few pieces", n)
	}
	c.Put(startup[mayDrip-1 : mayDrip])
	until(t, "a startup packet that drips is not waited for on the loop", func() bool { return callers() == 0 })
	c.Put(startup[mayDrip:])
	c.Want("R")
	c.Put(fake.Msg('p', "no hash"))
	c.WantError("28P01")
	c.WantEOF()

	c = fake.Dial(t, w.addr())
	c.Put(startup)
	c.Want("R")
	proof := fake.Msg('p', "no hash")
	drip(t, w, c, proof[:mayDrip])
	if n := callers(); n != 0 {
		t.Error("a proof that drips is still waited for on the loop")
	}
	c.Put(proof[mayDrip:])
	c.WantError("28P01")
	c.WantEOF()
}

// TLS begins with the first byte or where it was asked for: not behind another request.
func TestNoDirectTLSBehindARequest(t *testing.T) {
	w := start(t, newScript(), withClientTLS(t, fake.NewAuthority(t), config.SSLAllow))
	hello := []byte{firstOfTLS, 3, 1, 0, 5}
	for name, send := range map[string]func(c *fake.Client){
		"as a caller": func(c *fake.Client) { c.Put(hello) },
		"as a visit":  func(c *fake.Client) { drip(t, w, c, hello[:mayDrip]); c.Put(hello[mayDrip:]) },
	} {
		c := fake.Dial(t, w.addr())
		c.Put(gssRequest)
		c.Byte()
		send(c)
		t.Log(name)
		c.WantError("08P01")
		c.WantEOF()
	}
}

// A reader that was made for the few bytes that somebody sent ahead serves nobody else.
func TestSmallReadersAreNotKept(t *testing.T) {
	var r readers
	nc, far := net.Pipe()
	defer nc.Close()
	defer far.Close()
	r.put(r.get(nc, make([]byte, 16)))
	if n := r.get(nc, nil).Size(); n != usualReader {
		t.Errorf("a reader of %d bytes", n)
	}
}
