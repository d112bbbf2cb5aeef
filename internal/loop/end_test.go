package loop

import (
	"errors"
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cancello/internal/engine"
)

// A server that gives up says why, closes with our last message unread, and so sends a reset right behind its words.
func TestLastWordsAreReadWhenTheWriteFails(t *testing.T) {
	for _, pair := range []func(testing.TB) (int, *peer){tcpPair, unixPair} {
		w := newWorld(t)
		h := &hooks{}
		w.Start(h)
		c, p := w.adopt(pair)
		w.do(func() { w.l.Send(c, []byte("never read")) })
		w.do(func() {
			// All of it between two looks of the loop: the write is what learns of the reset.
			if _, err := p.Write([]byte("FATAL")); err != nil {
				t.Error(err)
			}
			p.close()
			w.l.Send(c, []byte("one more"))
		})
		err := w.ended(h, c)
		if err == nil {
			t.Error("Closed tells no error")
		}
		if got := string(h.bytes[c]); got != "FATAL" {
			t.Errorf("got %q before Closed, want the last words", got)
		}
	}
}

func TestDataIsReadBeforeAReset(t *testing.T) {
	w := newWorld(t)
	h := &hooks{}
	w.Start(h)
	c, p := w.adopt(tcpPair)
	w.do(func() {
		if _, err := p.Write([]byte("last words")); err != nil {
			t.Error(err)
		}
		p.RST()
	})
	if err := w.ended(h, c); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("Closed tells %v, want ECONNRESET", err)
	}
	if got := string(h.bytes[c]); got != "last words" {
		t.Errorf("got %q before Closed", got)
	}
}

// A Unix socket tells of a peer's close as a hangup, in front of what is still unread.
func TestUnixPeerClosesBehindData(t *testing.T) {
	for _, paused := range []bool{false, true} {
		w := newWorld(t)
		h := &hooks{}
		w.Start(h)
		c, p := w.adopt(unixPair)
		w.do(func() {
			if paused {
				w.l.Pause(c)
			}
			if _, err := p.Write([]byte("Terminate")); err != nil {
				t.Error(err)
			}
			p.close()
		})
		if paused {
			for w.Step() {
			}
			w.do(func() {
				if _, over := h.ends[c]; over && len(h.bytes[c]) == 0 { // Data may follow a Pause
					t.Error("Closed came before the data")
				}
				w.l.Resume(c)
			})
		}
		if err := w.ended(h, c); !errors.Is(err, io.EOF) {
			t.Errorf("Closed tells %v, want io.EOF", err)
		}
		if got := string(h.bytes[c]); got != "Terminate" {
			t.Errorf("got %q before Closed", got)
		}
	}
}

func TestUnixPausedPeerCloses(t *testing.T) {
	w := newWorld(t)
	h := &hooks{}
	w.Start(h)
	c, p := w.adopt(unixPair)
	w.do(func() { w.l.Pause(c) })
	p.close()
	if err := w.ended(h, c); !errors.Is(err, io.EOF) {
		t.Errorf("Closed tells %v, want io.EOF", err)
	}
}

// A read stops at an urgent mark, and what stands behind it makes no second edge.
func TestUrgentMarkDoesNotHideData(t *testing.T) {
	w := newWorld(t)
	h := &hooks{}
	w.Start(h)
	c, p := w.adopt(tcpPair)
	w.do(func() {
		for _, part := range []struct {
			text  string
			flags int
		}{{"before", 0}, {"!", unix.MSG_OOB}, {"behind", 0}} {
			if err := unix.Sendto(p.fd, []byte(part.text), part.flags, nil); err != nil {
				t.Error(err)
			}
		}
	})
	w.until("what stands behind the mark", func() bool { return string(h.bytes[c]) == "beforebehind" })
}

