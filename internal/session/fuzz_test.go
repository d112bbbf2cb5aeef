package session

import (
	"testing"

	"github.com/cockroachdb/datadriven"

	"cancello/internal/pgtest/shorthand"
	"cancello/internal/sqlstate"
	"cancello/internal/unit"
)

// FuzzSession: whatever comes from either side, in whatever order and pieces, and whatever the engine does in between,
// each call takes what it was given or says what it waits for, and the numbers stay in order.
func FuzzSession(f *testing.F) {
	for _, path := range scripts(f) {
		var up, down, ops []byte
		datadriven.RunTestFromString(&testing.T{}, read(f, path), func(_ *testing.T, td *datadriven.TestData) string {
			from := shorthand.Side(td.Cmd == "up")
			if b, err := shorthand.Read(from, td.Input); err == nil && len(b) < 1000 && td.Cmd == "up" {
				up, ops = append(up, b...), append(ops, opUp, byte(len(b)))
			} else if err == nil && len(b) < 1000 && td.Cmd == "down" {
				down, ops = append(down, b...), append(ops, opDown, byte(len(b)))
			}
			return td.Expected
		})
		f.Add(up, down, ops, true)
		f.Add(up, down, ops, false)
	}
	f.Fuzz(func(t *testing.T, up, down, ops []byte, keep bool) {
		mode := Share
		if keep {
			mode = Keep
		}
		z := fuzzed{t: t, s: New(mode, [8]byte{}), up: up, down: down, lib: NewLibrary("lib")}
		if !keep {
			z.s.Prepares(z.lib)
		}
		z.lease()
		for i := 0; i+1 < len(ops) && !z.over; i += 2 {
			z.do(ops[i], int(ops[i+1]))
			if z.s.Ended() > z.s.Begun() {
				t.Fatalf("%d units ended, %d begun", z.s.Ended(), z.s.Begun())
			}
			if z.s.Free() && (z.s.owed() > 0 || z.s.Open() && !z.s.discard) {
				t.Fatal("free with something outstanding")
			}
			if z.s.work != nil && len(z.s.refusals) > z.s.owed() {
				t.Fatal("more refusals than entries that fail")
			}
			z.counts()
		}
		z.s.Forget()
		for _, h := range z.shelves {
			if h != nil {
				h.Clear()
			}
		}
		if n := z.lib.Len(); n != 0 {
			t.Fatalf("%d statements are left of nobody", n)
		}
	})
}

// counts: what was sent about names is in the queue, no more and no less, and a server keeps what it may.
func (z *fuzzed) counts() {
	changes, failing := 0, 0
	for i := range z.s.owed() {
		e := z.s.queue.At(i)
		if k := e.Kind(); e.Has(unit.Named) && (k == unit.Parse || k == unit.Close) {
			changes++
		}
		if e.Has(unit.Failing) {
			failing++
		}
	}
	if r := z.s.roll; r != nil && r.outstanding() != changes || r == nil && changes > 0 {
		z.t.Fatalf("%d changes in the queue, others in the roll", changes)
	}
	if failing != len(z.s.refusals) {
		z.t.Fatalf("%d entries fail, %d refusals", failing, len(z.s.refusals))
	}
	for _, h := range z.shelves {
		if h != nil && h.Len() > h.Max {
			z.t.Fatalf("%d statements on a server that keeps %d", h.Len(), h.Max)
		}
	}
}

// lease gives the session its other server.
func (z *fuzzed) lease() {
	z.turn = 1 - z.turn
	if z.shelves[z.turn] == nil {
		z.shelves[z.turn] = NewShelf(z.lib)
		z.shelves[z.turn].Max = 1 + z.turn
	}
	z.s.Rest()
	z.s.Leased(z.shelves[z.turn])
}

// What a fuzzed engine does, by a number that a fuzzer can find.
const (
	opUp byte = iota
	opDown
	opUpWaiting
	opAbandon
	opGone
	opLeased
	opUnqueue
	opRefuse
	ops
)

type fuzzed struct {
	t        *testing.T
	s        Session
	up, down []byte // not given yet
	pending  []byte
	unread   []byte
	over     bool
	lib      *Library
	shelves  [2]*Shelf
	turn     int
}

func (z *fuzzed) do(op byte, n int) {
	switch op % ops {
	case opUp, opUpWaiting:
		k := min(n, len(z.up))
		z.pending, z.up = append(z.pending, z.up[:k]...), z.up[k:]
		z.pump(op%ops == opUp)
	case opDown:
		k := min(n, len(z.down))
		z.unread, z.down = append(z.unread, z.down[:k]...), z.down[k:]
		z.listen()
	case opAbandon:
		z.s.Abandon()
	case opGone:
		z.s.ServerGone()
		z.shelves[z.turn].Clear()
		z.lease()
		z.unread = nil
	case opLeased:
		if z.s.Free() {
			z.lease()
		}
	case opUnqueue:
		if z.s.Free() && z.s.Waits(z.pending) != 0 {
			k, out := z.s.Unqueue(z.pending, sqlstate.Canceled())
			if k == 0 || k > len(z.pending) || len(out) == 0 {
				z.t.Fatalf("a unit waits in %x, but %d bytes of it are answered by %d", z.pending, k, len(out))
			}
			z.pending = z.pending[k:]
		}
		z.s.Terminates(z.pending)
	case opRefuse:
		z.s.RefuseNext(sqlstate.Canceled())
	}
}

func (z *fuzzed) pump(free bool) {
	inserted := false
	for len(z.pending) > 0 {
		n, v := z.s.Up(z.pending, free)
		if n < 0 || n > len(z.pending) {
			z.t.Fatalf("%d of %d bytes taken", n, len(z.pending))
		}
		switch v {
		case Pass, Drop, Instead, Answer:
			if n == 0 {
				z.t.Fatalf("nothing taken with verdict %d", v)
			}
			inserted = false
		case Insert:
			if n != 0 || inserted {
				z.t.Fatal("inserted twice, or something taken")
			}
			inserted = true
		case More:
			if n != 0 || len(z.pending) > 5+maxKept {
				z.t.Fatalf("more than %d bytes are asked for", len(z.pending))
			}
			return
		case Begin, Hold:
			if n != 0 || v == Begin && free || v == Hold && z.s.owed() == 0 {
				z.t.Fatalf("waits with verdict %d in vain", v)
			}
			return
		case Terminate, Broken:
			z.over = true
			return
		}
		z.pending = z.pending[n:]
	}
}

func (z *fuzzed) listen() {
	for len(z.unread) > 0 {
		n, v := z.s.Down(z.unread)
		if n < 0 || n > len(z.unread) {
			z.t.Fatalf("%d of %d bytes taken", n, len(z.unread))
		}
		switch v {
		case DownPass, DownSwallow, DownInstead, DownParam, DownNotify, DownReady, DownLate:
			if n == 0 {
				z.t.Fatalf("nothing taken with verdict %d", v)
			}
		case DownMore:
			if len(z.unread) > 5+maxParameter {
				z.t.Fatalf("more than %d bytes are asked for", len(z.unread))
			}
			return
		case DownFatal, DownBroken:
			z.over = true
			return
		}
		z.unread = z.unread[n:]
	}
}
