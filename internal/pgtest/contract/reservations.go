package contract

import (
	"errors"

	"cancello/internal/engine"
)

var reservations = []sentence{
	{"the first bytes come before the socket's", firstBytes},
	{"the first bytes come in pieces", firstLarge},
	{"the first bytes wait for Resume", firstPaused},
	{"a FIN stands behind the first bytes", firstThenFIN},
	{"what was sent before Adopt goes out", sendBeforeAdopt},
	{"Close Flush before Adopt is carried out", closeFlushBeforeAdopt},
	{"Close Now before Adopt is carried out", closeNowBeforeAdopt},
	{"an abandoned name gets its Closed", abandoned},
	{"an abandoned name that was closed gets one Closed", abandonedAfterClose},
}

func firstBytes(s *stage) {
	c := s.w.Reserve()
	peer := s.adopt(c, []byte("first "))
	peer.write([]byte("second"))
	s.until("data", func() bool { return len(s.look(c).data) >= 12 })
	s.is("data", s.look(c).data, []byte("first second"))
}

func firstLarge(s *stage) {
	c := s.w.Reserve()
	want := pattern(1, 3*MaxData)
	s.adopt(c, append([]byte(nil), want...))
	s.until("data", func() bool { return len(s.look(c).data) >= len(want) })
	s.quiet()
	s.is("data", s.look(c).data, want)
}

func firstPaused(s *stage) {
	c := s.w.Reserve()
	s.do(func() { s.out.Pause(c) })
	s.adopt(c, []byte("first"))
	s.quiet()
	s.do(func() { s.out.Resume(c) })
	s.until("data", func() bool { return len(s.look(c).data) >= 5 })
	s.is("data", s.look(c).data, []byte("first"))
}

func firstThenFIN(s *stage) {
	c := s.w.Reserve()
	s.do(func() { s.out.Pause(c) })
	peer := s.adopt(c, []byte("first"))
	peer.p.FIN()
	s.open(c)
	s.do(func() { s.out.Resume(c) })
	h := s.closed(c)
	s.is("data", h.data, []byte("first"))
}

func sendBeforeAdopt(s *stage) {
	a, from := s.connect()
	c := s.w.Reserve()
	s.onData = func(_ engine.Conn, b engine.Buf) { s.out.Forward(c, b, 0, len(b.Bytes)) }
	from.write([]byte("forwarded "))
	s.until("data", func() bool { return len(s.look(a).data) == 10 })
	s.do(func() { s.out.Send(c, []byte("sent")) })
	s.quiet()
	peer := s.adopt(c, nil)
	peer.expect("queued", []byte("forwarded sent"))
	s.until("Sent", func() bool { return s.look(c).sent == 14 })
}

func closeFlushBeforeAdopt(s *stage) {
	c := s.w.Reserve()
	s.do(func() {
		s.out.Send(c, []byte("bye"))
		s.out.Close(c, engine.Flush)
		s.out.Send(c, []byte("too late"))
	})
	s.open(c)
	peer := s.adopt(c, []byte("never delivered"))
	peer.expect("queued", []byte("bye"))
	peer.expectEOF()
	peer.p.FIN()
	s.closed(c)
}

func closeNowBeforeAdopt(s *stage) {
	c := s.w.Reserve()
	s.do(func() {
		s.out.Send(c, []byte("never sent"))
		s.out.Close(c, engine.Flush)
		s.out.Close(c, engine.Now)
	})
	s.open(c)
	peer := s.adopt(c, []byte("never delivered"))
	peer.expectEnd()
	if len(peer.got) != 0 {
		s.t.Errorf("%d bytes arrived in spite of Now", len(peer.got))
	}
	s.closed(c)
}

var errGone = errors.New("the client has gone")

func abandoned(s *stage) {
	c := s.w.Reserve()
	s.do(func() { s.out.Send(c, []byte("never sent")) })
	s.open(c)
	s.w.Abandon(c, errGone)
	if h := s.closed(c); !errors.Is(h.err, errGone) {
		s.t.Errorf("Closed tells %v, want what Abandon was told", h.err)
	}
}

func abandonedAfterClose(s *stage) {
	c := s.w.Reserve()
	s.do(func() { s.out.Close(c, engine.Now) })
	s.open(c)
	s.w.Abandon(c, errGone)
	s.closed(c)
	s.w.Abandon(c, errGone)
	s.closed(c)
}
