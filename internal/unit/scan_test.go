package unit

import (
	"testing"

	"cancello/internal/pgtest/shorthand"
	"cancello/internal/wire"
)

func TestScan(t *testing.T) {
	for _, c := range []struct {
		name, text string
		cut        int    // so many bytes are missing at the end
		begins     string // the name of the statement that opens a transaction block; - none
		want       Unit
	}{
		{name: "nothing"},
		{name: "less than a header", text: `S`, cut: 1},
		{name: "query", text: `Q "select 1" | Q "select 2"`, want: Unit{Kind: QueryUnit, Len: 14, Whole: true}},
		{name: "part of a query", text: `Q "select 1"`, cut: 4, want: Unit{Kind: QueryUnit, Len: 10, Missing: 4}},
		{name: "header of a query", text: `Q "begin"`, cut: 6, want: Unit{Kind: QueryUnit, Len: 5, Missing: 6}},
		{name: "begin", text: `Q "begin" | Q "insert"`, want: Unit{Kind: QueryUnit, Len: 11, Whole: true, Begins: true}},
		{name: "function call", text: `F 8 | S`, want: Unit{Kind: FunctionUnit, Len: 13, Whole: true}},
		{name: "batch", text: `P "" "select 1" | B "" "" | E | S | S`, want: Unit{Kind: BatchUnit, Len: 17 + 13 + 10 + 5, Whole: true}},
		{name: "batch that begins", text: `P "" "begin" | B "" "" | E | S`, want: Unit{Kind: BatchUnit, Len: 14 + 13 + 10 + 5, Whole: true, Begins: true}},
		{name: "batch without Sync", text: `P "" "select 1" | B "" ""`, want: Unit{Kind: BatchUnit, Len: 30}},
		{name: "batch cut in a message", text: `P "" "select 1" | B "" ""`, cut: 3, want: Unit{Kind: BatchUnit, Len: 27, Missing: 3}},
		{name: "batch cut in a header", text: `P "" "select 1" | S`, cut: 2, want: Unit{Kind: BatchUnit, Len: 17}},
		{name: "batch of an old statement", text: `B "" "" | E | S`, want: Unit{Kind: BatchUnit, Len: 28, Whole: true, Begins: true}},
		{name: "batch of another old statement", text: `B "" "" | E | S`, begins: "-", want: Unit{Kind: BatchUnit, Len: 28, Whole: true}},
		{name: "batch of a new statement", text: `P "" "select 1" | B "" "" | E | S`, want: Unit{Kind: BatchUnit, Len: 45, Whole: true}},
		{name: "batch of a named statement", text: `B "" "p" | E | S`, begins: "p", want: Unit{Kind: BatchUnit, Len: 29, Whole: true, Begins: true}},
		{name: "batch of another named statement", text: `P "" "select 1" | B "" "q" | E | S`, begins: "p", want: Unit{Kind: BatchUnit, Len: 46, Whole: true}},
		{name: "batch of a named statement behind a new one", text: `P "" "select 1" | B "" "p" | E | S`, begins: "p", want: Unit{Kind: BatchUnit, Len: 46, Whole: true, Begins: true}},
		{name: "query within a batch ends it", text: `P "" "select 1" | Q "begin" | S`, want: Unit{Kind: BatchUnit, Len: 28, Whole: true, Begins: true}},
		{name: "lone sync", text: `S | Q "begin"`, want: Unit{Kind: BatchUnit, Len: 5, Whole: true}},
		{name: "describe, close", text: `D S "x" | C S "x" | S`, want: Unit{Kind: BatchUnit, Len: 8 + 8 + 5, Whole: true}},
		{name: "what belongs to none goes with the next", text: `d 10 | c | H | Q "select 1"`, want: Unit{Kind: QueryUnit, Len: 15 + 5 + 5 + 14, Whole: true}},
		{name: "only what belongs to none", text: `H | d 3`, want: Unit{Len: 13}},
		{name: "terminate", text: `X`, want: Unit{Terminate: true}},
		{name: "terminate behind late data", text: `d 3 | X`, want: Unit{Len: 8, Terminate: true}},
		{name: "terminate in an open batch", text: `P "" "select 1" | X`, want: Unit{Kind: BatchUnit, Len: 17}},
		{name: "no message", text: `raw 3f00000004`},
		{name: "no message behind one", text: `P "" "select 1" | raw 5300000003`, want: Unit{Kind: BatchUnit, Len: 17}},
	} {
		b, err := shorthand.Read(shorthand.Client, c.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := Scan(b[:len(b)-c.cut], func(name []byte) bool { return string(name) == c.begins }); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestKinds(t *testing.T) {
	for k, want := range map[Kind]string{NoUnit: "", QueryUnit: "query", FunctionUnit: "function call", BatchUnit: "batch"} {
		if k.String() != want {
			t.Errorf("%d is %q", k, k)
		}
	}
}

// FuzzScan: of any bytes a unit is found within them, and it is the same unit when more bytes follow it.
func FuzzScan(f *testing.F) {
	for _, text := range []string{`Q "begin"`, `P "" "select 1" | B "" "" | E | S`, `d 3 | H | S`, `F 8 | X`, `raw 3f00000004`} {
		b, err := shorthand.Read(shorthand.Client, text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, []byte("begin"))
	}
	f.Fuzz(func(t *testing.T, b, begins []byte) {
		before := func(name []byte) bool { return string(name) == string(begins) }
		u := Scan(b, before)
		if u.Len < 0 || u.Len > len(b) || u.Missing < 0 || u.Missing > wire.MaxMessageLen {
			t.Fatalf("%+v of %d bytes", u, len(b))
		}
		if u.Whole && (u.Kind == NoUnit || u.Missing > 0 || u.Terminate) || u.Terminate && u.Kind != NoUnit {
			t.Fatalf("%+v contradicts itself", u)
		}
		if u.Missing > 0 && u.Len != len(b) {
			t.Fatalf("%+v misses bytes, though there are %d", u, len(b))
		}
		if u.Whole {
			if again := Scan(b[:u.Len], before); again != u {
				t.Fatalf("%+v, and without what follows %+v", u, again)
			}
			if again := Scan(b[:u.Len-1], before); again.Whole {
				t.Fatalf("%+v is whole without its last byte", again)
			}
		}
	})
}
