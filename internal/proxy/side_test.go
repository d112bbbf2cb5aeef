package proxy

import (
	"strings"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/pgtest/fake"

	"golang.org/x/sys/unix"
)

// sideWorld is a server that statements cancel at, and order 1 to 9 over side 5 to it.
type sideWorld struct {
	*world
	t *testing.T
	s *fake.Server
}

// newSideWorld starts a server without keys. Each statement that cancels is answered by reply.
func newSideWorld(t *testing.T, sc *script, reply func(x *fake.Session), c fake.Config, opts ...option) *sideWorld {
	t.Helper()
	row := func(values ...string) []byte {
		parts := []any{uint16(len(values))}
		for _, v := range values {
			parts = append(parts, uint32(len(v)), []byte(v))
		}
		return fake.Msg('D', parts...)
	}
	c.Key = fake.NoKey
	c.Query = func(x *fake.Session, sql string) {
		switch {
		case strings.HasPrefix(sql, "SELECT pid"):
			x.Send(fake.Msg('T', uint16(0)), row("7", "then", "127.0.0.1", "5432"), fake.Msg('C', "SELECT 1"), fake.Msg('Z', byte('I')))
		case strings.HasPrefix(sql, "SELECT pg_catalog.pg_cancel_backend"):
			reply(x)
		default:
			x.Answer(sql)
		}
	}
	s := fake.NewServer(t, c)
	to := encrypting(s)
	to.Entry.Cancel.Fallback = "sql"
	w := &sideWorld{start(t, sc, opts...), t, s}
	if d := w.connected(1, to); !d.info.Known {
		t.Fatalf("%+v", d.info)
	}
	return w
}

// yes is the answer of a statement that did what it says.
func yes(x *fake.Session) {
	x.Send(fake.Msg('T', uint16(0)), fake.Msg('D', uint16(1), uint32(1), []byte("t")), fake.Msg('C', "SELECT 1"), fake.Msg('Z', byte('I')))
}

// cancel carries an order over side 5.
func (w *sideWorld) cancel(id engine.Order, want engine.Result) {
	w.t.Helper()
	w.on(func(time.Duration) { w.out.Carry(id, 1, 5) })
	if d := next(w.t, w.done, "CancelDone"); d != (gotDone{id, want}) {
		w.t.Errorf("CancelDone(%v, %v), want %v of %d", d.order, d.result, want, id)
	}
}

// open waits until so many connections are open, and sees that there have been so many in all.
func (w *sideWorld) open(n, ever int) {
	w.t.Helper()
	until(w.t, "the number of connections", func() (ok bool) {
		w.on(func(time.Duration) { ok = w.SideConnections("127.0.0.1", w.s.Port()) == n })
		return ok
	})
	if got := len(w.s.Sessions()) - 1; got != ever {
		w.t.Errorf("%d connections were opened so far, want %d", got, ever)
	}
}

// One connection serves order after order, in clear and over TLS, and is closed with a goodbye.
func TestSideIsUsedAgain(t *testing.T) {
	a := fake.NewAuthority(t)
	for name, encrypted := range map[string]bool{"clear": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			c, o := fake.Config{}, withServerTLS(t, config.DatabaseTLS{})
			if encrypted {
				c.TLS = serving(a.Issue("db", "127.0.0.1"))
				o = withServerTLS(t, config.DatabaseTLS{Mode: config.Give(config.SSLVerifyFull), CA: a.File})
			}
			w := newSideWorld(t, newScript(), yes, c, o)
			for id := range engine.Order(5) {
				w.cancel(id+1, engine.Delivered)
				w.open(1, 1)
			}
			if x := w.s.Sessions()[1]; x.TLS() != encrypted {
				t.Errorf("TLS %v", x.TLS())
			}
			w.on(func(time.Duration) { // it has rested for long: it is asked first
				w.own.sides[5].rest[0].since = time.Now().Add(-time.Hour)
			})
			w.cancel(6, engine.Delivered)
			w.open(1, 1)
			w.on(func(time.Duration) { w.out.CloseSide(5) })
			w.open(0, 1)
			w.s.Await(t, "it says goodbye", func() bool {
				seen := w.s.Sessions()[1].Seen()
				return seen[len(seen)-1].Type == 'X'
			})
			if n := len(w.s.Sessions()[1].Seen()); n != 8 {
				t.Errorf("it was sent %d messages, want 6 statements, 1 question and 1 goodbye", n)
			}
			w.on(func(time.Duration) {
				if len(w.own.sides) != 0 {
					t.Error("the side is still kept")
				}
			})
		})
	}
}

