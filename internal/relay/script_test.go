package relay

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"cancello/internal/event"
)

// TestScripts runs testdata. The commands:
//
//	new [peers=N,N:prefer,N:disable] [timeout=D] [max=N]   an empty relay of node 0
//	configure, as new                  other settings
//	up lN node=N [inc=N] [kin]         a link is there; the incarnation is N unless told
//	pong lN clock=D                    the other end answers the last ping, by its own clock
//	down lN REASON                     a link is gone
//	ask tN node=N [v30] [from=ADDR] [read=D]    a client's request for another node, read so long ago
//	many N node=N [first=tN] [v30] [from=ADDR]    so many of them, of which the numbers are told
//	gone tN                            its sender does not wait any more
//	ask-here tN [v30]                  with a key of ours that our engine does not know
//	hear lN ping D | ask N [read=D by=D] [local] [origin=INC/N] | released N | settled N OUTCOME [to=N] [unit=N] | done N | leaving
//	plain-done tN [FAILURE]
//	unknown inN, released inN, settled inN OUTCOME        our engine answers
//	tick D                             time passes; the relay has its Tick where it asked for one
//	states
//	kin-gone N                         another process of this node has ended
//	leave                              this one is about to
//	all-told                           whether it may end
//
// What the relay does is listed in order.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var w *world
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			if td.Cmd == "new" {
				w = &world{t: t, now: time.Hour, pings: map[Link]time.Duration{}, wakeAt: -1}
				w.r = New(w)
				td.Cmd = "configure"
			}
			w.run(td)
			said := w.said
			if n := len(said); n > 12 {
				said = append(said[:6:6], fmt.Sprintf("... %d in all ...", n), said[n-1])
			}
			w.said = nil
			if len(said) == 0 {
				return "-"
			}
			return strings.Join(said, "\n")
		})
	})
}

// world is the Outside of one Relay.
type world struct {
	t      *testing.T
	r      *Relay
	now    time.Duration
	pings  map[Link]time.Duration
	wakeAt time.Duration
	said   []string
}

func (w *world) say(format string, args ...any) {
	w.said = append(w.said, fmt.Sprintf(format, args...))
}

