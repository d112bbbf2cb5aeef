package session

import (
	"testing"

	"cancello/internal/pgtest/shorthand"
)

// TestOutstanding: a client that sends without end is held back at a number of replies, not for ever.
func TestOutstanding(t *testing.T) {
	d := newDesk(Share)
	sync, err := shorthand.Read(shorthand.Client, `S`)
	if err != nil {
		t.Fatal(err)
	}
	for range maxOutstanding + 10 {
		d.pending = append(d.pending, sync...)
	}
	d.pump(true)
	if d.s.queue.Len() != maxOutstanding || len(d.pending) != 10*len(sync) {
		t.Fatalf("%d outstanding, %d bytes held back", d.s.queue.Len(), len(d.pending))
	}
	if _, v := d.s.Up(d.pending, true); v != Hold {
		t.Fatalf("verdict %d, not Hold", v)
	}
	ready, err := shorthand.Read(shorthand.Server, `Z I`)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; len(d.pending) > 0; n++ {
		d.unread = append(d.unread, ready...)
		d.listen()
		d.pump(true)
		if want := 10 - min(n, 10); len(d.pending) != want*len(sync) {
			t.Fatalf("after %d answers %d bytes are held back", n, len(d.pending))
		}
	}
}