// Two orders at a time have two connections. An order that is dropped leaves its connection to the next, within the same turn.
func TestSideHasAsManyAsAreUsed(t *testing.T) {
	sc := newScript()
	sc.ready = func(*script, engine.Order) {}
	w := newSideWorld(t, sc, yes, fake.Config{}, withServerTLS(t, config.DatabaseTLS{}))
	w.on(func(time.Duration) { w.out.Carry(1, 1, 5); w.out.Carry(2, 1, 5) })
	next(t, w.readied, "CancelReady")
	next(t, w.readied, "CancelReady")
	w.open(2, 2)
	w.on(func(time.Duration) { w.out.Go(1, false); w.out.Carry(3, 1, 5) })
	next(t, w.readied, "CancelReady")
	w.open(2, 2)
	w.on(func(time.Duration) { w.out.CloseSide(5); w.out.Go(2, true); w.out.Go(3, false) })
	if d := next(t, w.done, "CancelDone"); d != (gotDone{2, engine.Delivered}) {
		t.Errorf("%+v", d)
	}
	w.open(0, 2) // those that were in use when it was closed are not kept
}

// What is not clean, or not there any more, is not used again.
func TestSideNotUsedAgain(t *testing.T) {
	last := func(w *sideWorld) *fake.Session { return w.s.Sessions()[1] }
	for name, tt := range map[string]struct {
		reply func(x *fake.Session)
		first engine.Result
		then  func(w *sideWorld) // while it rests; nil: it does not come to rest
	}{
		"closed by the server": {yes, engine.Delivered, func(w *sideWorld) { last(w).Conn.Close() }},
		"told something": {yes, engine.Delivered, func(w *sideWorld) {
			last(w).Send(fake.Msg('N', byte('S'), "NOTICE", byte('C'), "00000", byte('M'), "by the way", byte(0)))
		}},
		"in a transaction": {func(x *fake.Session) {
			x.Send(fake.Msg('C', "CALL"), fake.Msg('Z', byte('T')))
		}, engine.Delivered, nil},
		"more behind the answer": {func(x *fake.Session) {
			x.Send(fake.Msg('C', "CALL"), fake.Msg('Z', byte('I')), fake.Msg('Z', byte('I')))
		}, engine.Delivered, nil},
		"closed in the middle": {func(x *fake.Session) { x.Conn.Close() }, engine.Broken, nil},
		"closed for being idle, unread": {func(x *fake.Session) {
			x.Send(fake.Error("FATAL", "57P05", "terminating connection due to idle-session timeout"))
			x.Conn.Close()
		}, engine.NotSent, nil},
		"closed by an administrator, who knows when": {func(x *fake.Session) {
			x.Send(fake.Error("FATAL", "57P01", "terminating connection due to administrator command"))
			x.Conn.Close()
		}, engine.Broken, nil},
	} {
		t.Run(name, func(t *testing.T) {
			first := true
			w := newSideWorld(t, newScript(), func(x *fake.Session) {
				if first { // statements come one after the other
					first = false
					tt.reply(x)
					return
				}
				yes(x)
			}, fake.Config{}, withServerTLS(t, config.DatabaseTLS{}))
			w.cancel(1, tt.first)
			if tt.then != nil {
				w.open(1, 1)
				tt.then(w)
			}
			w.open(0, 1)
			w.cancel(2, engine.Delivered)
			w.open(1, 2)
		})
	}
}

// A connection that looks well and does not answer is found out before anybody is kept still for it.
func TestSideIsAsked(t *testing.T) {
	w := newSideWorld(t, newScript(), yes, fake.Config{}, withServerTLS(t, config.DatabaseTLS{}))
	w.cancel(1, engine.Delivered)
	w.on(func(time.Duration) {
		c := w.own.sides[5].rest[0]
		c.since = time.Now().Add(-time.Hour)
		c.r.Reset(strings.NewReader("")) // what it is asked is answered by its end
	})
	w.cancel(2, engine.Delivered)
	w.open(1, 2)
	if n := len(w.script.readied); n != 2 {
		t.Errorf("the word was asked for %d times", n)
	}
}

