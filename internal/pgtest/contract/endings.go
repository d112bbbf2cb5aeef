package contract

import (
	"errors"
	"io"
	"time"

	"cancello/internal/engine"
)

var endings = []sentence{
	{"FIN is told behind the data", finBehindData},
	{"a reset is told", resetIsTold},
	{"a paused connection learns of a reset at once", pausedReset},
	{"a paused connection learns of a reset behind unread data", pausedResetBehindData},
	{"a paused connection learns of a FIN with nothing before it", pausedFIN},
	{"a FIN before Pause is told too", finBeforePause},
	{"a FIN behind unread data waits for Resume", pausedFINBehindData},
	{"Close Flush delivers everything, then FIN", closeFlush},
	{"Close Flush waits at most a second for the peer's FIN", closeFlushSilentPeer},
	{"Close Flush drains at most 64 KB", closeFlushFlood},
	{"what the peer still sends doesn't hurt a flush", closeFlushUnread},
	{"Close Now closes at once", closeNow},
	{"Close Now hurries a flush", closeNowAfterFlush},
	{"nothing is said between Close and Closed", silenceAfterClose},
	{"what is sent after Close is dropped", sendAfterClose},
	{"Close may be repeated", closeRepeated},
	{"Close crosses with FIN", func(s *stage) { closeCrosses(s, Peer.FIN) }},
	{"Close crosses with a reset", func(s *stage) { closeCrosses(s, Peer.RST) }},
	{"Close works inside every event", closeInEvents},
	{"a paused connection can be closed", closePaused},
	{"a reset ends a flush", resetDuringFlush},
	{"a dead peer that is written to ends once", writeToDead},
}

func finBehindData(s *stage) {
	c, peer := s.connect()
	want := pattern(1, 3*MaxData+5)
	peer.write(want)
	peer.p.FIN()
	h := s.closed(c)
	s.is("data before FIN", h.data, want)
	if !errors.Is(h.err, io.EOF) {
		s.t.Errorf("Closed tells %v, want io.EOF", h.err)
	}
}

// wantReset says that err tells neither an orderly end nor our own.
func (s *stage) wantReset(err error) {
	s.t.Helper()
	if err == nil || errors.Is(err, io.EOF) {
		s.t.Errorf("Closed tells %v, want a reset", err)
	}
}

func resetIsTold(s *stage) {
	c, peer := s.connect()
	s.open(c)
	peer.p.RST()
	s.wantReset(s.closed(c).err)
}

func pausedReset(s *stage) {
	c, peer := s.connect()
	s.do(func() { s.out.Pause(c) })
	s.open(c)
	peer.p.RST()
	s.wantReset(s.closed(c).err)
}

func pausedResetBehindData(s *stage) {
	c, peer := s.connect()
	s.do(func() { s.out.Pause(c) })
	peer.write(pattern(2, 100))
	s.open(c)
	peer.p.RST()
	s.wantReset(s.closed(c).err)
}

func pausedFIN(s *stage) {
	c, peer := s.connect()
	want := pattern(3, 100)
	peer.write(want)
	s.until("data", func() bool { return len(s.look(c).data) == len(want) })
	s.do(func() { s.out.Pause(c) })
	s.open(c)
	peer.p.FIN()
	if h := s.closed(c); !errors.Is(h.err, io.EOF) {
		s.t.Errorf("Closed tells %v, want io.EOF", h.err)
	}
}

func finBeforePause(s *stage) {
	c, peer := s.connect()
	s.onData = func(c engine.Conn, _ engine.Buf) { s.out.Pause(c) }
	peer.write([]byte("last words"))
	peer.p.FIN()
	h := s.closed(c)
	s.is("data before FIN", h.data, []byte("last words"))
}

