package contract

import (
	"cancello/internal/engine"
)

var pauses = []sentence{
	{"after Pause at most one more buffer comes", pauseHolds},
	{"Resume brings what was held back", resumeBrings},
	{"Pause inside Data holds", pauseInsideData},
	{"Pause and Resume may be repeated", pauseRepeated},
	{"Pause stops the reader, not the writer", pausedIsWritten},
	{"a slow reader holds back a fast writer", backPressure},
}

func pauseHolds(s *stage) {
	c, peer := s.connect()
	peer.write(pattern(1, 10))
	s.until("the first bytes", func() bool { return len(s.look(c).data) == 10 })
	s.do(func() { s.out.Pause(c) })
	want := pattern(2, 200_000)
	rest := want
	for range 100 {
		n, err := peer.p.Write(rest)
		if err != nil {
			s.t.Fatal(err)
		}
		rest = rest[n:]
		s.quiet()
	}
	if got := len(s.look(c).data) - 10; got > MaxData {
		s.t.Errorf("%d bytes came after Pause", got)
	}
	s.do(func() { s.out.Resume(c) })
	peer.write(rest)
	s.until("the rest", func() bool { return len(s.look(c).data) >= 200_010 })
	s.is("data", s.look(c).data[10:], want)
}

func resumeBrings(s *stage) {
	c, peer := s.connect()
	s.do(func() { s.out.Pause(c) })
	want := pattern(3, 5000)
	peer.write(want)
	s.quiet()
	s.do(func() { s.out.Resume(c) })
	s.until("the data", func() bool { return len(s.look(c).data) == len(want) })
	s.is("data", s.look(c).data, want)
}

func pauseInsideData(s *stage) {
	c, peer := s.connect()
	s.onData = func(c engine.Conn, _ engine.Buf) { s.out.Pause(c) }
	want := pattern(4, 4*MaxData)
	rest := want
	for at := 0; at < len(want); {
		n, err := peer.p.Write(rest)
		if err != nil {
			s.t.Fatal(err)
		}
		rest = rest[n:]
		s.quiet()
		got := len(s.look(c).data)
		if got-at > 2*MaxData {
			s.t.Fatalf("%d bytes came, though each Data paused", got-at)
		}
		at = got
		s.do(func() { s.out.Resume(c) })
		s.quiet()
	}
	s.is("data", s.look(c).data, want)
}

func pauseRepeated(s *stage) {
	c, peer := s.connect()
	s.do(func() {
		s.out.Resume(c)
		s.out.Pause(c)
		s.out.Pause(c)
		s.out.Resume(c)
	})
	peer.write([]byte("one"))
	s.until("data", func() bool { return len(s.look(c).data) == 3 })
	for range 100 {
		s.do(func() { s.out.Pause(c); s.out.Resume(c) })
		s.do(func() { s.out.Pause(c) })
		s.do(func() { s.out.Resume(c); s.out.Pause(c); s.out.Resume(c) })
	}
	peer.write([]byte("two"))
	s.until("data", func() bool { return len(s.look(c).data) == 6 })
}

func pausedIsWritten(s *stage) {
	c, peer := s.connect()
	s.do(func() { s.out.Pause(c) })
	want := s.choke(c)
	peer.expect("sent while paused", want)
}

func backPressure(s *stage) {
	a, from := s.connect()
	b, to := s.connect()
	const high, low = 4 * MaxData, MaxData
	behind := func() int { h := s.of(b); return h.queued - h.sent }
	most := 0
	s.onData = func(_ engine.Conn, buf engine.Buf) {
		s.out.Forward(b, buf, 0, len(buf.Bytes))
	}
	s.onSent = func(engine.Conn, int) {
		most = max(most, behind())
		if behind() > high {
			s.out.Pause(a)
		} else if behind() < low {
			s.out.Resume(a)
		}
	}
	want := pattern(5, 4<<20)
	for rest := want; len(rest) > 0; {
		n, err := from.p.Write(rest)
		if err != nil {
			s.t.Fatal(err)
		}
		rest = rest[n:]
		if n == 0 && !s.w.Step() { // both sides are full: the slow reader takes a little
			var buf [10_000]byte
			n, err := to.p.Read(buf[:])
			if err != nil {
				s.t.Fatal(err)
			}
			to.got = append(to.got, buf[:n]...)
			if n == 0 {
				to.read()
			}
		}
		if len(rest) < len(want)/2 {
			to.read()
		}
	}
	to.expect("all", want)
	if most > high+2*MaxData {
		s.t.Errorf("%d bytes waited, though the source was paused at %d", most, high)
	}
}