func (w *world) Say(l Link, m Message) {
	switch m := m.(type) {
	case Ping:
		w.pings[l] = m.Sent
		w.say("l%d <- ping", l)
	case Pong:
		w.say("l%d <- pong, sent %v, clock %v", l, m.Sent, m.Clock-time.Hour)
	case Ask:
		local := ""
		if m.Local {
			local = ", to go no further"
		}
		of := ""
		if m.Origin != (Origin{}) {
			of = fmt.Sprintf(" (%d of process %d)", m.Origin.ID, m.Origin.Incarnation)
		}
		w.say("l%d <- ask %d%s, read from %v to %v%s, %v left", l, m.ID, of, m.ReadAt, m.ReadBy, local, m.Left)
	case Released:
		w.say("l%d <- released %d", l, m.ID)
	case Settled:
		w.say("l%d <- settled %d: %s%s", l, m.ID, m.Outcome, because(m.Reason))
	case Done:
		w.say("l%d <- done %d", l, m.ID)
	case Leaving:
		w.say("l%d <- leaving", l)
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func (w *world) Cut(l Link, reason string) { w.say("cut l%d: %s", l, reason) }
func (w *world) Plain(t Ticket, node uint16, q Request) {
	w.say("plain t%d to node %d for %d", t, node, q.PID)
}
func (w *world) Judge(t Ticket, q Request) {
	w.say("judge %s, read from %v to %v", name(t), q.ReadAt-time.Hour, q.ReadBy-time.Hour)
}
func (w *world) Release(t Ticket, guess bool) {
	if guess {
		w.say("release %s, a guess", name(t))
		return
	}
	w.say("release %s", name(t))
}
func (w *world) Wake(at time.Duration) { w.wakeAt = at }

func (w *world) Emit(e event.Event) {
	s := e.(event.CancelSettled)
	line := fmt.Sprintf("settled %s: %s", name(Ticket(s.Ticket)), s.Outcome)
	if node, ok := s.Via.Node(); ok {
		line += fmt.Sprintf(", via %d", node)
	}
	if node, ok := s.Owner.Node(); ok {
		line += fmt.Sprintf(", by %d", node)
	}
	if s.Outcome == event.Forwarded {
		line += fmt.Sprintf(", there %s unit %d of %s", s.There, s.Unit, s.User)
	}
	w.say("%s, from %s after %v%s", line, s.Remote, s.Took, because(s.Reason))
}

func name(t Ticket) string {
	if t.Arrived() {
		return fmt.Sprintf("in%d", t&^arrived)
	}
	return fmt.Sprintf("t%d", t)
}

func number(w *world, s string) uint64 {
	n, err := strconv.ParseUint(strings.TrimLeft(s, "abcdefghijklmnopqrstuvwxyz-"), 10, 64)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *world) duration(td *datadriven.TestData, key string) (d time.Duration) {
	var s string
	if td.MaybeScanArgs(w.t, key, &s); s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		td.Fatalf(w.t, "%v", err)
	}
	return d
}

func outcome(w *world, s string) event.Outcome {
	for o := range event.Outcome(event.Outcomes) {
		if o.String() == s {
			return o
		}
	}
	w.t.Fatalf("no outcome is called %s", s)
	return 0
}

// words is all that follows the first n arguments.
func words(td *datadriven.TestData, n int) string {
	var s []string
	for _, a := range td.CmdArgs[n:] {
		s = append(s, a.Key)
	}
	return strings.Join(s, " ")
}

func (w *world) config(td *datadriven.TestData) Config {
	c := Config{Timeout: w.duration(td, "timeout")}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	td.MaybeScanArgs(w.t, "max", &c.MaxAsks)
	for _, a := range td.CmdArgs {
		if a.Key != "peers" {
			continue
		}
		for v := range strings.SplitSeq(a.Vals[0], ",") {
			node, mode, _ := strings.Cut(v, ":")
			c.Peers = append(c.Peers, Peer{Node: uint16(number(w, node)), Plain: map[string]Fallback{"": Never, "prefer": WithoutIt, "disable": Always}[mode]})
		}
	}
	return c
}

func (w *world) request(td *datadriven.TestData, node int) Request {
	q := Request{PID: 1<<30 | uint32(node)<<20 | 7, Key: make([]byte, 32), ReadAt: w.now - w.duration(td, "read"), Remote: "10.0.0.9:1"}
	if td.HasArg("v30") {
		q.Key = q.Key[:4]
	}
	td.MaybeScanArgs(w.t, "from", &q.Remote)
	return q
}

func (w *world) run(td *datadriven.TestData) {
	var n uint64
	if len(td.CmdArgs) > 0 && td.Cmd != "configure" && td.Cmd != "tick" {
		n = number(w, td.CmdArgs[0].Key)
	}
	in := Ticket(n) | arrived
	switch td.Cmd {
	case "configure":
		w.r.Configure(w.now, w.config(td))
	case "up":
		far := Far{Incarnation: n, Kin: td.HasArg("kin")}
		var node int
		td.MaybeScanArgs(w.t, "node", &node)
		td.MaybeScanArgs(w.t, "inc", &far.Incarnation)
		far.Node = uint16(node)
		w.r.LinkUp(w.now, Link(n), far)
	case "pong":
		w.r.Heard(w.now, Link(n), Pong{Sent: w.pings[Link(n)], Clock: w.duration(td, "clock")})
	case "down":
		w.r.LinkDown(w.now, Link(n), words(td, 1))
	case "ask":
		var node int
		td.ScanArgs(w.t, "node", &node)
		w.r.Asked(w.now, Ticket(n), w.request(td, node), uint16(node))
	case "many":
		var node int
		td.ScanArgs(w.t, "node", &node)
		first := uint64(1)
		if td.HasArg("first") {
			var s string
			td.ScanArgs(w.t, "first", &s)
			first = number(w, s)
		}
		for i := range n {
			w.r.Asked(w.now, Ticket(first+i), w.request(td, node), uint16(node))
		}
		sent, throttled := 0, 0
		for _, s := range w.said {
			if strings.Contains(s, "<- ask") || strings.HasPrefix(s, "plain") {
				sent++
			} else if strings.Contains(s, ": throttled") {
				throttled++
			}
		}
		w.said = []string{fmt.Sprintf("%d sent, %d throttled", sent, throttled)}
	case "gone":
		w.r.Gone(Ticket(n))
	case "ask-here":
		w.r.AskedHere(w.now, Ticket(n), w.request(td, 0))
	case "hear":
		w.hear(td, Link(n))
	case "plain-done":
		w.r.PlainDone(w.now, Ticket(n), words(td, 1))
	case "unknown":
		w.r.Unknown(w.now, in)
	case "released":
		w.r.Released(w.now, in)
	case "settled":
		w.r.Settled(w.now, in, event.CancelSettled{Outcome: outcome(w, td.CmdArgs[1].Key), Ticket: uint64(in), Remote: "10.0.0.9:1", User: "ann", Unit: 17})
	case "tick":
		w.tick(td)
	case "states":
		for _, s := range w.r.States() {
			s.Since -= time.Hour
			w.say("%+v", s)
		}
	case "all-told":
		w.say("%t", w.r.AllTold(w.now))
	case "finish":
		w.say("%t", w.r.Finish(w.now))
	case "kin-gone":
		w.r.KinGone(w.now, n)
	case "leave":
		w.r.Leave(w.now)
	default:
		td.Fatalf(w.t, "no such command")
	}
}

func (w *world) hear(td *datadriven.TestData, l Link) {
	var m Message
	n := uint64(0)
	if k := td.CmdArgs[1].Key; k != "ping" && k != "leaving" {
		n = number(w, td.CmdArgs[2].Key)
	}
	switch td.CmdArgs[1].Key {
	case "ping":
		m = Ping{Sent: 77}
	case "ask":
		m = Ask{ID: n, Local: td.HasArg("local"), Left: 30 * time.Second, Request: Request{
			PID: 1<<30 | 7, Key: make([]byte, 32), ReadAt: w.now - w.duration(td, "read"), ReadBy: w.now - w.duration(td, "by"), Remote: "10.0.0.9:1",
		}}
		if a := m.(Ask); td.HasArg("origin") {
			var s string
			td.ScanArgs(w.t, "origin", &s)
			of, id, _ := strings.Cut(s, "/")
			a.Origin = Origin{number(w, of), number(w, id)}
			m = a
		}
	case "released":
		m = Released{n}
	case "settled":
		s := Settled{ID: n, Outcome: outcome(w, td.CmdArgs[3].Key), User: "ann"}
		td.MaybeScanArgs(w.t, "unit", &s.Unit)
		last := n
		for td.MaybeScanArgs(w.t, "to", &last); s.ID < last; s.ID++ {
			w.r.Heard(w.now, l, s)
		}
		m = s
	case "done":
		m = Done{n}
	case "leaving":
		m = Leaving{}
	}
	w.r.Heard(w.now, l, m)
}

func (w *world) tick(td *datadriven.TestData) {
	d, err := time.ParseDuration(td.CmdArgs[0].Key)
	if err != nil {
		td.Fatalf(w.t, "%v", err)
	}
	for end := w.now + d; ; {
		if w.wakeAt < 0 || w.wakeAt > end {
			w.now = end
			return
		}
		w.now, w.wakeAt = max(w.now, w.wakeAt), -1
		w.r.Tick(w.now)
	}
}