func pausedFINBehindData(s *stage) {
	c, peer := s.connect()
	s.onData = func(c engine.Conn, _ engine.Buf) { s.out.Pause(c) }
	s.do(func() { s.out.Pause(c) })
	want := pattern(4, MaxData+MaxData/2)
	peer.write(want[:MaxData])
	s.quiet()
	peer.write(want[MaxData:])
	peer.p.FIN()
	s.quiet()
	for i := 0; s.look(c).closes == 0; i++ {
		before := len(s.look(c).data)
		if before < len(want) {
			s.open(c)
		}
		s.do(func() { s.out.Resume(c) })
		s.until("data or Closed", func() bool { h := s.look(c); return len(h.data) > before || h.closes > 0 })
		s.quiet()
	}
	s.is("data before FIN", s.look(c).data, want)
	s.closed(c)
}

func closeFlush(s *stage) {
	c, peer := s.connect()
	want := append(s.choke(c), "last words"...)
	s.do(func() {
		s.out.Send(c, []byte("last words"))
		s.out.Close(c, engine.Flush)
	})
	s.open(c)
	peer.expect("flushed", want)
	peer.expectEOF()
	peer.p.FIN()
	if h := s.closed(c); h.err != nil {
		s.t.Errorf("Closed tells %v, want nil", h.err)
	}
}

func closeFlushSilentPeer(s *stage) {
	c, peer := s.connect()
	var asked time.Duration
	s.w.Do(func(now time.Duration) {
		s.mu.Lock()
		defer s.mu.Unlock()
		asked = now
		s.out.Send(c, []byte("bye"))
		s.out.Close(c, engine.Flush)
	})
	peer.expect("flushed", []byte("bye"))
	peer.expectEOF()
	h := s.closed(c)
	if took := h.closedAt - asked; took < 500*time.Millisecond || took > 10*time.Second {
		s.t.Errorf("closed after %v, want about a second", took)
	}
}

func closeFlushFlood(s *stage) {
	c, peer := s.connect()
	s.do(func() { s.out.Close(c, engine.Flush) })
	flood := pattern(5, 4096)
	written := 0
	s.until("Closed", func() bool {
		n, err := peer.p.Write(flood)
		written += n
		return err != nil || s.look(c).closes > 0 || written > 64<<20
	})
	s.closed(c)
	if written > 32<<20 {
		s.t.Errorf("%d bytes were taken from a peer after Close", written)
	}
}

func closeFlushUnread(s *stage) {
	c, peer := s.connect()
	s.do(func() { s.out.Pause(c) })
	peer.write(pattern(6, 30_000)) // unread input would turn FIN into a reset
	s.quiet()
	want := pattern(7, 20_000)
	s.do(func() {
		s.out.Send(c, want)
		s.out.Close(c, engine.Flush)
	})
	s.quiet()
	peer.expect("flushed", want)
	peer.expectEOF()
	peer.p.FIN()
	s.closed(c)
}

func closeNow(s *stage) {
	c, peer := s.connect()
	s.choke(c)
	var asked time.Duration
	s.w.Do(func(now time.Duration) {
		s.mu.Lock()
		defer s.mu.Unlock()
		asked = now
		s.out.Close(c, engine.Now)
	})
	h := s.closed(c)
	if h.err != nil {
		s.t.Errorf("Closed tells %v, want nil", h.err)
	}
	if took := h.closedAt - asked; took > 500*time.Millisecond {
		s.t.Errorf("closed after %v, want at once", took)
	}
	peer.expectEnd()
	if len(peer.got) >= h.queued {
		s.t.Errorf("what was queued arrived in spite of Now")
	}
}

func closeNowAfterFlush(s *stage) {
	c, _ := s.connect()
	s.choke(c)
	s.do(func() { s.out.Close(c, engine.Flush) })
	s.open(c)
	s.do(func() { s.out.Close(c, engine.Now) })
	s.closed(c)
}

func silenceAfterClose(s *stage) {
	c, peer := s.connect()
	s.choke(c)
	s.do(func() { s.out.Close(c, engine.Flush) })
	peer.write(pattern(8, 100))
	s.quiet()
	peer.write(pattern(9, 100))
	s.until("the end", func() bool { peer.read(); return peer.end != nil })
	peer.p.FIN()
	if h := s.closed(c); h.pieces != 0 {
		s.t.Errorf("Data after Close")
	}
}

