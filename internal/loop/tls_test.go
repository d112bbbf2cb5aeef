package loop

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cancello/internal/engine"
)

// put writes all of b on the bare socket, a few bytes at a time if so asked, each delivered before the next.
func (w *tlsWorld) put(p *tlsPeer, b []byte, piece int) {
	w.t.Helper()
	for len(b) > 0 {
		n := min(piece, len(b))
		m, err := p.peer.Write(b[:n])
		if err != nil {
			w.t.Fatal(err)
		}
		if b = b[m:]; len(b) > 0 && n < 100 {
			w.do(func() {})
		}
	}
}

// hear reads until the peer has got want.
func (w *tlsWorld) hear(p *tlsPeer, want string) {
	w.t.Helper()
	var got []byte
	buf := make([]byte, 32<<10)
	w.until("the answer", func() bool {
		n, err := p.Read(buf)
		if got = append(got, buf[:n]...); err != nil {
			w.t.Errorf("the peer reads %q, then %v", got, err)
			return true
		}
		return len(got) >= len(want)
	})
	if string(got) != want {
		w.t.Errorf("the peer got %.100q, want %.100q", got, want)
	}
}

// echo sends back what comes.
func (w *tlsWorld) echo(h *hooks) {
	h.data = func(c engine.Conn, b engine.Buf) { w.l.Forward(c, b, 0, len(b.Bytes)) }
}

// Records come in whatever pieces, keys change in between, on either side's wish.
func TestTLSInPiecesWithNewKeys(t *testing.T) {
	for _, piece := range []int{1, 3, 1 << 20} {
		w := newTLSWorld(t, tls.VersionTLS13)
		h, dial := w.handSealed()
		w.echo(h)
		w.Start(h)
		p, s := dial()
		w.put(p, s.record(recordData, []byte("one")...), piece)
		w.hear(p, "one")
		w.put(p, s.update(false), piece)
		w.put(p, s.record(recordData, []byte("two")...), piece)
		w.hear(p, "two")
		// Both keys: the answer to "three" is under the loop's new one, which its KeyUpdate announces.
		w.put(p, bytes.Join([][]byte{s.update(true), s.record(recordData, []byte("three")...), s.update(true)}, nil), piece)
		w.hear(p, "three")
		w.put(p, s.record(recordData, []byte("four")...), piece)
		w.hear(p, "four")
		w.put(p, s.record(recordAlert, 1, 0), piece) // close_notify
		w.until("Closed", func() bool { return len(h.ends) == 1 })
		w.do(func() {
			for _, err := range h.ends {
				if !errors.Is(err, io.EOF) {
					t.Errorf("close_notify is told as %v, want io.EOF", err)
				}
			}
		})
	}
}

