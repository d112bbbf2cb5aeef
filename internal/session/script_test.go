package session

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"cancello/internal/pgtest/shorthand"
	"cancello/internal/sqlstate"
	"cancello/internal/unit"
)

// TestScripts runs testdata. The commands:
//
//	new [keep|shared|single]    a new session; it shares servers unless it keeps one; shared: it may prepare statements
//	                     by name; single: for one unit at a time
//	up [free] [bytes=N]  bytes from the client; with free a unit may begin; N: only so many of them, the rest comes next
//	down [bytes=N]       bytes from the server
//	again [free]         takes up what was held back
//	leased [other]       it has the same server again, or the other one of two; each keeps three statements
//	become keep|share|single    its next server is for itself, or shared
//	reads WORD           its server reads texts under other settings
//	abandon, gone, unqueue, refuse   what the engine says and asks
//
// Each verdict is a line, the state after it the last one: the unit that runs or ran last, how many have ended, what the
// server owes.
func TestScripts(t *testing.T) {
	for _, path := range scripts(t) {
		t.Run(path, func(t *testing.T) {
			d := newDesk(Share)
			datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
				return d.run(t, td)
			})
		})
	}
}

// desk is a session, and what the engine would keep for it.
type desk struct {
	s        Session
	pending  []byte // of the client, not taken
	unread   []byte // of the server, not taken
	cutUp    []byte // the rest of a message that a script cut
	cutDown  []byte
	toServer shorthand.Stream
	toClient shorthand.Stream
	log      []string
	journal  *journal // what went where, for the property test
	shelves  [2]*Shelf
	over     [2]bool // the client, the server is not listened to any more
}

func newDesk(mode Mode) *desk {
	return &desk{
		s:        New(mode, [8]byte{}),
		toServer: shorthand.Stream{From: shorthand.Client},
		toClient: shorthand.Stream{From: shorthand.Server},
		journal:  &journal{},
	}
}

func (d *desk) run(t *testing.T, td *datadriven.TestData) string {
	d.log = nil
	var n int
	td.MaybeScanArgs(t, "bytes", &n)
	switch td.Cmd {
	case "new":
		mode := Share
		if td.HasArg("keep") {
			mode = Keep
		}
		if td.HasArg("single") {
			mode = Single
		}
		*d = *newDesk(mode)
		if td.HasArg("shared") {
			lib := NewLibrary("lib")
			d.shelves = [2]*Shelf{NewShelf(lib), NewShelf(lib)}
			d.shelves[0].Max, d.shelves[1].Max = 3, 3
			d.s.Prepares(lib)
			d.s.Rest()
			d.s.Leased(d.shelves[0])
			d.s.Reads("ISO")
		}
		return "ok\n"
	case "up":
		b, err := shorthand.Read(shorthand.Client, td.Input)
		if err != nil {
			t.Fatal(err)
		}
		d.cutUp = append(d.cutUp, b...)
		if n == 0 {
			n = len(d.cutUp)
		}
		d.pending = append(d.pending, d.cutUp[:n]...)
		d.cutUp = d.cutUp[n:]
		d.pump(td.HasArg("free"))
	case "down":
		b, err := shorthand.Read(shorthand.Server, td.Input)
		if err != nil {
			t.Fatal(err)
		}
		d.cutDown = append(d.cutDown, b...)
		if n == 0 {
			n = len(d.cutDown)
		}
		d.unread = append(d.unread, d.cutDown[:n]...)
		d.cutDown = d.cutDown[n:]
		d.listen()
	default:
		d.ask(t, td)
	}
	d.log = append(d.log, d.state())
	return strings.Join(d.log, "\n") + "\n"
}

// ask is the commands that are not bytes.
func (d *desk) ask(t *testing.T, td *datadriven.TestData) {
	switch td.Cmd {
	case "again":
		d.pump(td.HasArg("free"))
	case "leased":
		shelf := d.shelves[0]
		if td.HasArg("other") {
			shelf = d.shelves[1]
		}
		d.s.Rest()
		d.s.Leased(shelf)
	case "become":
		d.s.Become(map[string]Mode{"keep": Keep, "share": Share, "single": Single}[td.CmdArgs[0].Key])
	case "reads":
		d.s.Reads(td.CmdArgs[0].Key)
	case "gone":
		d.s.ServerGone()
		d.unread, d.over[1] = nil, false
		d.toServer = shorthand.Stream{From: shorthand.Client}
		d.journal.gone()
	case "refuse":
		d.s.RefuseNext(sqlstate.Canceled())
	case "abandon":
		out, ok := d.s.Abandon()
		if !ok {
			d.log = append(d.log, "only closing helps")
			return
		}
		d.note("for one who is gone", d.toServer.Say(out))
		d.journal.server(out)
	case "unqueue":
		n, out := d.s.Unqueue(d.pending, sqlstate.Canceled())
		d.pending = d.pending[n:]
		d.note("answer", d.toClient.Say(out))
		d.journal.client(out)
	default:
		t.Fatalf("no command %q", td.Cmd)
	}
}

func (d *desk) note(what, said string) {
	if said == "" {
		said = "-"
	}
	d.log = append(d.log, what+": "+said)
}

// probe asks the server where the session is in doubt.
func (d *desk) probe() {
	if d.s.Doubtful() {
		p := d.s.Probe()
		d.note("in doubt, probe", d.toServer.Say(p))
		d.journal.server(p)
	}
}

