package proxy

import (
	"testing"
	"time"

	"cancello/internal/auth"
	"cancello/internal/engine"
	"cancello/internal/pgtest/fake"
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
