package engine

import (
	"encoding/binary"
	"flag"
	"fmt"
	"hash/maphash"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/key"
	"cancello/internal/wire"
)

// The walk tries everything: with two clients, two servers and two cancels, each order in which their messages,
// signals and ends can meet is tried, one step at a time, on the engine itself. Where two orders lead to the same state
// of engine and world, one of them is followed. Time stands still, so that no limit runs out: what limits do is the
// simulation's to find.

var walkAll = flag.Bool("walk-all", false, "walk through the large worlds, too: minutes")

// scenario is what the clients mean to do.
type scenario struct {
	name    string
	size    int        // default_pool_size
	session bool       // pool_mode
	twice   bool       // servers signal twice, as PostgreSQL up to 17
	depth   int        // units a client has under way at most
	units   [][]string // of each client
	cancels []int      // whom each cancel is for
	breaks  int        // carried cancels that may break off or not be sent
	deaths  int        // servers that may die
	leaves  int        // clients that may vanish
	large   bool
}

var scenarios = []scenario{
	{name: "one server, two clients", size: 1, depth: 1, units: [][]string{{"a", "b"}, {"c"}}, cancels: []int{0, 1}},
	{name: "one server, both cancels for one", size: 1, depth: 2, units: [][]string{{"a", "b"}, {"c"}}, cancels: []int{0, 0}},
	{name: "two servers", size: 2, depth: 1, units: [][]string{{"a", "b"}, {"c"}}, cancels: []int{0, 1}},
	{name: "signals twice", size: 1, twice: true, depth: 1, units: [][]string{{"a", "b"}, {"c"}}, cancels: []int{0, 1}},
	{name: "transactions", size: 1, depth: 1, units: [][]string{{"begin", "commit"}, {"c"}}, cancels: []int{0, 1}},
	{name: "session", size: 1, session: true, depth: 1, units: [][]string{{"a", "b"}, {"c"}}, cancels: []int{0, 1}, leaves: 1},
	{name: "broken cancels", size: 1, depth: 1, units: [][]string{{"a", "b"}, {"c"}}, cancels: []int{0, 0}, breaks: 1},
	{name: "dying servers", size: 2, depth: 1, units: [][]string{{"a"}, {"c"}}, cancels: []int{0, 1}, deaths: 1},
	{name: "vanishing clients", size: 1, depth: 1, units: [][]string{{"a"}, {"c"}}, cancels: []int{0, 1}, leaves: 1},
	{name: "all of it", size: 2, twice: true, depth: 2, units: [][]string{{"a", "b"}, {"begin", "d"}}, cancels: []int{0, 1}, breaks: 1, deaths: 1, leaves: 1, large: true},
}

func TestWalk(t *testing.T) {
	for _, s := range scenarios {
		if s.large && !*walkAll {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			w := walk{scenario: s, seen: map[uint64]bool{}, seed: maphash.MakeSeed()}
			if path, wrong := w.explore(); wrong != "" {
				t.Fatalf("%s\nafter\n  %s", wrong, strings.Join(path, "\n  "))
			}
			t.Logf("%d states, %d steps, %d ends", len(w.seen), w.steps, w.ends)
			if len(w.seen) < 100 || w.ends == 0 {
				t.Error("there was hardly anything to try")
			}
		})
	}
}

// Each bug that a cancel can have in these worlds is found.
func TestWalkFindsBugs(t *testing.T) {
	for _, b := range []struct {
		name  string
		bug   Bug
		where string
	}{
		{"no fence", BugNoFence, "one server, two clients"},
		{"EOF not awaited", BugIgnoreEOF, "signals twice"},
		{"cancel hits the next unit", BugCancelNextUnit, "one server, both cancels for one"},
		{"key outlives client", BugKeyOutlivesClient, "vanishing clients"},
	} {
		t.Run(b.name, func(t *testing.T) {
			i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == b.where })
			w := walk{scenario: scenarios[i], bug: b.bug, seen: map[uint64]bool{}, seed: maphash.MakeSeed()}
			path, wrong := w.explore()
			if wrong == "" {
				t.Fatalf("not found in %d states", len(w.seen))
			}
			t.Logf("%s, after %d steps", wrong, len(path))
		})
	}
}

