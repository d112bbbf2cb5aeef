package proxy

import (
	"bytes"
	"testing"
	"time"

	"cancello/internal/engine"
	"cancello/internal/pgtest/fake"
)

func TestCarry(t *testing.T) {
	tests := []struct {
		name string
		fake fake.Config
		want engine.Result
	}{
		{"PostgreSQL", fake.Config{}, engine.Delivered},
		{"a long key", fake.Config{Key: fake.RandomKey(32)}, engine.Delivered},
		{"closed late", fake.Config{CancelDelay: 50 * time.Millisecond}, engine.Delivered},
		{"never closed", fake.Config{Cancel: fake.HoldIt}, engine.Broken},
		{"reset", fake.Config{Cancel: fake.ResetIt}, engine.Broken},
		{"answered", fake.Config{Cancel: fake.AnswerIt}, engine.Broken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := fake.NewServer(t, tt.fake)
			w := start(t, newScript(), func(set *Settings) {
				if tt.fake.Cancel == fake.HoldIt {
					set.Config.Cancel.Timeout = 50 * time.Millisecond
				}
			})
			w.connected(1, target(s))
			w.on(func(time.Duration) { w.out.Carry(9, 1, 0) })
			if o := next(t, w.readied, "CancelReady"); o != 9 {
				t.Errorf("CancelReady for order %d", o)
			}
			if d := next(t, w.done, "CancelDone"); d != (gotDone{9, tt.want}) {
				t.Errorf("CancelDone(%v, %v), want %v", d.order, d.result, tt.want)
			}
			x := s.Sessions()[0]
			if got := s.Cancels(); len(got) != 1 || got[0].PID != x.PID || !bytes.Equal(got[0].Key, x.Key) {
				t.Errorf("the server saw %d cancels, not exactly its own", len(got))
			}
			w.on(func(time.Duration) {
				if len(w.own.orders) != 0 {
					t.Error("the order is still kept")
				}
			})
		})
	}
}

// Nothing is written until the engine says so: the unit may have ended meanwhile.
func TestNothingIsWrittenBeforeGo(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	sc := newScript()
	sc.ready = func(*script, engine.Order) {}
	w := start(t, sc)
	w.connected(1, target(s))
	if s.Accepted() != 1 {
		t.Fatal("a socket was opened ahead")
	}
	w.on(func(time.Duration) { w.out.Carry(1, 1, 0) })
	next(t, w.readied, "CancelReady")
	w.on(func(time.Duration) { w.out.Go(1, false) })
	// The next order's arrival at the server proves that the one before left nothing there.
	w.on(func(time.Duration) { w.out.Carry(2, 1, 0) })
	next(t, w.readied, "CancelReady")
	w.on(func(time.Duration) { w.out.Go(2, true) })
	if d := next(t, w.done, "CancelDone"); d != (gotDone{2, engine.Delivered}) {
		t.Errorf("CancelDone(%v, %v): a dropped order is not answered", d.order, d.result)
	}
	if n := len(s.Cancels()); n != 1 {
		t.Errorf("the server saw %d CancelRequests, want 1", n)
	}
}

func TestCarryToNobody(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	w := start(t, newScript())
	d := w.connected(1, target(s))

	w.on(func(time.Duration) { w.out.Carry(1, 99, 0) })
	if d := next(t, w.done, "CancelDone"); d != (gotDone{1, engine.NotSent}) {
		t.Errorf("for a server that never was: %+v", d)
	}
	s.Close() // nobody listens at the session's address any more
	w.on(func(time.Duration) { w.out.Carry(2, 1, 0) })
	if d := next(t, w.done, "CancelDone"); d != (gotDone{2, engine.NotSent}) {
		t.Errorf("with nobody listening: %+v", d)
	}
	w.on(func(time.Duration) { w.out.Close(d.conn, engine.Now) })
	next(t, w.script.closed, "the end of the connection")
	w.on(func(time.Duration) { w.out.Carry(3, 1, 0) })
	if d := next(t, w.done, "CancelDone"); d != (gotDone{3, engine.NotSent}) {
		t.Errorf("for a server that has gone: %+v", d)
	}
}

// A server connection may end while a cancel for it is on the wire: the order ends on its own, then all is forgotten.
func TestServerThatGoesUnderAnOrder(t *testing.T) {
	s := fake.NewServer(t, fake.Config{CancelDelay: 50 * time.Millisecond})
	w := start(t, newScript())
	d := w.connected(1, target(s))
	w.on(func(time.Duration) { w.out.Carry(1, 1, 0) })
	s.Await(t, "the cancel arrives", func() bool { return len(s.Cancels()) == 1 })
	w.on(func(time.Duration) { w.out.Close(d.conn, engine.Now) })
	next(t, w.script.closed, "the end of the connection")
	w.on(func(time.Duration) {
		if len(w.own.servers) != 1 {
			t.Error("the server is forgotten while an order for it is out")
		}
	})
	if d := next(t, w.done, "CancelDone"); d != (gotDone{1, engine.Delivered}) {
		t.Errorf("CancelDone(%v, %v)", d.order, d.result)
	}
	until(t, "the server is forgotten", func() (gone bool) {
		w.on(func(time.Duration) { gone = len(w.own.servers) == 0 && len(w.own.serverOf) == 0 })
		return gone
	})
}

// The order goes to the address of the session, whatever the name means by now.
func TestOrderGoesToTheSessionsAddress(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	w := start(t, newScript())
	to := target(s)
	to.Host = "localhost"
	w.connected(1, to)
	w.on(func(time.Duration) {
		if got := w.own.servers[1].addr.String(); got != s.Addr() {
			t.Errorf("the order would go to %s, the session is at %s", got, s.Addr())
		}
	})
}
