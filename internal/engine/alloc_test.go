package engine

import (
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/key"
	"cancello/internal/pgtest/shorthand"
	"cancello/internal/wire"
)

// nobody is an Outside that does nothing, and lets in whoever asks.
type nobody struct{}

func (nobody) Forward(Conn, Buf, int, int) {}
func (nobody) Send(Conn, []byte)           {}
func (nobody) Pause(Conn)                  {}
func (nobody) Resume(Conn)                 {}
func (nobody) Close(Conn, How)             {}
func (nobody) Dial(Server, Target)         {}
func (nobody) Carry(Order, Server, Side)   {}
func (nobody) CloseSide(Side)              {}
func (nobody) Go(Order, bool)              {}
func (nobody) Admit(Login, Verdict)        {}
func (nobody) Release(Ticket)              {}
func (nobody) Emit(event.Event)            {}
func (nobody) Wake(time.Duration)          {}

// roundTrip is one exchange of c1 with s1, leases and all.
type roundTrip struct {
	e                *Engine
	now              time.Duration
	client, server   Conn
	question, answer []byte
}

func newRoundTrip(t testing.TB, mode config.Mode, question, answer string) *roundTrip {
	cfg := config.Default()
	cfg.Databases = []config.Database{{Name: "db", Host: "pg", Port: 5432}}
	cfg.Pool.Mode = mode
	r := &roundTrip{
		e:   New(cfg, nobody{}, key.NewMinter(0, [4]byte{1}, []byte("secret of this test, 32 bytes...."))),
		now: time.Second, client: MakeConn(1, 1), server: MakeConn(2, 1),
	}
	var err error
	if r.question, err = shorthand.Read(shorthand.Client, question); err != nil {
		t.Fatal(err)
	}
	if r.answer, err = shorthand.Read(shorthand.Server, answer); err != nil {
		t.Fatal(err)
	}
	r.e.LoginAsked(r.now, 1, Request{Conn: r.client, User: "u", Database: "db", Version: wire.V30})
	r.e.Dialed(r.now, 1, r.server, ServerInfo{HasKey: true, PID: 7, Params: []wire.Param{{Name: "TimeZone", Value: "UTC"}}})
	return r
}

func (r *roundTrip) run() {
	r.now += time.Millisecond
	r.e.Data(r.now, r.client, Buf{Bytes: r.question})
	r.e.Sent(r.now, r.server, len(r.question))
	r.e.Data(r.now, r.server, Buf{Bytes: r.answer})
	r.e.Sent(r.now, r.client, len(r.answer))
}

// prepare gives the client a statement by name.
func (r *roundTrip) prepare(t testing.TB) {
	t.Helper()
	parse, err := shorthand.Read(shorthand.Client, `P "s" "select $1" | S`)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := shorthand.Read(shorthand.Server, `1 | Z I`)
	if err != nil {
		t.Fatal(err)
	}
	other := *r
	other.question, other.answer = parse, answer
	other.run()
	r.now = other.now
}

var roundTrips = map[string]struct{ question, answer string }{
	"simple":   {`Q "select 1"`, `T | D 20 | C "SELECT 1" | Z I`},
	"extended": {`P "" "select $1" | B "" "" | D P "" | E | S`, `1 | 2 | T | D 20 | C "SELECT 1" | Z I`},
	"reused":   {`B "" "" | E | S`, `2 | D 20 | C "SELECT 1" | Z I`},               // in session mode, where nothing has to be sent again
	"named":    {`B "" "s" | D P "" | E | S`, `2 | T | D 20 | C "SELECT 1" | Z I`}, // prepared before; with another text for the server
	"large":    {`Q *30000`, `T | D 30000 | D 30000 | C "SELECT 2" | Z I`},
}

// TestAllocs: a round trip in steady state allocates nothing: not in the session, not for the lease, not for the queue.
func TestAllocs(t *testing.T) {
	for name, c := range roundTrips {
		for _, mode := range []config.Mode{config.Session, config.Transaction} {
			if name == "reused" && mode == config.Transaction {
				continue
			}
			t.Run(name+" "+mode.String(), func(t *testing.T) {
				r := newRoundTrip(t, mode, c.question, c.answer)
				if name == "named" {
					r.prepare(t)
				}
				for range 10 {
					r.run()
				}
				begun := r.e.slots[0].sess.Begun()
				if n := testing.AllocsPerRun(100, r.run); n != 0 {
					t.Errorf("%v allocations", n)
				}
				if s := &r.e.slots[0].sess; s.Begun() < begun+100 || s.Ended() != s.Begun() || !s.Free() {
					t.Errorf("the round trips did not happen: %d units, %d ended", s.Begun(), s.Ended())
				}
			})
		}
	}
}

// Nor does one that has to wait for a server: memory for what waits goes from one client to the next.
func TestLineAllocs(t *testing.T) {
	r := newRoundTrip(t, config.Transaction, roundTrips["simple"].question, roundTrips["simple"].answer)
	r.e.cfg.Pool.DefaultSize = 1
	r.e.Reconfigure(r.now, r.e.cfg)
	second := MakeConn(3, 1)
	r.e.LoginAsked(r.now, 2, Request{Conn: second, User: "u", Database: "db", Version: wire.V30})
	both := func() {
		r.now += time.Millisecond
		r.e.Data(r.now, r.client, Buf{Bytes: r.question})
		r.e.Data(r.now, second, Buf{Bytes: r.question})
		if !r.e.slots[1].place.Waits() {
			t.Fatal("the second client does not wait")
		}
		for _, c := range []Conn{r.client, second} {
			r.e.Sent(r.now, r.server, len(r.question))
			r.e.Data(r.now, r.server, Buf{Bytes: r.answer})
			r.e.Sent(r.now, c, len(r.answer))
		}
	}
	for range 10 {
		both()
	}
	if n := testing.AllocsPerRun(100, both); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if s := &r.e.slots[1].sess; s.Begun() < 100 || s.Ended() != s.Begun() {
		t.Errorf("the second client did not get its turns: %d units, %d ended", s.Begun(), s.Ended())
	}
}

func TestSpare(t *testing.T) {
	var s spare
	s.put(nil)
	s.put(make([]byte, 0, maxSpare+1))
	if s.take() != nil {
		t.Error("memory that is none, or too much, was kept")
	}
	for range maxSpares + 5 {
		s.put(make([]byte, 3, 100))
	}
	n := 0
	for p := s.take(); p != nil; p = s.take() {
		if n++; len(p) != 0 {
			t.Fatal("not empty")
		}
	}
	if n != maxSpares {
		t.Errorf("%d pieces were kept, want %d", n, maxSpares)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, name := range []string{"simple", "extended"} {
		b.Run(name, func(b *testing.B) {
			r := newRoundTrip(b, config.Transaction, roundTrips[name].question, roundTrips[name].answer)
			b.ReportAllocs()
			for b.Loop() {
				r.run()
			}
		})
	}
}
