package loop

import (
	"bytes"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cancello/internal/engine"
)

// What is a stream, turn by turn.
func TestStream(t *testing.T) {
	const piece = 8 << 10
	a, b := engine.MakeConn(1, 1), engine.MakeConn(2, 1)
	naps := 0
	s := stream{nap: func(time.Duration) { naps++ }}
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
		{"the first pieces", 0, func() int { return turns(streamRun-1, a, piece, true) }},
		{"those behind them", 5, func() int { return turns(5, a, piece, true) }},
		{"as much as comes of a nap", 0, func() int { return turns(3, a, recvSize, true) }},
		{"small again", 1, func() int { return turns(1, a, piece, true) }},
		{"nothing came meanwhile", 0, func() int { s.missed(); return turns(streamRun-1, a, piece, true) }},
		{"what counts is the last nap", 2, func() int { return turns(2, a, piece, true) }},
		{"a turn without reads", 0, func() int { s.rest(); s.missed(); return 0 }},
		{"which ends nothing", 1, func() int { return turns(1, a, piece, true) }},
		{"a part of a record", 0, func() int { return turns(3, a, 0, true) }},
		{"which ends nothing, too", 1, func() int { return turns(1, a, piece, true) }},
		{"something else to do", 0, func() int { s.interrupt(); return turns(streamRun-1, a, piece, true) }},
		{"and on", 1, func() int { return turns(1, a, piece, true) }},
		{"an answer", 0, func() int { return turns(1, a, smallRead-1, true) }},
		{"which ends it", 0, func() int { return turns(streamRun-1, a, piece, true) }},
		{"with others in the turn", 0, func() int { return turns(1, a, piece, false) }},
		{"who end it", 0, func() int { return turns(streamRun-1, a, piece, true) }},
		{"another one's", 0, func() int { return turns(streamRun-1, b, piece, true) }},
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
		size    int
		other   bool // speaks after each piece
		borrows bool // its processor may be needed by others
		knocks  bool // a descriptor that is watched becomes ready after each piece
		posts   bool // something is posted after each piece
		naps    bool
	}{
		"a stream":             {size: 8 << 10, naps: true},
		"answers":              {size: 1 << 10},
		"somebody else too":    {size: 8 << 10, other: true},
		"somebody comes":       {size: 8 << 10, knocks: true},
		"a word from outside":  {size: 8 << 10, posts: true},
		"no processor to keep": {size: 8 << 10, borrows: true},
	} {
		naps := 0 // the loop's
		w := newWorld(t, func(l *Loop) {
			l.stream.nap = func(time.Duration) { naps++ }
			l.keeps = !c.borrows
		})
		h := &hooks{}
		got := map[engine.Conn]int{}
		h.data = func(c engine.Conn, b engine.Buf) {
			got[c] += len(b.Bytes)
			w.l.Send(c, []byte("y"))
		}
		w.Start(h)
		id, p := w.adopt(tcpPair)
		otherID, other := w.adopt(tcpPair)
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
		near, far := socketPair(t)
		w.do(func() {
			if err := w.l.Watch(near, func(time.Duration) bool {
				_, err := unix.Read(near, make([]byte, 1))
				w.l.Send(otherID, []byte("y"))
				return err != nil
			}); err != nil {
				t.Error(err)
			}
		})
		const pieces = 3 * streamRun
		for range pieces {
			say(p, c.size)
			switch {
			case c.other:
				say(other, 1)
			case c.posts:
				w.do(func() {})
			case c.knocks:
				_, err := unix.Write(far, []byte("x"))
				if err == nil {
					_, err = other.blockingRead(make([]byte, 1))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		w.do(func() {
			w.l.Forget(near)
			if got[id] != pieces*c.size || naps > 0 != c.naps {
				t.Errorf("%s: %d bytes, want %d; %d naps", name, got[id], pieces*c.size, naps)
			}
		})
		unix.Close(near)
		unix.Close(far)
	}
}