func sendAfterClose(s *stage) {
	c, peer := s.connect()
	a, from := s.connect()
	s.do(func() {
		s.out.Send(c, []byte("before"))
		s.out.Close(c, engine.Flush)
		s.out.Send(c, []byte("after"))
	})
	s.onData = func(_ engine.Conn, b engine.Buf) { s.out.Forward(c, b, 0, len(b.Bytes)) }
	from.write([]byte("much later"))
	s.until("data", func() bool { return len(s.look(a).data) > 0 })
	peer.expect("sent", []byte("before"))
	peer.expectEOF()
	s.is("all that came", peer.got, []byte("before"))
	peer.p.FIN()
	s.closed(c)
}

func closeRepeated(s *stage) {
	c, peer := s.connect()
	s.do(func() {
		s.out.Send(c, []byte("x"))
		s.out.Close(c, engine.Flush)
		s.out.Close(c, engine.Flush)
	})
	s.do(func() { s.out.Close(c, engine.Flush) })
	peer.expect("sent", []byte("x"))
	peer.p.FIN()
	s.closed(c)
	s.do(func() {
		s.out.Close(c, engine.Flush)
		s.out.Close(c, engine.Now)
	})
	s.closed(c)

	d, _ := s.connect()
	s.do(func() {
		s.out.Close(d, engine.Now)
		s.out.Close(d, engine.Now)
		s.out.Close(d, engine.Flush)
	})
	s.closed(d)
}

func closeCrosses(s *stage, end func(Peer)) {
	for _, how := range []engine.How{engine.Flush, engine.Now} {
		for _, paused := range []bool{false, true} {
			c, peer := s.connect()
			peer.write([]byte("x"))
			s.quiet()
			end(peer.p)
			s.do(func() {
				if paused {
					s.out.Pause(c)
				}
				s.out.Send(c, []byte("y"))
				s.out.Close(c, how)
			})
			s.closed(c)
		}
	}
}

func closeInEvents(s *stage) {
	for _, how := range []engine.How{engine.Flush, engine.Now} {
		a, pa := s.connect()
		b, pb := s.connect()
		d, pd := s.connect()
		s.do(func() {
			s.onData = func(c engine.Conn, _ engine.Buf) {
				if c == a {
					s.out.Close(a, how)
				}
			}
			s.onClosed = func(c engine.Conn) {
				if c == a {
					s.out.Send(b, []byte("x"))
				}
			}
			s.onSent = func(c engine.Conn, _ int) {
				if c == b {
					s.out.Close(b, how)
					s.out.Close(d, how)
				}
			}
		})
		pa.write([]byte("x"))
		for _, p := range []*far{pa, pb, pd} {
			p.expectEnd()
			p.p.FIN()
		}
		s.closed(a)
		s.closed(b)
		s.closed(d)
	}
}

func closePaused(s *stage) {
	for _, how := range []engine.How{engine.Flush, engine.Now} {
		c, peer := s.connect()
		s.do(func() { s.out.Pause(c) })
		s.quiet()
		s.do(func() { s.out.Close(c, how) })
		peer.expectEOF()
		peer.p.FIN()
		s.closed(c)
	}
}

func resetDuringFlush(s *stage) {
	c, peer := s.connect()
	s.choke(c)
	s.do(func() { s.out.Close(c, engine.Flush) })
	s.open(c)
	peer.p.RST()
	s.closed(c)
}

func writeToDead(s *stage) {
	c, peer := s.connect()
	peer.p.RST()
	s.do(func() {
		s.out.Send(c, []byte("is anybody there"))
		s.out.Pause(c)
	})
	s.do(func() { s.out.Send(c, []byte("anybody")) })
	h := s.closed(c)
	s.wantReset(h.err)
}