// pump takes what it can of the client's bytes, as the engine does.
func (d *desk) pump(free bool) {
	defer d.probe()
	if d.over[0] {
		d.pending = nil
	}
	for len(d.pending) > 0 {
		n, v := d.s.Up(d.pending, free)
		p := d.pending[:n]
		switch v {
		case Pass:
			d.note("pass", d.toServer.Say(p))
			d.journal.server(p)
		case Drop:
			d.note("drop", fmt.Sprintf("%d bytes", n))
		case More:
			d.log = append(d.log, "more is needed")
			return
		case Begin:
			d.log = append(d.log, "a unit begins here")
			return
		case Insert:
			d.note("insert", d.toServer.Say(d.s.Out()))
			d.journal.server(d.s.Out())
		case Instead:
			d.note("instead", d.toServer.Say(d.s.Out()))
			d.journal.server(d.s.Out())
		case Answer:
			d.note("answer", d.toClient.Say(d.s.Out()))
			d.journal.client(d.s.Out())
		case Hold:
			d.log = append(d.log, "held until more is answered")
			return
		case Terminate:
			d.log = append(d.log, "terminate")
			d.journal.event("terminate")
			d.pending, d.over[0] = nil, true
			return
		case Broken:
			d.log = append(d.log, "broken: "+d.s.Err().Error())
			d.journal.event("broken")
			d.pending, d.over[0] = nil, true
			return
		}
		d.pending = d.pending[n:]
	}
}

// listen takes what it can of the server's bytes.
func (d *desk) listen() {
	if d.over[1] {
		d.unread = nil
	}
	for len(d.unread) > 0 {
		n, v := d.s.Down(d.unread)
		p := d.unread[:n]
		if v <= DownReady && v != DownSwallow && v != DownInstead {
			d.journal.client(p)
		}
		switch v {
		case DownPass:
			d.note("pass", d.toClient.Say(p))
		case DownSwallow:
			d.note("swallow", fmt.Sprintf("%d bytes", n))
		case DownInstead:
			d.note("instead", shorthand.Say(shorthand.Server, d.s.Out()))
			d.journal.client(d.s.Out())
		case DownUndo:
			d.note("swallow, undo", fmt.Sprintf("%d bytes", n))
			p := d.s.Undo()
			d.note("of our own", d.toServer.Say(p))
			d.journal.server(p)
		case DownMore:
			d.log = append(d.log, "more is needed")
			return
		case DownParam:
			d.note("parameter", fmt.Sprintf("%s = %s, behind: %s", d.s.Report().Name, d.s.Report().Value, d.toClient.Say(p)))
		case DownNotify:
			d.note("notification", fmt.Sprintf("from %x: %s", d.s.Report().Value, d.toClient.Say(p)))
		case DownReady:
			d.note("ready", d.toClient.Say(p))
			d.journal.event("ready")
			d.probe()
		case DownFatal:
			d.log = append(d.log, "fatal")
			d.journal.event("fatal")
			d.unread, d.over[1] = nil, true
			return
		case DownBroken:
			d.log = append(d.log, "broken: "+d.s.Err().Message)
			d.journal.event("broken")
			d.unread, d.over[1] = nil, true
			return
		}
		d.unread = d.unread[n:]
	}
}

var kinds = map[unit.Entry]string{
	unit.Parse: "Parse", unit.Bind: "Bind", unit.Describe: "Describe", unit.Execute: "Execute", unit.Close: "Close",
	unit.Sync: "Sync", unit.MaybeSync: "Sync?", unit.Query: "Query", unit.Function: "Function", unit.CopyEnd: "CopyEnd",
}

// state is one line: what the engine can ask about the session.
func (d *desk) state() string {
	s := &d.s
	line := fmt.Sprintf("= unit %d, ended %d, %c", s.Begun(), s.Ended(), s.Tx())
	var owed []string
	for i := range s.owed() {
		e := s.queue.At(i)
		word := kinds[e.Kind()]
		if e.Has(unit.Ours) {
			word += "(ours)"
		}
		if e.Has(unit.Failing) {
			word += "(failing)"
		}
		owed = append(owed, word)
	}
	if len(owed) > 0 {
		line += ", owed: " + strings.Join(owed, " ")
	}
	up, down := s.Cut()
	for _, f := range []struct {
		is   bool
		word string
	}{
		{s.Open(), "open"}, {s.skip, "skips to Sync"}, {s.doomed, "doomed"}, {s.discard, "discards to Sync"},
		{s.copyIn, "copy in"}, {s.Protected(), "protected"}, {up, "cut to the server"}, {down, "cut to the client"},
		{s.Tags()&TagPrepare != 0, "prepared"}, {s.tags&TagListen != 0, "listens"}, {s.tags&TagSet != 0, "set"},
		{s.WasCancelled(s.Ended()), "was cancelled"}, {s.Free(), "free"},
	} {
		if f.is {
			line += ", " + f.word
		}
	}
	return line
}

// owed is how many replies are.
func (s *Session) owed() int {
	if s.work == nil {
		return 0
	}
	return s.queue.Len()
}

// scripts are the files of testdata, for tests that use them in another way.
func scripts(t testing.TB) []string {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal("no scripts", err)
	}
	return paths
}

func read(t testing.TB, path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