func TestFlushGivesUpOnAPeerThatReadsNothing(t *testing.T) {
	w := newWorld(t, func(l *Loop) { l.stalls.after = 50 * time.Millisecond })
	h := &hooks{}
	w.Start(h)
	c, _ := w.adopt(tcpPair)
	w.do(func() {
		w.l.Send(c, make([]byte, 8<<20))
		w.l.Close(c, engine.Flush)
	})
	if err := w.ended(h, c); !errors.Is(err, errStalled) {
		t.Errorf("Closed tells %v, want %v", err, errStalled)
	}
}

func TestFlushWaitsForAPeerThatReadsSlowly(t *testing.T) {
	const size = 2 << 20
	const limit = 2 * time.Second // far more than this process may have to wait for a core
	w := newWorld(t, func(l *Loop) { l.stalls.after = limit })
	h := &hooks{}
	w.Start(h)
	c, p := w.adopt(tcpPair)
	begun := time.Now()
	w.do(func() {
		w.l.Send(c, make([]byte, size))
		w.l.Close(c, engine.Flush)
	})
	// Some bytes every few milliseconds, for longer than the limit.
	buf := make([]byte, 16<<10)
	got := 0
	for got < size {
		if err := waitReadable(p.fd, time.Second); err != nil {
			t.Fatal(err)
		}
		n, err := p.Read(buf)
		if err != nil {
			t.Fatalf("the stream broke after %d bytes: %v", got, err)
		}
		got += n
		for pace := time.Now(); time.Since(pace) < 20*time.Millisecond; {
			w.Step() // takes some milliseconds when nothing moves
		}
	}
	if took := time.Since(begun); took < limit {
		t.Fatalf("it was over after %v: nothing was tried", took)
	}
	p.FIN()
	if err := w.ended(h, c); err != nil {
		t.Errorf("Closed tells %v, want nil", err)
	}
}

// waitReadable blocks until fd has something to read.
func waitReadable(fd int, timeout time.Duration) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, int(timeout.Milliseconds()))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return errors.New("nothing to read")
		default:
			return nil
		}
	}
}

func TestFlushSendsFINAtOnce(t *testing.T) {
	w := newWorld(t, func(l *Loop) { l.drains.after = time.Hour })
	h := &hooks{}
	w.Start(h)
	c, p := w.adopt(tcpPair)
	w.do(func() { w.l.Close(c, engine.Flush) })
	if err := waitReadable(p.fd, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the peer reads %v, want FIN", err)
	}
	p.FIN()
	if err := w.ended(h, c); err != nil {
		t.Errorf("Closed tells %v, want nil", err)
	}
}

func TestDrainAfterFlushHasItsTime(t *testing.T) {
	w := newWorld(t, func(l *Loop) { l.drains.after = 40 * time.Millisecond })
	h := &hooks{}
	w.Start(h)
	var conns []engine.Conn
	for range 20 {
		c, _ := w.adopt(tcpPair)
		conns = append(conns, c)
		w.do(func() { w.l.Close(c, engine.Flush) })
	}
	for _, c := range conns {
		if err := w.ended(h, c); err != nil {
			t.Errorf("Closed tells %v, want nil", err)
		}
	}
	w.do(func() {
		if !w.l.drains.empty() || w.l.drains.line != nil {
			t.Error("deadlines are left")
		}
	})
}

// A duplicate held elsewhere keeps a socket registered unless the loop removes it.
func TestCloseWithADuplicateElsewhere(t *testing.T) {
	w := newWorld(t)
	h := &hooks{}
	w.Start(h)
	near, p := tcpPair(t)
	w.peers = append(w.peers, p)
	dup, err := unix.FcntlInt(uintptr(near), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := w.l.Reserve()
	w.do(func() { w.l.Adopt(c, near, nil); w.l.Close(c, engine.Now) })
	w.ended(h, c)
	w.do(func() {
		if _, err := p.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		n, err := w.l.epoll.poll(0)
		for i := range n {
			if name, _ := w.l.epoll.event(i); name == c {
				t.Error("the kernel still reports a closed connection")
			}
		}
		if err != nil {
			t.Error(err)
		}
	})
	_ = unix.Close(dup)
}
