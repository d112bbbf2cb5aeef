package contract

import (
	"math/rand/v2"
	"time"

	"cancello/internal/engine"
)

var streams = []sentence{
	{"data arrives whole and in order", dataInOrder},
	{"three-byte segments are forwarded", threeBytes},
	{"a Data that says More is followed by another", moreIsFollowed},
	{"Forward and Send keep their order", mixKeepsOrder},
	{"Send copies", sendCopies},
	{"what is forwarded stays good until it is sent", forwardOutlivesBuffer},
	{"one buffer goes to many", fanOut},
	{"what is forwarded outlives its source", sourceClosesAtOnce},
	{"Sent adds up to what was queued", sentAddsUp},
	{"Sent follows also when nothing was taken", sentZero},
	{"what Sent, Closed and Tick ask for is done", askedInEvents},
	{"nothing is sent for nothing", emptySend},
	{"only what is asked for is forwarded", forwardParts},
	{"sends to several connections may alternate", alternate},
	{"many pieces survive a full connection", manyPieces},
}

// relay forwards everything from one connection to another.
func (s *stage) relay(from, to engine.Conn) {
	s.onData = func(c engine.Conn, b engine.Buf) {
		if c == from {
			s.out.Forward(to, b, 0, len(b.Bytes))
		}
	}
}

func dataInOrder(s *stage) {
	c, peer := s.connect()
	want := pattern(1, 300_000)
	for i := 0; i < len(want); i += 30_000 {
		peer.write(want[i : i+30_000])
	}
	s.until("all data", func() bool { return len(s.look(c).data) >= len(want) })
	s.quiet()
	s.is("data", s.look(c).data, want)
}

func threeBytes(s *stage) {
	a, from := s.connect()
	b, to := s.connect()
	s.relay(a, b)
	want := pattern(2, 300)
	for i := 0; i < len(want); i += 3 {
		from.write(want[i : i+3])
		s.until("three bytes more", func() bool { return len(s.look(a).data) >= i+3 })
	}
	to.expect("forwarded", want)
}

func moreIsFollowed(s *stage) {
	c, peer := s.connect()
	want := pattern(3, 8*MaxData)
	peer.write(want)
	s.until("all data", func() bool { return len(s.look(c).data) >= len(want) })
	s.until("the last More", func() bool { return !s.look(c).more })
	s.is("data", s.look(c).data, want)
}

func mixKeepsOrder(s *stage) {
	a, from := s.connect()
	b, to := s.connect()
	r := rand.New(rand.NewPCG(4, 4))
	var want []byte
	s.onData = func(_ engine.Conn, buf engine.Buf) {
		for at := 0; at < len(buf.Bytes); {
			n := min(1+r.IntN(900), len(buf.Bytes)-at)
			switch r.IntN(3) {
			case 0: // our own bytes instead
				p := pattern(r.Uint64(), 1+r.IntN(300))
				s.out.Send(b, p)
				want = append(want, p...)
			case 1: // a copy
				s.out.Send(b, buf.Bytes[at:at+n])
				want = append(want, buf.Bytes[at:at+n]...)
			default:
				s.out.Forward(b, buf, at, n)
				want = append(want, buf.Bytes[at:at+n]...)
			}
			at += n
		}
	}
	in := pattern(5, 1<<20)
	for i := 0; i < len(in); i += 1 << 16 {
		from.write(in[i : i+1<<16])
		to.read()
	}
	s.until("all data", func() bool { to.read(); return len(s.look(a).data) == len(in) })
	to.expect("mixed", want)
}

func sendCopies(s *stage) {
	c, peer := s.connect()
	p := pattern(6, 5000)
	want := append([]byte(nil), p...)
	s.do(func() {
		s.out.Send(c, p[:2500])
		clear(p[:2500])
		s.out.Send(c, p[2500:])
		clear(p)
	})
	peer.expect("sent", want)

	want = append(want, s.choke(c)...)
	last := pattern(7, 70_000)
	want = append(want, last...)
	s.do(func() {
		s.out.Send(c, last)
		clear(last)
	})
	peer.expect("sent behind a full connection", want)
}

func forwardOutlivesBuffer(s *stage) {
	a, fromA := s.connect()
	b, fromB := s.connect()
	to, peer := s.connect()
	want := s.choke(to)
	s.onData = func(_ engine.Conn, buf engine.Buf) { s.out.Forward(to, buf, 0, len(buf.Bytes)) }
	pa, pb := pattern(8, 2000), pattern(9, 2000)
	for i := range 20 {
		fromA.write(pa[i*100 : i*100+100])
		s.until("a's data", func() bool { return len(s.look(a).data) == (i+1)*100 })
		fromB.write(pb[i*100 : i*100+100])
		s.until("b's data", func() bool { return len(s.look(b).data) == (i+1)*100 })
		want = append(want, pa[i*100:i*100+100]...)
		want = append(want, pb[i*100:i*100+100]...)
	}
	peer.expect("forwarded to a slow reader", want)
}

func fanOut(s *stage) {
	from, source := s.connect()
	var conns []engine.Conn
	var peers []*far
	for range 5 {
		c, p := s.connect()
		conns, peers = append(conns, c), append(peers, p)
	}
	s.onData = func(c engine.Conn, b engine.Buf) {
		if c == from {
			for i, to := range conns { // each its own view of it
				s.out.Forward(to, b, i, len(b.Bytes)-i)
			}
			s.out.Forward(from, b, 0, len(b.Bytes))
		}
	}
	want := pattern(10, 1000)
	source.write(want)
	for i, p := range peers {
		p.expect("one of many", want[i:])
	}
	source.expect("its own sender", want)
}