// walk goes through all states depth first. A state is the choices that lead to it.
type walk struct {
	scenario
	bug   Bug
	seen  map[uint64]bool
	seed  maphash.Seed
	steps int
	ends  int
}

// explore returns what is wrong, and the way there.
func (w *walk) explore() (path []string, wrong string) {
	type frame struct {
		choices []int
		next    int // the choice to be tried now
		of      int
	}
	start := w.play(nil)
	stack := []frame{{of: len(start.enabled())}}
	w.seen[start.sum(w.seed)] = true
	for len(stack) > 0 {
		f := &stack[len(stack)-1]
		if f.next == f.of {
			stack = stack[:len(stack)-1]
			continue
		}
		choices := append(slices.Clone(f.choices), f.next)
		f.next++
		m := w.play(choices)
		w.steps++
		if m.wrong != "" {
			return m.path, m.wrong
		}
		if sum := m.sum(w.seed); w.seen[sum] {
			continue
		} else {
			w.seen[sum] = true
		}
		n := len(m.enabled())
		if n == 0 {
			w.ends++
			if m.atEnd(); m.wrong != "" {
				return m.path, m.wrong
			}
		}
		stack = append(stack, frame{choices: choices, of: n})
	}
	return nil, ""
}

// play makes a world and takes the choices in it.
func (w *walk) play(choices []int) *model {
	m := newModel(w.scenario, w.bug)
	for _, i := range choices {
		a := m.enabled()[i]
		m.path = append(m.path, a.name)
		a.do()
		m.sendAll()
		if m.wrong != "" {
			break
		}
	}
	return m
}

// model is the world around one engine: clients, servers, and cancels on their way.
type model struct {
	scenario
	e       *Engine
	clients []*walker
	servers []*walked
	cancels []*asked
	orders  []*carried
	dials   []Server
	path    []string
	wrong   string
	queued  map[Conn]int // not told as sent yet
	closing []Conn
	random  byte
}

// walker is a client.
type walker struct {
	n        int
	conn     Conn
	pid      uint32
	key      []byte
	next     int // unit to be asked
	answered int
	gone     bool
	closed   bool   // by the engine
	in       []byte // not read yet
}

// walked is a server.
type walked struct {
	id      Server
	conn    Conn
	open    bool
	in      []byte
	inbox   []string // messages read from in
	at      []int    // when each was written, in signals sent before
	running string   // the message under way
	runAt   int
	tx      byte
	pending *carried // whose signal has come while something ran
	signals int
}

// asked is a CancelRequest.
type asked struct {
	of       int
	read     bool
	judged   bool
	before   int // units its client had had answered when it was read
	released int
	settled  []event.Outcome
}

// carried is an order at the driver.
type carried struct {
	id      Order
	server  *walked
	state   string // opening, ready, going, signalled, again
	unit    string // that ran when it was told to go
	signals int    // that its server had had then
}

const walkNow = time.Hour

func newModel(s scenario, b Bug) *model {
	cfg := config.Default()
	cfg.Databases = []config.Database{{Name: "db", Host: "pg", Port: 5432}}
	cfg.Pool = config.Pool{Mode: config.Transaction, DefaultSize: s.size, MaxClientConn: 10, MaxPreparedStatements: 10}
	if s.session {
		cfg.Pool.Mode = config.Session
	}
	cfg.Limits = config.Limits{}
	cfg.Timeouts.ServerGhost = 0 // it would have to pass
	m := &model{scenario: s, queued: map[Conn]int{}}
	m.e = New(cfg, m, key.NewMinter(0, [4]byte{1}, []byte("secret of this test, 32 bytes....")))
	m.e.Sabotage(b)
	for i := range s.units {
		m.join(i)
	}
	for _, of := range s.cancels {
		m.cancels = append(m.cancels, &asked{of: of})
	}
	for len(m.dials) > 0 {
		m.dial()
	}
	m.sendAll()
	return m
}

