package contract

import (
	"fmt"
	"math/rand/v2"

	"cancello/internal/engine"
)

var mixtures = []sentence{
	{"streams survive any mixture", func(s *stage) { mixture(s, 1) }},
	{"streams survive any other mixture", func(s *stage) { mixture(s, 2) }},
	{"every connection of a storm ends once", storm},
}

// mixture lets pairs of connections forward to each other under random pauses, slow readers and sends of our own,
// then checks every stream.
func mixture(s *stage, seed uint64) {
	const pairs = 6
	type side struct {
		c    engine.Conn
		peer *far
		to   *side
		want []byte // what this side's peer must read
		in   []byte // what its peer has still to write
	}
	r := rand.New(rand.NewPCG(seed, 7))
	sides := make([]*side, 2*pairs)
	by := map[engine.Conn]*side{}
	for i := range sides {
		c, peer := s.connect()
		sides[i] = &side{c: c, peer: peer, in: pattern(seed<<8|uint64(i), 1<<19)}
		by[c] = sides[i]
	}
	for i, d := range sides {
		d.to = sides[i^1]
	}
	s.onData = func(c engine.Conn, b engine.Buf) {
		to := by[c].to
		half := len(b.Bytes) / 2
		s.out.Forward(to.c, b, 0, half)
		if len(b.Bytes)%3 == 0 {
			s.out.Send(to.c, []byte("ours"))
			to.want = append(append(append(to.want, b.Bytes[:half]...), "ours"...), b.Bytes[half:]...)
		} else {
			to.want = append(to.want, b.Bytes...)
		}
		s.out.Forward(to.c, b, half, len(b.Bytes)-half)
	}
	for left := true; left; {
		left = false
		for _, d := range sides {
			n, err := d.peer.p.Write(d.in[:min(len(d.in), 1+r.IntN(20_000))])
			if err != nil {
				s.t.Fatal(err)
			}
			d.in = d.in[n:]
			left = left || len(d.in) > 0
			switch r.IntN(8) {
			case 0:
				s.do(func() { s.out.Pause(d.c) })
			case 1, 2, 3:
				s.do(func() { s.out.Resume(d.c) })
			case 4, 5:
				d.peer.read()
			default:
				s.w.Step()
			}
		}
	}
	for _, d := range sides {
		s.do(func() { s.out.Resume(d.c) })
	}
	for i, d := range sides {
		s.until("all data", func() bool { return len(s.look(d.c).data) == 1<<19 })
		s.until("all sent", func() bool {
			d.to.peer.read()
			h := s.look(d.to.c)
			return h.sent == h.queued
		})
		d.to.peer.expect(fmt.Sprintf("stream of side %d", i), d.to.want)
	}
}

// storm ends many connections in every way at once.
func storm(s *stage) {
	r := rand.New(rand.NewPCG(3, 7))
	inside := rand.New(rand.NewPCG(4, 7)) // the events' own
	var all []engine.Conn
	s.onData = func(c engine.Conn, b engine.Buf) {
		s.out.Forward(all[inside.IntN(len(all))], b, 0, len(b.Bytes))
		switch inside.IntN(4) {
		case 0:
			s.out.Pause(c)
		case 1:
			s.out.Close(c, engine.Now)
		}
	}
	s.onClosed = func(c engine.Conn) {
		s.out.Send(all[inside.IntN(len(all))], pattern(uint64(c), 100))
		s.out.Close(all[inside.IntN(len(all))], engine.How(inside.IntN(2)))
	}
	for range 200 {
		c := s.w.Reserve()
		s.do(func() { all = append(all, c) })
		peer := s.adopt(c, pattern(uint64(c), r.IntN(50)))
		_, _ = peer.p.Write(pattern(r.Uint64(), r.IntN(5000))) // it may be closed already
		switch r.IntN(4) {
		case 0:
			peer.p.FIN()
		case 1:
			peer.p.RST()
		case 2:
			s.do(func() { s.out.Pause(c) })
		}
	}
	s.quiet()
	s.do(func() {
		for _, c := range all {
			s.out.Close(c, engine.Now)
		}
	})
	for _, c := range all {
		s.until("Closed", func() bool { return s.look(c).closes > 0 })
	}
	s.quiet()
	for _, c := range all {
		if n := s.look(c).closes; n != 1 {
			s.t.Errorf("Closed came %d times", n)
		}
	}
}
