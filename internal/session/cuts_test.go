package session

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/datadriven"

	"cancello/internal/pgtest/shorthand"
)

// journal is what went where, whatever the pieces: each direction in one string of bytes, and what happened.
type journal struct {
	toServer, toClient []byte
	events             []string
}

func (j *journal) server(p []byte) { j.toServer = append(j.toServer, p...) }
func (j *journal) client(p []byte) { j.toClient = append(j.toClient, p...) }

// event is noted with how much the client had been told before.
func (j *journal) event(what string) {
	j.events = append(j.events, fmt.Sprintf("%s@%d", what, len(j.toClient)))
}

// gone closes the account of a server that was lost.
func (j *journal) gone() {
	j.event("lost a server that had been sent: " + shorthand.Say(shorthand.Client, j.toServer))
	j.toServer = nil
}

func (j *journal) String() string {
	return fmt.Sprintf("to the server: %s\nto the client: %s\nevents: %v",
		shorthand.Say(shorthand.Client, j.toServer), shorthand.Say(shorthand.Server, j.toClient), j.events)
}

// TestCuts: how a network cuts the bytes changes nothing. Every script is run whole, then cut after every byte, then at
// random places; what goes to the server and to the client is the same, and so is the state at the end.
func TestCuts(t *testing.T) {
	for _, path := range scripts(t) {
		t.Run(path, func(t *testing.T) {
			whole, state := replay(t, path, func(b []byte) int { return len(b) })
			single, s := replay(t, path, func([]byte) int { return 1 })
			if single != whole || s != state {
				t.Errorf("whole:\n%s\n%s\nbyte by byte:\n%s\n%s", whole, state, single, s)
			}
			for seed := range uint64(20) {
				r := rand.New(rand.NewPCG(seed, 7))
				cut, s := replay(t, path, func(b []byte) int { return 1 + r.IntN(min(len(b), 1+r.IntN(40))) })
				if cut != whole || s != state {
					t.Fatalf("seed %d, whole:\n%s\n%s\ncut:\n%s\n%s", seed, whole, state, cut, s)
				}
			}
		})
	}
}

// replay runs a script and gives the bytes in pieces: next says how long the next one is.
func replay(t *testing.T, path string, next func([]byte) int) (all, state string) {
	d := newDesk(Share)
	datadriven.RunTestFromString(t, read(t, path), func(t *testing.T, td *datadriven.TestData) string {
		switch td.Cmd {
		case "new":
			all += d.journal.String() + d.outcome() + "\n"
			d.run(t, td)
		case "up", "down":
			from := shorthand.Side(td.Cmd == "up")
			b, err := shorthand.Read(from, td.Input)
			if err != nil {
				t.Fatal(err)
			}
			d.pieces(td, b, next)
		default:
			d.run(t, td)
		}
		return td.Expected
	})
	return all + d.journal.String(), d.outcome()
}

// pieces gives the bytes of one command in pieces. Where the script cuts by itself the sum counts, as it does there.
func (d *desk) pieces(td *datadriven.TestData, b []byte, next func([]byte) int) {
	rest, n := &d.cutUp, 0
	if td.Cmd == "down" {
		rest = &d.cutDown
	}
	*rest = append(*rest, b...)
	if n = len(*rest); td.HasArg("bytes") {
		for _, a := range td.CmdArgs {
			if a.Key == "bytes" {
				_, _ = fmt.Sscan(a.Vals[0], &n)
			}
		}
	}
	todo := (*rest)[:n]
	*rest = (*rest)[n:]
	for len(todo) > 0 {
		k := next(todo)
		if td.Cmd == "up" {
			d.pending = append(d.pending, todo[:k]...)
			d.pump(td.HasArg("free"))
		} else {
			d.unread = append(d.unread, todo[:k]...)
			d.listen()
		}
		todo = todo[k:]
	}
}

// outcome is the state without what may honestly depend on the cuts: whether a text that was seen in part may hold a
// COMMIT.
func (d *desk) outcome() string {
	if d.s.work != nil {
		d.s.protected, d.s.opening = span{}, span{}
	}
	return d.state() + fmt.Sprintf(", %d and %d bytes not taken", len(d.pending), len(d.unread))
}