func (m *model) join(i int) {
	m.random++
	c := &walker{n: i, conn: MakeConn(uint32(i+1), 1)}
	m.clients = append(m.clients, c)
	m.e.LoginAsked(walkNow, Login(i+1), Request{Conn: c.conn, User: "u", Database: "db", Version: wire.V30, Random: [20]byte{m.random}})
}

func (m *model) dial() {
	id := m.dials[0]
	m.dials = m.dials[1:]
	s := &walked{id: id, conn: MakeConn(uint32(100+len(m.servers)), 1), open: true, tx: 'I'}
	m.servers = append(m.servers, s)
	m.e.Dialed(walkNow, id, s.conn, ServerInfo{HasKey: true, Extras: true, PID: uint32(id), Params: []wire.Param{{Name: "server_version", Value: "18.4"}, {Name: "TimeZone", Value: "UTC"}}})
}

// sendAll tells that everything queued was sent, and closes what is to be closed, until nothing comes of it.
func (m *model) sendAll() {
	for again := true; again; {
		again = false
		for c, n := range m.queued { // at most one order matters: Sent has no effect but on pauses
			delete(m.queued, c)
			m.e.Sent(walkNow, c, n)
			again = true
			break
		}
		if len(m.closing) > 0 {
			c := m.closing[0]
			m.closing = m.closing[1:]
			m.e.Closed(walkNow, c, nil)
			again = true
		}
	}
	for _, c := range m.clients {
		m.hear(c)
	}
}

func (m *model) fail(format string, args ...any) {
	if m.wrong == "" {
		m.wrong = fmt.Sprintf(format, args...)
	}
}

// hear reads what a client was sent.
func (m *model) hear(c *walker) {
	for len(c.in) >= wire.HeaderLen {
		n := 1 + int(binary.BigEndian.Uint32(c.in[1:]))
		if len(c.in) < n {
			return
		}
		if c.in[0] == 'Z' {
			c.answered++
			if c.answered > c.next {
				m.fail("client %d has more answers than it asked for", c.n)
			}
		}
		c.in = c.in[n:]
	}
}

// sum is the state's fingerprint.
func (m *model) sum(seed maphash.Seed) uint64 {
	f := fingerprint{seen: map[uintptr]uint64{}}
	f.h.SetSeed(seed)
	f.add(reflect.ValueOf(m.e))
	for _, c := range m.clients {
		f.h.WriteString(fmt.Sprintln(c.next, c.answered, c.gone, c.closed, c.in))
	}
	for _, s := range m.servers {
		f.h.WriteString(fmt.Sprintln(s.open, s.in, s.inbox, s.at, s.running, s.runAt, s.tx, s.pending != nil, s.signals))
		if s.pending != nil {
			f.h.WriteString(fmt.Sprintln(s.pending.id, s.pending.unit, s.pending.signals))
		}
	}
	for _, a := range m.cancels {
		f.h.WriteString(fmt.Sprintln(a.read, a.judged, a.before, a.released, a.settled))
	}
	for _, o := range m.orders {
		f.h.WriteString(fmt.Sprintln(o.id, o.server.id, o.state, o.unit, o.signals))
	}
	f.h.WriteString(fmt.Sprintln(m.dials, m.breaks, m.deaths, m.leaves))
	return f.h.Sum64()
}

// atEnd looks at a world in which nothing can happen any more.
func (m *model) atEnd() {
	for _, c := range m.clients {
		if !c.gone && !c.closed && c.answered < c.next {
			m.fail("client %d waits for ever for unit %d", c.n, c.answered+1)
		}
	}
	for i, a := range m.cancels {
		if a.released != 1 || len(a.settled) != 1 {
			m.fail("cancel %d was released %d times, its outcomes are %v", i, a.released, a.settled)
		}
	}
}
