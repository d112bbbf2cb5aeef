package loop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cancello/internal/engine"
)

// fin stands for the end of what a peer sends.
const fin = -1

// inOneTurn has the loop find so many bytes of each at once, in that order, and tells in which order it read, wrote and closed.
func inOneTurn(t *testing.T, bytes []int, data func(w *world, conns []engine.Conn, i int, b engine.Buf)) (told string, peers []*peer) {
	w := newWorld(t)
	var conns []engine.Conn // the loop's
	var log strings.Builder // the loop's
	index := func(c engine.Conn) int {
		for i := range conns {
			if conns[i] == c {
				return i
			}
		}
		return -1
	}
	w.Start(&hooks{
		data: func(c engine.Conn, b engine.Buf) {
			fmt.Fprintf(&log, "read %d; ", index(c))
			data(w, conns, index(c), b)
		},
		sent:   func(c engine.Conn, n int) { fmt.Fprintf(&log, "wrote %d; ", index(c)) },
		closed: func(c engine.Conn, _ error) { fmt.Fprintf(&log, "closed %d; ", index(c)) },
	})
	for range bytes {
		c, p := w.adopt(tcpPair)
		conns, peers = append(conns, c), append(peers, p)
	}
	w.do(func() {
		log.Reset()
		for i, n := range bytes {
			switch n {
			case 0:
				continue
			case fin:
				peers[i].FIN()
				continue
			}
			if _, err := peers[i].Write([]byte(strings.Repeat(fmt.Sprint(i%10), n))); err != nil {
				t.Error(err)
			}
		}
	})
	w.until("as much as was written", func() bool { // small writes on loopback have arrived when they are done
		seen := strings.Count(log.String(), "read") + strings.Count(log.String(), "closed")
		for _, n := range bytes {
			if n != 0 {
				seen--
			}
		}
		return seen >= 0
	})
	w.do(func() { told = strings.TrimSuffix(log.String(), "; ") })
	return told, peers
}

// What small reads lead to is written when all are done: who is woken by a write competes with the loop for the processor.
func TestSmallReadsComeBeforeWrites(t *testing.T) {
	told, peers := inOneTurn(t, []int{100, joinable, 0, 0}, func(w *world, conns []engine.Conn, i int, b engine.Buf) {
		w.l.Forward(conns[i+2], b, 0, len(b.Bytes))
	})
	if want := "read 0; read 1; wrote 2; wrote 3"; told != want {
		t.Errorf("%s; want %s", told, want)
	}
	for i, n := range []int{100, joinable} { // the second was read into the same memory
		b := make([]byte, 2*n)
		m, err := peers[i+2].Read(b)
		if want := strings.Repeat(fmt.Sprint(i), n); string(b[:m]) != want || err != nil {
			t.Errorf("connection %d got %.20q... (%d bytes), %v; want %.20q... (%d)", i+2, b[:m], m, err, want, n)
		}
	}
}

// A large read is written at once, with all that waits: it is lent.
func TestLargeReadsAreWrittenAtOnce(t *testing.T) {
	told, _ := inOneTurn(t, []int{100, joinable + 1, 100, 0, 0, 0}, func(w *world, conns []engine.Conn, i int, b engine.Buf) {
		w.l.Forward(conns[i+3], b, 0, len(b.Bytes))
	})
	if want := "read 0; read 1; wrote 3; wrote 4; read 2; wrote 5"; told != want {
		t.Errorf("%s; want %s", told, want)
	}
}

// Who has something to hear hears it before more is read of it.
func TestWrittenBeforeItIsRead(t *testing.T) {
	told, _ := inOneTurn(t, []int{1, 1}, func(w *world, conns []engine.Conn, i int, b engine.Buf) {
		w.l.Forward(conns[1-i], b, 0, 1)
	})
	if want := "read 0; wrote 1; read 1; wrote 0"; told != want {
		t.Errorf("%s; want %s", told, want)
	}
}

// What is closed at once is told at once, behind what was sent before.
func TestClosedBehindWhatWaits(t *testing.T) {
	told, _ := inOneTurn(t, []int{1, 1, 1, 0}, func(w *world, conns []engine.Conn, i int, b engine.Buf) {
		w.l.Forward(conns[3], b, 0, 1)
		if i == 1 {
			w.l.Close(conns[1], engine.Now)
		}
	})
	if want := "read 0; read 1; wrote 3; closed 1; read 2; wrote 3"; told != want {
		t.Errorf("%s; want %s", told, want)
	}
}

// Whoever has sent all that it will still gets what waits for it, whether we close or it is found to have ended.
func TestEndBehindWhatWaits(t *testing.T) {
	told, peers := inOneTurn(t, []int{1, fin}, func(w *world, conns []engine.Conn, _ int, b engine.Buf) { w.l.Forward(conns[1], b, 0, 1) })
	if want := "read 0; wrote 1; closed 1"; told != want {
		t.Errorf("%s; want %s", told, want)
	}
	var b [2]byte
	if n, err := peers[1].Read(b[:]); n != 1 {
		t.Errorf("it got %d bytes, %v", n, err)
	}
	told, peers = inOneTurn(t, []int{1, fin}, func(w *world, conns []engine.Conn, _ int, b engine.Buf) {
		w.l.Forward(conns[1], b, 0, 1)
		w.l.Close(conns[1], engine.Flush)
	})
	if want := "read 0; closed 1"; told != want { // nothing else is said of who is being closed
		t.Errorf("%s; want %s", told, want)
	}
	if n, err := peers[1].Read(b[:]); n != 1 {
		t.Errorf("it got %d bytes, %v", n, err)
	}
}

// No more than together are read in a row, whether anything follows from that or not: latency has a bound.
func TestNotTooMuchWaits(t *testing.T) {
	notTooMuch(t, func(w *world, conns []engine.Conn, i int, b engine.Buf) { w.l.Forward(conns[i], b, 0, 1) })
	notTooMuch(t, func(w *world, conns []engine.Conn, i int, b engine.Buf) {
		if i%together == 0 {
			w.l.Forward(conns[i], b, 0, 1)
		}
	})
}

func notTooMuch(t *testing.T, data func(w *world, conns []engine.Conn, i int, b engine.Buf)) {
	t.Helper()
	bytes := make([]int, 2*together)
	for i := range bytes {
		bytes[i] = 1
	}
	told, _ := inOneTurn(t, bytes, data)
	most, n := 0, 0
	for word := range strings.SplitSeq(told, "; ") {
		if n++; strings.HasPrefix(word, "wrote") {
			n = 0
		}
		most = max(most, n)
	}
	if most != together {
		t.Errorf("%d were read in a row, want %d", most, together)
	}
}

// What a call has ended that sends nothing is told in the same turn, not with the next thing that is written.
func TestToldWithoutAWrite(t *testing.T) {
	w := newWorld(t)
	h := &silent{}
	h.closed = func(engine.Conn, error) { h.ending = true }
	w.Start(h)
	_, p := w.adopt(tcpPair)
	p.FIN()
	w.until("the end", func() bool { return len(h.ends) > 0 })
	w.do(func() {
		if h.ending {
			t.Error("what ended with a connection was not told")
		}
	})
}

// silent ends something and says nothing.
type silent struct {
	hooks
	ending bool
}

func (s *silent) Ending(c engine.Conn) bool           { return c == 0 && s.ending }
func (s *silent) Told(_ time.Duration, c engine.Conn) { s.ending = s.ending && c != 0 }
