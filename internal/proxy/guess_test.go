package proxy

import (
	"io"
	"testing"
	"time"

	"cancello/internal/event"
	"cancello/internal/pgtest/fake"
)

// Many failed from one address: the next that fails is kept waiting, but a cancel that means somebody is carried out and
// closed at once, whatever else comes from there, and so are those of others.
func TestGuessersWait(t *testing.T) {
	w := start(t, newScript(), func(s *Settings) {
		s.Config.Cancel.FailedDelay, s.Config.Timeouts.ClientLogin = time.Hour, 4*time.Hour
	})
	wrong := fake.Cancel(testPID, []byte{1, 2, 3, 5})
	for range 20 { // as many as are free
		c := fake.Dial(t, w.addr())
		c.Put(wrong)
		c.WantEOF()
	}
	waiting := func() (n int) {
		w.lobby.mu.Lock()
		defer w.lobby.mu.Unlock()
		return w.lobby.queue.Len()
	}
	// The account is forgiven one in a second, so nobody knows how many it takes to overdraw it on a machine that is slow. The
	// first are kept for a moment only, the later ones for minutes: of 20 there are 10 that stay for the rest of this.
	var held []*fake.Client
	until(t, "some are kept waiting", func() bool {
		if len(w.settled()) == 20+len(held) && waiting() < 20 {
			c := fake.Dial(t, w.addr())
			c.Put(wrong)
			held = append(held, c)
		}
		return len(w.settled()) == 20+len(held) && waiting() >= 20
	})
	until(t, "who is kept waiting counts as one that is being let in no more", func() bool { return arriving(w) == 0 })
	fake.SendCancel(t, w.addr(), testPID, testKey)
	next(t, w.cancels, "the cancel that means somebody")
	if n := waiting(); n < 10 {
		t.Errorf("%d are still kept waiting", n)
	}
	for _, o := range w.settled() {
		if o != event.UnknownKey {
			t.Errorf("outcome %v", o)
		}
	}
	// They have no right to stay: whoever needs the room gets it.
	w.lobby.makeRoom(100)
	for _, c := range held {
		c.SetReadDeadline(time.Now().Add(fake.Patience))
		if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Fatalf("read %d bytes, %v", n, err)
		}
	}
}

// arriving counts those a drain waits for.
func arriving(w *world) int {
	w.arrivals.mu.Lock()
	defer w.arrivals.mu.Unlock()
	return w.arrivals.n
}

// Nobody is kept waiting where the delay is 0, nor for a key that is no guess.
func TestWhoIsNoGuesserDoesNotWait(t *testing.T) {
	w := start(t, newScript(), func(s *Settings) { s.Config.Cancel.FailedDelay, s.Config.Timeouts.ClientLogin = time.Hour, 4*time.Hour })
	malformed := fake.Cancel(testPID, []byte{1, 2, 3, 4, 5})
	send := func(request []byte) {
		c := fake.Dial(t, w.addr())
		c.Put(request)
		c.WantEOF()
	}
	for range 60 {
		send(malformed)
	}
	c := w.set.Config
	c.Cancel.FailedDelay = 0
	w.config.Store(&c)
	for range 60 {
		send(fake.Cancel(testPID, []byte{1, 2, 3, 5}))
	}
}
