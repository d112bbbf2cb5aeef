package engine

import (
	"fmt"
	"strings"
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/key"
	"cancello/internal/pgtest/shorthand"
	"cancello/internal/wire"
)

// world is an engine and an Outside that writes down what it is asked for.
type world struct {
	e    *Engine
	now  time.Duration
	wake time.Duration
	at   string // where the next server is

	log    []string
	to     Conn // whom the bytes in out are for
	out    []byte
	names  map[Conn]string
	byName map[string]Conn
	stream map[Conn]*shorthand.Stream
	keys   map[string]clientKey
	cut    map[Conn][]byte // of a script's message, not given yet
	order  []Conn          // in which the connections came, for what is done to all of them
	queued map[Conn]int
	sent   map[Conn][]byte // all of it, for TestCuts
	rest   []string        // what else happened
	next   func(int) int   // how long the next piece of so many bytes is; nil: all of them
	// cutServers: only what servers send is cut.
	cutServers bool
	slow       map[Conn]bool
	closed     []Conn
	dials      []int          // not answered
	orders     map[Order]byte // under way: c carried, g going
}

type clientKey struct {
	pid uint32
	key []byte
}

func newWorld(cfg config.Config) *world {
	w := &world{
		names: map[Conn]string{}, byName: map[string]Conn{}, stream: map[Conn]*shorthand.Stream{}, keys: map[string]clientKey{},
		cut: map[Conn][]byte{}, queued: map[Conn]int{}, sent: map[Conn][]byte{}, slow: map[Conn]bool{}, orders: map[Order]byte{}, now: time.Second,
	}
	w.e = New(cfg, w, key.NewMinter(0, [4]byte{1}, []byte("secret of this test, 32 bytes....")))
	return w
}

