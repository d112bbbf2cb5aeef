package loop

import (
	"bytes"
	"testing"

	"cancello/internal/engine"
)

// What is a stream, turn by turn.
func TestStream(t *testing.T) {
	const piece = 8 << 10
	a, b := engine.MakeConn(1, 1), engine.MakeConn(2, 1)
	naps := 0
	s := stream{nap: func(int64) { naps++ }}
	turns := func(n int, c engine.Conn, bytes int, alone bool) (napped int) {
		before := naps
		for range n {
			s.follow(c, bytes, alone)
			s.rest()
		}
		return naps - before
	}
	for _, step := range []struct {
		what string
		want int
		got  func() int
	}{
		{"the first pieces", 0, func() int { return turns(streamRun, a, piece, true) }},
		{"those behind them", 5, func() int { return turns(5, a, piece, true) }},
		{"as much as comes of a nap", 0, func() int { return turns(3, a, recvSize, true) }},
		{"small again", 1, func() int { return turns(1, a, piece, true) }},
		{"nothing came meanwhile", 0, func() int { s.missed(); return turns(streamRun, a, piece, true) }},
		{"what counts is the last nap", 2, func() int { return turns(2, a, piece, true) }},
		{"a turn without reads", 0, func() int { s.rest(); s.missed(); return 0 }},
		{"which ends nothing", 1, func() int { return turns(1, a, piece, true) }},
		{"an answer", 0, func() int { return turns(1, a, smallRead-1, true) }},
		{"which ends it", 0, func() int { return turns(streamRun, a, piece, true) }},
		{"with others in the turn", 0, func() int { return turns(1, a, piece, false) }},
		{"who end it", 0, func() int { return turns(streamRun, a, piece, true) }},
		{"another one's", 0, func() int { return turns(streamRun, b, piece, true) }},
		{"which is one then", 1, func() int { return turns(1, b, piece, true) }},
	} {
		if got := step.got(); got != step.want {
			t.Errorf("%s: %d naps, want %d", step.what, got, step.want)
		}
	}
}

// The loop rests while more of a stream comes, and not where others wait for it.
func TestLoopNapsInAStream(t *testing.T) {
	for name, c := range map[string]struct {
		size  int
		other bool // speaks after each piece
		naps  bool
	}{
		"a stream":          {size: 8 << 10, naps: true},
		"answers":           {size: 1 << 10},
		"somebody else too": {size: 8 << 10, other: true},
	} {
		naps := 0 // the loop's
		w := newWorld(t, func(l *Loop) { l.stream.nap = func(int64) { naps++ } })
		h := &hooks{}
		got := map[engine.Conn]int{}
		h.data = func(c engine.Conn, b engine.Buf) {
			got[c] += len(b.Bytes)
			w.l.Send(c, []byte("y"))
		}
		w.Start(h)
		id, p := w.adopt(tcpPair)
		_, other := w.adopt(tcpPair)
		say := func(p *peer, size int) { // nothing is posted: the loop would have that to do
			t.Helper()
			_, err := p.blockingWrite(bytes.Repeat([]byte("x"), size))
			if err == nil {
				_, err = p.blockingRead(make([]byte, 1))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		p.block(t)
		other.block(t)
		const pieces = 3 * streamRun
		for range pieces {
			if say(p, c.size); c.other {
				say(other, 1)
			}
		}
		w.do(func() {
			if got[id] != pieces*c.size || naps > 0 != c.naps {
				t.Errorf("%s: %d bytes, want %d; %d naps", name, got[id], pieces*c.size, naps)
			}
		})
	}
}