// A connection that dies as it is taken, before the loop has heard of it, is noticed by who takes it.
func TestSideTakenAsItDies(t *testing.T) {
	w := newSideWorld(t, newScript(), yes, fake.Config{}, withServerTLS(t, config.DatabaseTLS{}))
	w.cancel(1, engine.Delivered)
	w.on(func(time.Duration) {
		c := w.own.sides[5].rest[0]
		w.s.Sessions()[1].Conn.Close()
		until(t, "its end to be seen", func() bool { return len(c.quiet) == 1 })
		w.out.Carry(2, 1, 5)
	})
	if d := next(t, w.done, "CancelDone"); d != (gotDone{2, engine.Delivered}) {
		t.Errorf("%+v", d)
	}
	w.open(1, 2)
}

// A connection whose end comes with the end of its watch, which does not look once more when it is woken, is noticed too.
func TestSideTakenWithTheEndUnseen(t *testing.T) {
	a := fake.NewAuthority(t)
	for name, tt := range map[string]struct {
		encrypted bool
		then      func(x *fake.Session)
	}{
		"closed":      {false, func(x *fake.Session) { x.Conn.Close() }},
		"told":        {false, func(x *fake.Session) { x.Send(fake.Msg('Z', byte('I'))) }},
		"closed, TLS": {true, func(x *fake.Session) { x.Conn.Close() }},
		"told, TLS":   {true, func(x *fake.Session) { x.Send(fake.Msg('Z', byte('I'))) }},
	} {
		t.Run(name, func(t *testing.T) {
			c, o := fake.Config{}, withServerTLS(t, config.DatabaseTLS{})
			if tt.encrypted {
				c.TLS = serving(a.Issue("db", "127.0.0.1"))
				o = withServerTLS(t, config.DatabaseTLS{Mode: config.Give(config.SSLVerifyFull), CA: a.File})
			}
			w := newSideWorld(t, newScript(), yes, c, o)
			w.cancel(1, engine.Delivered)
			w.on(func(time.Duration) {
				c := w.own.sides[5].rest[0]
				c.wakeWatch()
				until(t, "the watch to end", func() bool { return len(c.quiet) == 1 })
				tt.then(w.s.Sessions()[1])
				until(t, "it to arrive", func() bool {
					_, _, err := unix.Recvfrom(number(c.raw), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
					return err == nil
				})
				w.out.Carry(2, 1, 5)
			})
			if d := next(t, w.done, "CancelDone"); d != (gotDone{2, engine.Delivered}) {
				t.Errorf("%+v", d)
			}
			w.open(1, 2)
		})
	}
}

// A connection of another login is closed for the one that is needed, not kept beside it.
func TestSideThatDoesNotFit(t *testing.T) {
	w := newSideWorld(t, newScript(), yes, fake.Config{}, withServerTLS(t, config.DatabaseTLS{}))
	w.cancel(1, engine.Delivered)
	c := *w.Proxy.config.Load()
	c.Databases = []config.Database{{Name: "db", Host: "127.0.0.1", Port: 1, Cancel: config.DatabaseCancel{Fallback: "sql", User: "canceller"}}}
	w.Proxy.config.Store(&c)
	w.cancel(2, engine.Delivered)
	w.open(1, 2)
	if got := w.s.Sessions()[2].Param("user"); got != "canceller" {
		t.Errorf("logged in as %q", got)
	}
}

// Stop ends connections that rest.
func TestSideEndsWithStop(t *testing.T) {
	w := newSideWorld(t, newScript(), yes, fake.Config{}, withServerTLS(t, config.DatabaseTLS{}))
	w.cancel(1, engine.Delivered)
	w.Stop()
	w.s.Await(t, "it says goodbye", func() bool {
		seen := w.s.Sessions()[1].Seen()
		return seen[len(seen)-1].Type == 'X'
	})
}

// The password of a connection over which statements cancel does not wait behind those who log in.
func TestSideIsNoLogin(t *testing.T) {
	w := newSideWorld(t, newScript(), yes, fake.Config{Auth: fake.SCRAM, User: "ann", Password: "secret"}, withServerTLS(t, config.DatabaseTLS{}), func(s *Settings) {
		s.Passwords.Environment = "secret"
		s.Config.Cancel.Timeout = fake.Patience
	})
	open := w.gate.shut(t)
	w.on(func(time.Duration) { w.out.Carry(1, 1, 5) })
	w.gate.stands(t, ofOrders)
	open()
	if d := next(t, w.done, "CancelDone"); d.result != engine.Delivered {
		t.Errorf("the cancel was %v", d.result)
	}
}