func (w *world) say(format string, args ...any) {
	w.flush()
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

// flush says the bytes that were sent to one connection one after the other.
func (w *world) flush() {
	if len(w.out) > 0 {
		w.log = append(w.log, w.names[w.to]+" <- "+w.stream[w.to].Say(w.out))
		w.out = nil
	}
}

func (w *world) send(to Conn, p []byte) {
	if to != w.to {
		w.flush()
		w.to = to
	}
	w.out = append(w.out, p...)
	w.sent[to] = append(w.sent[to], p...)
	w.queued[to] += len(p)
}

// settle reports what was sent, and closes what is to be closed, until nothing comes of it any more.
func (w *world) settle() {
	for again := true; again; {
		again = false
		for _, c := range w.order {
			if n := w.queued[c]; n > 0 && !w.slow[c] {
				w.queued[c], again = 0, true
				w.e.Sent(w.now, c, n)
			}
		}
		for len(w.closed) > 0 {
			c := w.closed[0]
			w.closed, again = w.closed[1:], true
			w.queued[c] = 0
			delete(w.byName, w.names[c])
			w.e.Closed(w.now, c, nil)
		}
	}
}

func (w *world) tick(d time.Duration) {
	end := w.now + d
	for w.wake > 0 && w.wake <= end {
		w.now, w.wake = max(w.wake, w.now), 0
		w.e.Tick(w.now)
		w.settle()
	}
	w.now = end
}

func (w *world) name(name string, c Conn, side shorthand.Side) {
	w.names[c], w.byName[name] = name, c
	w.stream[c] = &shorthand.Stream{From: side}
	w.order = append(w.order, c)
}

func (w *world) request(n int) Request {
	c := MakeConn(uint32(n), 1)
	w.name(fmt.Sprintf("c%d", n), c, shorthand.Server)
	return Request{Conn: c, Remote: fmt.Sprintf("host%d", n), User: "u", Database: "db", Version: wire.V30, Random: [20]byte{byte(n)}}
}

func (w *world) dialed(n int, keyed, extras bool, more []wire.Param) {
	w.dialedAs(n, keyed, extras, false, more)
}

func (w *world) dialedAs(n int, keyed, extras, known bool, more []wire.Param) {
	c := MakeConn(uint32(100+n), 1)
	w.name(fmt.Sprintf("s%d", n), c, shorthand.Client)
	info := ServerInfo{HasKey: keyed, Extras: extras, Known: known, Params: []wire.Param{
		{Name: "server_version", Value: "18.4"}, {Name: "TimeZone", Value: "UTC"}, {Name: "session_authorization", Value: "u"},
	}}
	if keyed {
		info.PID = uint32(1000 + n)
	}
	for _, p := range more {
		set := false
		for i := range info.Params {
			if set = info.Params[i].Name == p.Name; set {
				info.Params[i].Value = p.Value
				break
			}
		}
		if !set {
			info.Params = append(info.Params, p)
		}
	}
	info.Addr, w.at = w.at, ""
	w.e.Dialed(w.now, Server(n), c, info)
}

// setup lets clients in and opens the servers they bring about.
func (w *world) setup(clients int) {
	for n := 1; n <= clients; n++ {
		w.e.LoginAsked(w.now, Login(n), w.request(n))
	}
	for len(w.dials) > 0 {
		n := w.dials[0]
		w.dials = w.dials[1:]
		w.dialed(n, true, true, nil)
	}
	w.settle()
	w.flush()
}

func (w *world) Forward(to Conn, b Buf, from, n int) { w.send(to, b.Bytes[from:from+n]) }
func (w *world) Send(to Conn, p []byte)              { w.send(to, p) }
func (w *world) Pause(c Conn)                        { w.say("pause %s", w.names[c]) }
func (w *world) Resume(c Conn)                       { w.say("resume %s", w.names[c]) }

func (w *world) Close(c Conn, how How) {
	w.say("close %s %s", w.names[c], map[How]string{Flush: "when all is sent", Now: "at once"}[how])
	w.closed = append(w.closed, c)
}

func (w *world) Dial(s Server, t Target) {
	if t.Replication != "" {
		w.say("dial s%d: %s at %s:%d as %s, replication = %s, %v", s, t.Database, t.Host, t.Port, t.User, t.Replication, t.Params)
		w.dials = append(w.dials, int(s))
		return
	}
	w.say("dial s%d: %s at %s:%d as %s", s, t.Database, t.Host, t.Port, t.User)
	w.dials = append(w.dials, int(s))
}

func (w *world) Carry(o Order, s Server, over Side) {
	by := ""
	if over != 0 {
		by = fmt.Sprintf(" by a statement, side %d", over)
	}
	w.say("carry o%d to s%d%s", o, s, by)
	w.orders[o] = 'c'
}

func (w *world) CloseSide(d Side) { w.say("close side %d", d) }

func (w *world) Go(o Order, write bool) {
	if w.orders[o] = 'g'; !write {
		delete(w.orders, o)
	}
	w.say("o%d: %s", o, map[bool]string{true: "go", false: "drop it"}[write])
}

func (w *world) Admit(l Login, v Verdict) {
	name := fmt.Sprintf("c%d", l)
	if !v.OK {
		w.say("refuse %s: %s", name, shorthand.Say(shorthand.Server, v.Refusal))
		return
	}
	w.keys[name] = clientKey{v.PID, v.Key}
	var told []string
	for _, p := range v.Params {
		told = append(told, p.Name+" = "+p.Value)
	}
	w.say("admit %s with a key of %d bytes: %s", name, len(v.Key), strings.Join(told, ", "))
}

func (w *world) Release(t Ticket)      { w.say("release t%d", t) }
func (w *world) Wake(at time.Duration) { w.wake = at }

func (w *world) Emit(e event.Event) {
	switch e := e.(type) {
	case event.CancelSettled:
		line := fmt.Sprintf("settled t%d: %s", e.Ticket, e.Outcome)
		if e.Ticket == 0 {
			line = fmt.Sprintf("settled our own for %s: %s", e.Cause, e.Outcome)
		}
		if e.Unit > 0 {
			line += fmt.Sprintf(", %s %d", e.Kind, e.Unit)
		}
		if e.Sends > 0 {
			line += fmt.Sprintf(", sent %d times", e.Sends)
		}
		if e.Reason != "" {
			line += ": " + e.Reason
		}
		if e.Took < 0 {
			line += fmt.Sprintf(", after %v", e.Took)
		}
		w.say("%s", line)
	case event.ClientJoined:
	case event.ClientLeft:
		w.say("left: %s", e.Reason)
	case event.ServerOpened:
		if e.As != e.User {
			w.say("s%d logged in as %s", e.Server, e.As)
		}
	case event.ServerClosed:
		w.say("s%d closed: %s", e.Server, e.Reason)
	case event.DialFailed:
		w.say("dial failed: %s", e.Reason)
	case event.LoginRefused:
		w.say("refused: %s %s", e.Code, e.Reason)
	case event.UpstreamFailing:
		w.say("%s is left aside: %s", e.Upstream, e.Reason)
	case event.DummyKey:
		w.say("%s has no usable keys: %s", e.Upstream, e.Reason)
	case event.UpstreamBack:
		w.say("%s is back after %v", e.Upstream, e.After)
	case event.Drained:
		w.say("drained")
	}
}
