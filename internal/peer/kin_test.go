package peer

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/relay"
)

// kin joins two processes of one node, and returns what cuts the link between them.
func kin(newer, older *end, gone <-chan struct{}) (cut func()) {
	one, two := net.Pipe()
	go newer.Kin(one, true, gone)
	go older.Kin(two, false, gone)
	return func() { one.Close() }
}

// kinIs waits until there is a link to another process of this node, or one that is broken, or no such process.
func (e *end) kinIs(known, up bool) {
	for {
		var list []relay.State
		e.do(func(time.Duration) { list = e.relay.States() })
		n, ups := 0, 0
		for _, s := range list {
			if s.Kin {
				n++
				if s.Up {
					ups++
				}
			}
		}
		if (n > 0) == known && (ups > 0) == up && e.HasKin() == known {
			return
		}
		time.Sleep(time.Millisecond) // sleeps: between two looks; the test's own limit ends it
	}
}

// Another process of this node is asked for keys that this one does not know, by a connection without a proof.
func TestKin(t *testing.T) {
	t.Parallel()
	older, newer := newEnd(t, 1, oneSecret), newEnd(t, 1, twoSecret)
	kin(newer, older, nil)
	newer.kinIs(true, true)
	released := newer.ask(1, 1, 9)
	older.answer(older.asked(), event.Cancelled)
	wait(t, released, "a request")
	if e := newer.settled(); e.There != event.Cancelled {
		t.Errorf("%+v", e)
	}
	older.Stop() // says farewell
	newer.kinIs(false, false)
}

// While the link to another process of this node is broken, requests for its keys wait: those that it was asked, and those
// that come meanwhile. When it has ended they have an outcome.
func TestKinLinkBroken(t *testing.T) {
	t.Parallel()
	older, newer := newEnd(t, 1, oneSecret), newEnd(t, 1, oneSecret)
	gone := make(chan struct{})
	cut := kin(newer, older, gone)
	newer.kinIs(true, true)
	one := newer.ask(1, 1, 100)
	first := older.asked()
	cut()
	newer.kinIs(true, false)
	older.kinIs(true, false)
	two := newer.ask(2, 1, 200)
	older.answer(first, event.Cancelled) // to nobody
	cut = kin(newer, older, gone)
	second := older.asked()
	if second.r.PID != 200 {
		t.Fatalf("the first one was asked again: %+v", second)
	}
	older.answer(second, event.Late)
	wait(t, one, "the first")
	wait(t, two, "the second")
	newer.wantBoth(event.Cancelled, event.Late)
	three := newer.ask(3, 1, 300)
	older.asked()
	cut()
	newer.kinIs(true, false)
	four := newer.ask(4, 1, 400)
	close(gone)
	wait(t, three, "what an ended process was asked")
	if e := newer.settled(); e.Outcome != event.Failed || !strings.Contains(e.Reason, "ended before it told") {
		t.Errorf("%+v", e)
	}
	wait(t, four, "what it was not asked")
	if e := newer.settled(); e.Outcome != event.UnknownKey {
		t.Errorf("%+v", e)
	}
	newer.kinIs(false, false)
	older.kinIs(false, false)
}

// An outcome that was written on a link that broke is told on the next one, long before who asked gives up.
func TestOutcomeLostWithLink(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, 1, oneSecret), newEnd(t, 2, oneSecret)
	a.conf.Timeout = time.Hour
	w := newCable(t, b.Addr().String())
	b.peers(unreachable(1))
	a.peers(at(2, w.Addr().String()))
	a.up(2)
	released := a.ask(1, 2, 100)
	j := b.asked()
	w.stop(true)
	b.answer(j, event.Cancelled)
	b.do(func(time.Duration) {}) // it has said so
	w.cut()
	a.down(2)
	w.stop(false)
	wait(t, released, "the outcome")
	if e := a.settled(); e.There != event.Cancelled {
		t.Errorf("%+v", e)
	}
}

// A reload that changes a peer has a new goroutine dial it; the one before does not hear in its place that the link has ended.
func TestReloadKeepsDialing(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, 1, oneSecret), newEnd(t, 2, oneSecret)
	w := newCable(t, b.Addr().String())
	b.peers(unreachable(1))
	p := at(2, w.Addr().String())
	a.peers(p)
	a.up(2)
	former := make(chan (<-chan struct{}), 1)
	a.do(func(time.Duration) { former <- a.own.peers[2].needed })
	late := <-former
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	listening := make(chan struct{})
	go func() { // a dialer that has not seen yet that it is to end
		close(listening)
		for {
			select {
			case <-late:
			case <-stop:
				return
			}
		}
	}()
	<-listening
	p.Mode = config.PeerPrefer
	before := sessions(a)
	a.peers(p)
	w.cut()
	for deadline := time.Now().Add(patience); ; { // nobody is told of an end that was mended before it was noted
		now := sessions(a)
		if len(now) == 1 && !slices.Contains(before, now[0]) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("there is no new link: %d sessions, %d before", len(now), len(before))
		}
		time.Sleep(time.Millisecond) // sleeps: between two looks
	}
}
