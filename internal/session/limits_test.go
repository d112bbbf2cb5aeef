package session

import (
	"fmt"
	"strings"
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

// TestStatementLimits: a client has so many named statements and so many bytes of them; one more is refused by name, and
// room is made by a Close.
func TestStatementLimits(t *testing.T) {
	for name, c := range map[string]struct {
		size, most int
		says       string
	}{
		"number": {size: 10, most: maxStatements, says: "too many prepared statements"},
		"bytes":  {size: 200_000, most: maxStatementBytes / 200_000, says: "too many bytes of prepared statements"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(Share)
			lib := NewLibrary("lib")
			shelf := NewShelf(lib)
			shelf.Max = 5
			d.s.Prepares(lib)
			d.s.Leased(shelf)
			n := 0
			for ; ; n++ {
				if d.parse(t, n, c.size); len(d.s.refusals) > 0 {
					break
				}
				d.unread = append(d.unread, shorthandServer(t, strings.Repeat("3 | ", min(1, max(0, n-4)))+"1 | Z I")...)
				d.listen()
				if n > c.most {
					t.Fatalf("%d are taken", n)
				}
			}
			if n < c.most-1 || d.s.Statements() != n || lib.Len() != n || shelf.Len() != 5 {
				t.Fatalf("%d are taken, of %d; the client has %d, the pool %d, the server %d", n, c.most, d.s.Statements(), lib.Len(), shelf.Len())
			}
			d.log = nil
			d.unread = append(d.unread, shorthandServer(t, "E ERROR 42601 | Z I")...)
			d.listen()
			if log := strings.Join(d.log, " "); !strings.Contains(log, "54000 \""+c.says) {
				t.Errorf("not refused: %s", log)
			}
			d.pending = append(d.pending, shorthandClient(t, `C S "s1" | S`)...)
			d.pump(true)
			d.unread = append(d.unread, shorthandServer(t, "3 | Z I")...)
			d.listen()
			if d.parse(t, n, c.size); len(d.s.refusals) > 0 || d.s.Statements() != n {
				t.Error("there is no room after a Close")
			}
			d.s.Forget()
			if shelf.Clear(); lib.Len() != 0 {
				t.Errorf("%d are left of a client that is gone", lib.Len())
			}
		})
	}
}

// parse sends a Parse of so many bytes under a name of its own.
func (d *desk) parse(t *testing.T, n, size int) {
	text := fmt.Sprintf("select %d %s", n, strings.Repeat("x", size))
	d.pending = append(d.pending, shorthandClient(t, fmt.Sprintf(`P "s%d" %q | S`, n, text))...)
	d.pump(true)
}

func shorthandClient(t *testing.T, text string) []byte {
	return shorthandFrom(t, shorthand.Client, text)
}
func shorthandServer(t *testing.T, text string) []byte {
	return shorthandFrom(t, shorthand.Server, text)
}

func shorthandFrom(t *testing.T, from shorthand.Side, text string) []byte {
	t.Helper()
	b, err := shorthand.Read(from, text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDated: a literal that means another moment each time is found, however it is written; now() is none.
func TestDated(t *testing.T) {
	for sql, want := range map[string]bool{
		"select 'now'::timestamp": true, "select ' ToDay'::date": true, "select E'tomorrow'": true, "select $$ yesterday $$::date": true,
		"select '10:00 today'::timestamp": true, "select timestamp 'now', now()": true,
		"select now(), 'x'": false, "select 'x', NOW ()": false, "select now": false, "select current_date": false, "select 1": false,
	} {
		if got := dated([]byte(sql)); got != want {
			t.Errorf("dated(%q) is %v", sql, got)
		}
	}
	lib := NewLibrary("lib")
	one := lib.find([]byte("select 'now'\x00\x00\x00"), "")
	if two := lib.find([]byte("select 'now'\x00\x00\x00"), ""); one == two || lib.Len() != 0 {
		t.Error("a dated text is shared")
	}
	a := lib.find([]byte("select 1\x00\x00\x00"), "ISO")
	if a != lib.find([]byte("select 1\x00\x00\x00"), "ISO") || a == lib.find([]byte("select 1\x00\x00\x00"), "German") || a == lib.find([]byte("select 1\x00\x00\x01\x00\x00\x00\x17"), "ISO") {
		t.Error("text, types and settings are not what statements are shared by")
	}
}