// What crypto/tls read ahead during the login, content and half a record, is not lost at the hand-over.
func TestTLSHandOverKeepsWhatWasReadAhead(t *testing.T) {
	w := newTLSWorld(t, tls.VersionTLS13)
	h := &hooks{}
	w.Start(h)
	near, far := tcpPair(t)
	w.peers = append(w.peers, far)
	s, p := shake(t, near, far, w.server, w.client)
	sealed := func(text string) []byte {
		t.Helper()
		if _, err := p.Conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		r := p.pipe.out
		p.pipe.out = nil
		return r
	}
	records := append(sealed("startup, query"), sealed(" and more")...)
	last := sealed(" to come")
	nc := fileConn(t, near)
	s.pipe.nc = nc
	w.put(p, append(records, last[:7]...), 1<<20)
	word := make([]byte, 7)
	if _, err := io.ReadFull(s, word); err != nil || string(word) != "startup" {
		t.Fatalf("%q, %v", word, err)
	}
	c := w.l.Reserve()
	w.do(func() { w.l.AdoptTLS(c, near, s, []byte("first")) })
	nc.Close()
	w.put(p, last[7:], 1<<20)
	const want = "first, query and more to come"
	w.until("all of it", func() bool { return len(h.bytes[c]) >= len(want) })
	if got := string(h.bytes[c]); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTLSEndings(t *testing.T) {
	tests := []struct {
		name  string
		end   func(w *tlsWorld, p *tlsPeer, s *sealer)
		want  func(err error) bool
		alert string // what the peer hears of it; empty: close_notify
	}{
		{"bare FIN", func(_ *tlsWorld, p *tlsPeer, _ *sealer) { p.peer.FIN() }, func(err error) bool { return err == io.EOF }, ""},
		{"close_notify and no FIN", func(w *tlsWorld, p *tlsPeer, s *sealer) { w.put(p, s.record(recordAlert, 1, 0), 99) }, func(err error) bool { return err == io.EOF }, ""},
		{"FIN in a record", func(w *tlsWorld, p *tlsPeer, s *sealer) {
			w.put(p, s.record(recordData, 'x')[:9], 99)
			p.peer.FIN()
		}, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }, "-"},
		{"a bad record", func(w *tlsWorld, p *tlsPeer, s *sealer) {
			r := s.record(recordData, 'x')
			r[len(r)-1] ^= 1
			w.put(p, r, 99)
		}, func(err error) bool { return strings.Contains(err.Error(), "bad record MAC") }, "bad record MAC"},
		{"clear text", func(w *tlsWorld, p *tlsPeer, _ *sealer) { w.put(p, []byte("Q\x00\x00\x00\x0dSELECT 1\x00"), 99) },
			func(err error) bool { return strings.Contains(err.Error(), "version") }, "protocol version"},
		{"a fatal alert", func(w *tlsWorld, p *tlsPeer, s *sealer) { w.put(p, s.record(recordAlert, 2, 80), 99) },
			func(err error) bool { return strings.Contains(err.Error(), "internal error") }, "-"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newTLSWorld(t, tls.VersionTLS13)
			h, dial := w.handSealed()
			w.Start(h)
			p, s := dial()
			w.put(p, s.record(recordData, []byte("before")...), 99)
			tt.end(w, p, s)
			w.until("Closed", func() bool { return len(h.ends) == 1 })
			w.do(func() {
				for c, err := range h.ends {
					if err == nil || !tt.want(err) {
						t.Errorf("Closed tells %v", err)
					}
					if string(h.bytes[c]) != "before" {
						t.Errorf("the data before it are %q", h.bytes[c])
					}
				}
			})
			if tt.alert == "-" {
				return
			}
			var err error
			w.until("the peer's end", func() bool { _, err = p.Read(make([]byte, 10)); return err != nil })
			if tt.alert == "" && (err != io.EOF || p.pipe.eof) || !strings.Contains(err.Error(), tt.alert) {
				t.Errorf("the peer reads %v (FIN %v)", err, p.pipe.eof)
			}
		})
	}
}

func TestTLSFlushSaysCloseNotify(t *testing.T) {
	w := newTLSWorld(t, tls.VersionTLS12)
	h := &hooks{}
	w.Start(h)
	c, p := w.connect()
	w.do(func() {
		w.l.Send(c, []byte("bye"))
		w.l.Close(c, engine.Flush)
	})
	var err error
	var got []byte
	w.until("the end", func() bool {
		buf := make([]byte, 10)
		var n int
		n, err = p.Read(buf)
		got = append(got, buf[:n]...)
		return err != nil
	})
	if string(got) != "bye" || err != io.EOF || p.pipe.eof {
		t.Errorf("the peer reads %q, %v (FIN %v), want close_notify", got, err, p.pipe.eof)
	}
	p.peer.FIN()
	if err := w.ended(h, c); err != nil {
		t.Errorf("Closed tells %v", err)
	}
}

