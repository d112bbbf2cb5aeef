package contract

import (
	"cancello/internal/engine"
)

var names = []sentence{
	{"names are never the same twice", namesDiffer},
	{"a stale name does nothing", staleNames},
	{"a stale name doesn't touch who has its index now", staleAfterReuse},
	{"a name is stale inside its Closed", staleInsideClosed},
	{"names that never were do nothing", strangeNames},
}

// everything calls all there is on c.
func (s *stage) everything(c engine.Conn, b engine.Buf) {
	s.out.Forward(c, b, 0, len(b.Bytes))
	s.out.Send(c, []byte("for a stranger"))
	s.out.Pause(c)
	s.out.Resume(c)
	s.out.Pause(c)
	s.out.Close(c, engine.Flush)
	s.out.Close(c, engine.Now)
}

func namesDiffer(s *stage) {
	seen := map[engine.Conn]bool{}
	reused := false
	indexes := map[uint32]bool{}
	for range 20 {
		var batch []engine.Conn
		for range 5 {
			c, _ := s.connect()
			if seen[c] || c == 0 || c>>32 == 0 {
				s.t.Fatalf("name %#x came twice, or has no generation", uint64(c))
			}
			seen[c] = true
			reused = reused || indexes[c.Index()]
			indexes[c.Index()] = true
			batch = append(batch, c)
		}
		s.do(func() {
			for _, c := range batch {
				s.out.Close(c, engine.Now)
			}
		})
		for _, c := range batch {
			s.closed(c)
		}
	}
	if !reused {
		s.t.Errorf("100 connections, 5 at a time, and no index was used twice")
	}
}

func staleNames(s *stage) {
	old, _ := s.connect()
	s.do(func() { s.out.Close(old, engine.Now) })
	s.closed(old)
	a, from := s.connect()
	s.onData = func(_ engine.Conn, b engine.Buf) { s.everything(old, b) }
	from.write([]byte("x"))
	s.until("data", func() bool { return len(s.look(a).data) == 1 })
	s.closed(old)
	s.open(a)
}

func staleAfterReuse(s *stage) {
	old, _ := s.connect()
	s.do(func() { s.out.Close(old, engine.Now) })
	s.closed(old)
	next := old
	var peer *far
	for range 100 {
		next, peer = s.connect()
		if next.Index() == old.Index() {
			break
		}
	}
	if next.Index() != old.Index() {
		s.t.Fatalf("index %d was not used again", old.Index())
	}
	s.do(func() { s.everything(old, engine.Buf{}) })
	peer.write([]byte("hello"))
	s.until("data in spite of a stale Pause", func() bool { return len(s.look(next).data) == 5 })
	s.do(func() { s.out.Send(next, []byte("mine")) })
	peer.expect("sent", []byte("mine"))
	s.open(next)
}

func staleInsideClosed(s *stage) {
	c, _ := s.connect()
	s.onClosed = func(c engine.Conn) { s.everything(c, engine.Buf{}) }
	s.do(func() { s.out.Close(c, engine.Now) })
	s.closed(c)
}

func strangeNames(s *stage) {
	c, peer := s.connect()
	s.do(func() {
		for _, strange := range []engine.Conn{0, engine.Conn(c.Index()), c + 1<<32, engine.MakeConn(c.Index()+1000, 1),
			engine.MakeConn(1<<32-1, 1<<32-1)} {
			s.everything(strange, engine.Buf{})
		}
	})
	peer.write([]byte("hello"))
	s.until("data", func() bool { return len(s.look(c).data) == 5 })
	s.open(c)
	d, peer := s.connect()
	peer.write([]byte("hello"))
	s.until("data", func() bool { return len(s.look(d).data) == 5 })
}