func sourceClosesAtOnce(s *stage) {
	a, from := s.connect()
	b, to := s.connect()
	s.onData = func(c engine.Conn, buf engine.Buf) {
		s.out.Forward(b, buf, 0, len(buf.Bytes))
		s.out.Close(a, engine.Now)
		s.out.Close(b, engine.Flush)
	}
	want := pattern(11, 3000)
	from.write(want)
	to.expect("forwarded in the last moment", want)
	to.expectEOF()
	to.p.FIN()
	s.closed(a)
	s.closed(b)
}

func sentAddsUp(s *stage) {
	c, peer := s.connect()
	want := s.choke(c)
	h := s.look(c)
	if h.sent == h.queued {
		s.t.Fatalf("the connection is not full")
	}
	s.until("all sent", func() bool { peer.read(); return s.look(c).sent == len(want) })
	peer.expect("sent", want)
	for i := range 50 {
		p := pattern(uint64(i), 1+i*97)
		s.do(func() { s.out.Send(c, p) })
		want = append(want, p...)
	}
	peer.expect("sent", want)
	if h := s.look(c); h.sent != len(want) {
		s.t.Errorf("%d bytes sent, %d arrived", h.sent, len(want))
	}
}

func sentZero(s *stage) {
	c, peer := s.connect()
	want := s.choke(c)
	before := s.look(c).reports
	s.do(func() { s.out.Send(c, []byte("x")) })
	s.quiet()
	if s.look(c).reports == before {
		s.t.Errorf("no Sent after a Send on a full connection")
	}
	peer.expect("sent", append(want, 'x'))
}

func askedInEvents(s *stage) {
	a, pa := s.connect()
	b, pb := s.connect()
	s.onSent = func(c engine.Conn, n int) {
		if c == a && n > 0 && s.of(b).queued == 0 {
			s.out.Send(b, []byte("from Sent "))
		}
	}
	s.onClosed = func(c engine.Conn) {
		if c == a {
			s.out.Send(b, []byte("from Closed "))
			s.out.Wake(0)
		}
	}
	s.onTick = func(time.Duration) { s.out.Send(b, []byte("from Tick")) }
	s.do(func() { s.out.Send(a, []byte("x")) })
	pa.expect("the first", []byte("x"))
	pb.expect("from Sent", []byte("from Sent "))
	s.do(func() { s.out.Close(a, engine.Now) })
	s.closed(a)
	pb.expect("from all", []byte("from Sent from Closed from Tick"))
}

func emptySend(s *stage) {
	a, from := s.connect()
	b, to := s.connect()
	s.onData = func(_ engine.Conn, buf engine.Buf) {
		s.out.Forward(b, buf, 0, 0)
		s.out.Send(b, nil)
		s.out.Forward(b, buf, len(buf.Bytes), 0)
	}
	from.write([]byte("x"))
	s.until("data", func() bool { return len(s.look(a).data) == 1 })
	s.open(b)
	to.read()
	if len(to.got) != 0 || s.look(b).sent != 0 {
		s.t.Errorf("%d bytes arrived of nothing", len(to.got))
	}
}

func forwardParts(s *stage) {
	a, from := s.connect()
	b, to := s.connect()
	var want []byte
	s.onData = func(_ engine.Conn, buf engine.Buf) {
		for at := 0; at+3 <= len(buf.Bytes); at += 7 { // every other piece joins the one before
			s.out.Forward(b, buf, at, 2)
			s.out.Forward(b, buf, at+2, 1)
			want = append(want, buf.Bytes[at:at+3]...)
		}
		for at := len(buf.Bytes); at > 0; at-- { // and backwards
			s.out.Forward(b, buf, at-1, 1)
			want = append(want, buf.Bytes[at-1])
		}
	}
	from.write(pattern(12, 40))
	s.until("data", func() bool { return len(s.look(a).data) == 40 })
	to.expect("parts", want)
}

func alternate(s *stage) {
	a, pa := s.connect()
	b, pb := s.connect()
	var wantA, wantB []byte
	s.do(func() {
		for i := range 20 {
			one, two := pattern(uint64(i), 10+i), pattern(uint64(i+100), 20+i)
			s.out.Send(a, one)
			s.out.Send(b, two)
			wantA, wantB = append(wantA, one...), append(wantB, two...)
		}
	})
	pa.expect("the one's", wantA)
	pb.expect("the other's", wantB)
}

func manyPieces(s *stage) {
	a, from := s.connect()
	b, to := s.connect()
	own := pattern(13, 7000)
	var want []byte
	s.onData = func(_ engine.Conn, buf engine.Buf) {
		for at := 0; at < len(buf.Bytes); at += 4000 {
			n := min(4000, len(buf.Bytes)-at)
			s.out.Forward(b, buf, at, n)
			s.out.Send(b, own)
			want = append(append(want, buf.Bytes[at:at+n]...), own...)
		}
	}
	for i := 0; ; i++ {
		from.write(pattern(uint64(i), 20_000))
		s.until("data", func() bool { return len(s.look(a).data) == (i+1)*20_000 })
		s.quiet()
		if h := s.look(b); h.sent < h.queued {
			break
		}
		if i == 1000 {
			s.t.Fatalf("20 MB went out to a peer that doesn't read")
		}
	}
	to.expect("all pieces", want)
}