// A peer may have its keys changed as often as it likes, but not without hearing the answers.
func TestTLSBoundsUnaskedAnswers(t *testing.T) {
	w := newTLSWorld(t, tls.VersionTLS13)
	h, dial := w.handSealed()
	w.Start(h)
	p, s := dial()
	over := func() bool {
		ended := false
		w.do(func() { ended = len(h.ends) == 1 })
		return ended
	}
	for i := 0; ; i++ {
		r := append(s.update(true), s.record(recordData, 'x')...)
		for len(r) > 0 {
			n, err := p.peer.Write(r)
			if r = r[n:]; err != nil {
				break
			}
		}
		if i%500 == 0 && over() {
			break
		}
		if i == 200_000 {
			t.Fatalf("%d answers are held for a peer that reads none", i)
		}
	}
	for _, err := range h.ends {
		if !errors.Is(err, errUnasked) && !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("Closed tells %v", err)
		}
	}
}

func TestIdleTLSConnectionsAreSmall(t *testing.T) {
	const conns = 200
	w := newTLSWorld(t, tls.VersionTLS13)
	h := &quiet{}
	h.data = func(c engine.Conn, b engine.Buf) { w.l.Forward(c, b, 0, len(b.Bytes)) }
	w.Start(h)
	hello := []byte(strings.Repeat("x", 200))
	busy := func() {
		_, p := w.connect()
		if _, err := p.Write(hello); err != nil {
			t.Fatal(err)
		}
		w.hear(p, string(hello))
		// The test's own share is given up: what is measured is the loop's.
		p.Conn, p.pipe = nil, &pipe{}
	}
	busy() // the loop's buffers
	before := heap()
	for range conns {
		busy()
	}
	each := (heap() - before) / conns
	t.Logf("%d bytes of heap for each idle connection", each)
	if each >= 12<<10 {
		t.Errorf("an idle connection with TLS takes %d bytes of heap, want less than 12 KB", each)
	}
}

// A gigabyte through TLS on both sides towards a slow reader: the loop holds what the engine lets it hold, and a batch of
// records.
func TestGigabyteOverTLS(t *testing.T) {
	const total = 1 << 30
	w := newTLSWorld(t, tls.VersionTLS13)
	h := &quiet{}
	var from, to engine.Conn
	const high, low = 64 << 10, 16 << 10
	queued := 0 // the loop's
	h.data = func(c engine.Conn, b engine.Buf) {
		if c != from {
			return
		}
		w.l.Forward(to, b, 0, len(b.Bytes))
		queued += len(b.Bytes)
	}
	h.sent = func(c engine.Conn, n int) {
		if queued -= n; queued > high {
			w.l.Pause(from)
		} else if queued <= low {
			w.l.Resume(from)
		}
	}
	w.Start(h)
	a, in := w.connect()
	b, out := w.connect()
	w.do(func() { from, to = a, b })
	w.tlsPeers = nil // from here on they are blocking connections
	for _, p := range []*tlsPeer{in, out} {
		p.pipe.nc = fileConn(t, p.fd)
		defer p.pipe.nc.Close()
		if err := p.pipe.nc.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	before := heap()
	failed := make(chan error, 1)
	go func() {
		p := make([]byte, 256<<10)
		for i := range p {
			p[i] = byte(i * 7)
		}
		for range total / len(p) {
			if _, err := in.Conn.Write(p); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	buf := make([]byte, 48<<10)
	var peak int64
	for got, turns := 0, 0; got < total; turns++ {
		n, err := out.Conn.Read(buf)
		if err != nil {
			t.Fatalf("after %d bytes: %v", got, err)
		}
		for i := 0; i < n; i += 4093 {
			if at := (got + i) % (256 << 10); buf[i] != byte(at*7) {
				t.Fatalf("byte %d is %#x, want %#x", got+i, buf[i], byte(at*7))
			}
		}
		got += n
		if turns%8000 == 0 { // the reader stops for a while: everything behind it fills up
			peak = max(peak, heap()-before)
		}
	}
	if err := await(t, "the writer's end", failed); err != nil {
		t.Fatal(err)
	}
	t.Logf("heap grew by at most %d KB", peak>>10)
	if peak > 4<<20 {
		t.Errorf("heap grew by %d bytes", peak)
	}
}
