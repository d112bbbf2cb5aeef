package engine

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/key"
	"cancello/internal/pgtest/shorthand"
	"cancello/internal/wire"
)

// FuzzEngine: whatever clients and servers send, whenever connections end and however cancels go, the engine keeps its
// promises to Outside; and when all has ended nothing of anybody is left and every ticket has had its end.
func FuzzEngine(f *testing.F) {
	paths, _ := filepath.Glob("testdata/*.txt")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		var client, server, ops []byte
		datadriven.RunTestFromString(&testing.T{}, string(text), func(_ *testing.T, td *datadriven.TestData) string {
			b, err := shorthand.Read(shorthand.Side(td.Cmd == "client"), td.Input)
			op, known := map[string]byte{
				"client": opClient, "server": opServer, "closed": opClose, "cancel": opCancel, "ready": opReady, "done": opDone,
				"dialed": opDialed, "dial-failed": opDialFailed, "login": opLogin, "tick": opTick, "drain": opDrain, "reload": opReload,
				"pause": opCommand, "resume": opCommand, "reconnect": opCommand, "kill": opCommand,
			}[td.Cmd]
			switch {
			case !known || err != nil && (op == opClient || op == opServer) || len(b) > 250:
				return td.Expected
			case op == opClient:
				client = append(client, b...)
			case op == opServer:
				server = append(server, b...)
			}
			n := byte(len(b))
			if op == opReload {
				n = byte(37 * len(ops)) // any
			}
			ops = append(ops, op, n)
			return td.Expected
		})
		f.Add(client, server, ops, false)
		f.Add(client, server, ops, true)
	}
	f.Fuzz(func(t *testing.T, client, server, ops []byte, session bool) {
		z := newFuzzed(t, session)
		for i := 0; i+1 < len(ops) && i < 400; i += 2 {
			z.do(ops[i], int(ops[i+1]), &client, &server)
		}
		z.end()
	})
}

const (
	opClient byte = iota
	opServer
	opClose
	opCancel
	opReady
	opDone
	opDialed
	opDialFailed
	opLogin
	opTick
	opDrain
	opSlow
	opReload
	opCommand
	ops
)

// fuzzed is an engine and an Outside that checks what it is asked for.
type fuzzed struct {
	t    *testing.T
	cfg  config.Config
	e    *Engine
	now  time.Duration
	wake time.Duration

	logins  Login
	conns   []Conn // open, in the order they came
	last    uint32
	closing []Conn
	queued  map[Conn]int
	slow    bool
	dials   []Server
	orders  []Order // carried, not ready
	going   []Order
	keys    []clientKey
	tickets map[Ticket]*[2]int // released, settled
	pending map[Login]Conn
}

func newFuzzed(t *testing.T, session bool) *fuzzed {
	cfg := config.Default()
	cfg.Databases = []config.Database{{Name: "db", Host: "pg", Port: 5432}}
	cfg.Pool.Mode, cfg.Pool.DefaultSize, cfg.Pool.MaxClientConn, cfg.Pool.MaxPreparedStatements = config.Transaction, 2, 6, 0
	cfg.Cancel.PerUpstream = 2
	if session {
		cfg.Pool.Mode = config.Session
	}
	z := &fuzzed{t: t, cfg: cfg, now: time.Second, queued: map[Conn]int{}, tickets: map[Ticket]*[2]int{}, pending: map[Login]Conn{}}
	z.e = New(cfg, z, key.NewMinter(0, [4]byte{1}, []byte("secret of this test, 32 bytes....")))
	z.do(opLogin, 0, nil, nil)
	z.do(opDialed, 0, nil, nil)
	z.do(opLogin, 1, nil, nil)
	z.do(opLogin, 2, nil, nil)
	return z
}

// do is one event; n says to whom it happens, or how much.
func (z *fuzzed) do(op byte, n int, client, server *[]byte) {
	z.now += time.Millisecond
	switch op % ops {
	case opClient:
		z.data(client, n, true)
	case opServer:
		z.data(server, n, false)
	case opClose:
		if len(z.conns) > 0 {
			z.ended(z.conns[n%len(z.conns)])
		}
	case opCancel:
		id := Ticket(len(z.tickets) + 1)
		z.tickets[id] = new([2]int)
		k := clientKey{pid: uint32(n), key: []byte{1, 2, 3, 4}}
		if len(z.keys) > 0 {
			k = z.keys[n%len(z.keys)]
		}
		z.e.CancelRequested(z.now, id, CancelRequest{PID: k.pid, Key: k.key, ReadAt: z.now - time.Duration(n%2)*time.Millisecond})
	case opReady:
		if o, ok := take(&z.orders, n); ok {
			z.e.CancelReady(z.now, o)
		}
	case opDone:
		if o, ok := take(&z.going, n); ok {
			z.e.CancelDone(z.now, o, Result(n%3))
		} else if o, ok := take(&z.orders, n); ok {
			z.e.CancelDone(z.now, o, NotSent)
		}
	case opDialed:
		if s, ok := take(&z.dials, n); ok {
			z.e.Dialed(z.now, s, z.open(), ServerInfo{HasKey: n%4 != 3, PID: uint32(n), Extras: true, Params: []wire.Param{{Name: "TimeZone", Value: "UTC"}}})
		}
	case opDialFailed:
		if s, ok := take(&z.dials, n); ok {
			z.e.DialFailed(z.now, s, Failure{Refused: n%2 == 0, Code: "28P01", Message: "no"})
		}
	case opLogin:
		z.logins++
		c := z.open()
		z.pending[z.logins] = c
		r := Request{Conn: c, User: "u", Database: "db", Version: wire.V30, Random: [20]byte{byte(z.logins)}}
		if n%4 == 3 {
			r.Params = []wire.Param{{Name: "TimeZone", Value: "utc"}}
		}
		z.e.LoginAsked(z.now, z.logins, r)
	case opTick:
		z.tick(time.Duration(n) * 100 * time.Millisecond)
	case opDrain:
		z.e.Drain(z.now)
	case opSlow:
		z.slow = n%2 == 0
	case opReload:
		z.reload(n)
	case opCommand:
		z.command(n)
	}
	z.settle()
	z.count()
}

// count compares what counts against the limits of several pools with the servers that there are.
func (z *fuzzed) count() {
	servers, used, hungry := 0, 0, 0
	for _, p := range z.e.pools {
		servers += p.Total()
		if p.hungry {
			hungry++
		}
		if p.Checking < 0 || p.Checking > p.Live {
			z.t.Fatalf("%d of %d servers are asked", p.Checking, p.Live)
		}
	}
	for _, q := range z.e.quotas.databases {
		used += q.Used
		hungry -= q.hungry
	}
	if servers != used || hungry != 0 {
		z.t.Fatalf("%d servers, and %d counted; %d hungry pools not counted", servers, used, hungry)
	}
}

// reload changes, by the bits of n, where the database is, whether it is configured, sizes, mode, and waits.
func (z *fuzzed) reload(n int) {
	cfg := z.cfg
	db := cfg.Databases[0]
	if n&1 != 0 {
		db.Host = "pg2"
	}
	if n&2 != 0 && n&4 != 0 {
		db.Name = "another"
	}
	if n&8 != 0 {
		db.PoolSize = config.Give(1 + n&3)
	}
	cfg.Databases = []config.Database{db}
	if n&16 != 0 {
		cfg.Users = []config.User{{Name: "u", Mode: config.Give(config.Mode(n >> 5 & 1))}}
	}
	if n&64 != 0 {
		cfg.Timeouts.QueryWait, cfg.Timeouts.ServerIdle = time.Second, 10*time.Millisecond
	}
	if n&32 != 0 {
		cfg.Pool.Bounds = config.Bounds{MinSize: n & 1, ReserveSize: n >> 1 & 1, DBServers: 1 + n&3, UserServers: n >> 2 & 3}
		cfg.Timeouts.Reserve, cfg.Timeouts.ServerLife = time.Millisecond, 20*time.Millisecond
		cfg.Pool.Check.Delay, cfg.Pool.RoundRobin, cfg.Pool.FastClose = time.Duration(n&7)*time.Millisecond, n&2 != 0, n&4 != 0
	}
	if n&128 != 0 {
		cfg.Cancel.PerUpstream = 1
	}
	z.e.Reconfigure(z.now, cfg)
	for _, p := range z.e.pools {
		if p.closed != (db.Name != "db") || !p.closed && p.Idle() > 0 && p.Live+p.Dialing+p.Ghosts > p.share.Size {
			z.t.Fatalf("after a reload the pool is closed: %v, of %d servers, %d idle, size %d", p.closed, p.Live, p.Idle(), p.share.Size)
		}
		if p.stale < 0 || p.stale > p.Dialing {
			z.t.Fatalf("%d of %d dials are stale", p.stale, p.Dialing)
		}
	}
}

// take takes one out of a list.
func take[T any](list *[]T, n int) (one T, ok bool) {
	if len(*list) == 0 {
		return one, false
	}
	i := n % len(*list)
	one = (*list)[i]
	*list = slices.Delete(*list, i, i+1)
	return one, true
}

// data gives the next n bytes of a stream to one of the connections on that side, spread by their number.
func (z *fuzzed) data(stream *[]byte, n int, client bool) {
	k := min(n, len(*stream))
	var side []Conn
	for _, c := range z.conns {
		if p := z.e.peer(c); (p.client != nil) == client && p.conn != 0 {
			side = append(side, c)
		}
	}
	if len(side) == 0 {
		return
	}
	c := side[n%len(side)]
	if !client { // rather to one that is awaited
		for _, s := range side {
			if z.e.peer(s).server.cl != nil {
				c = s
			}
		}
	}
	b := append([]byte(nil), (*stream)[:k]...)
	*stream = (*stream)[k:]
	z.e.Data(z.now, c, Buf{Bytes: b, More: n%16 == 15})
	for i := range b {
		b[i] = 0xdd
	}
}

func (z *fuzzed) open() Conn {
	z.last++
	c := MakeConn(z.last, 1)
	z.conns = append(z.conns, c)
	return c
}

func (z *fuzzed) ended(c Conn) {
	if i := slices.Index(z.conns, c); i >= 0 {
		z.conns = slices.Delete(z.conns, i, i+1)
		z.queued[c] = 0
		z.e.Closed(z.now, c, nil)
	}
}

func (z *fuzzed) settle() {
	for len(z.closing) > 0 {
		c := z.closing[0]
		z.closing = z.closing[1:]
		z.ended(c)
	}
	for i := 0; i < len(z.conns) && !z.slow; i++ {
		if c := z.conns[i]; z.queued[c] > 0 {
			n := z.queued[c]
			z.queued[c] = 0
			z.e.Sent(z.now, c, n)
		}
	}
}

func (z *fuzzed) tick(d time.Duration) {
	for end := z.now + d; ; z.settle() {
		if z.wake == 0 || z.wake > end {
			z.now = end
			return
		}
		z.now, z.wake = max(z.now, z.wake), 0
		z.e.Tick(z.now)
	}
}

// end lets everything come to its end: connections close, dials fail, cancels are answered.
func (z *fuzzed) end() {
	z.slow = false
	z.e.Drain(z.now)
	z.settle()
	for range 100 {
		for len(z.conns) > 0 {
			z.ended(z.conns[0])
			z.settle()
		}
		for len(z.dials) > 0 {
			z.do(opDialFailed, 1, nil, nil)
		}
		for len(z.orders) > 0 {
			z.do(opReady, 0, nil, nil)
		}
		for len(z.going) > 0 {
			z.do(opDone, 1, nil, nil)
		}
		z.tick(time.Minute)
	}
	if z.e.clients != 0 || z.e.present != 0 || len(z.e.orders) != 0 || len(z.e.servers) != 0 || len(z.e.pools) != 0 {
		z.t.Fatalf("left: clients %d and %d, orders %d, servers %d, pools %d", z.e.clients, z.e.present, len(z.e.orders), len(z.e.servers), len(z.e.pools))
	}
	if n, m := len(z.e.quotas.databases)+len(z.e.quotas.users), len(z.e.census.databases)+len(z.e.census.users); n != 0 || m != 0 {
		z.t.Fatalf("left: %d quotas, and clients counted in %d", n, m)
	}
	for _, u := range z.e.upstreams {
		if u.orders != 0 {
			z.t.Fatalf("%d orders are still counted", u.orders)
		}
	}
	for id, n := range z.tickets {
		if *n != [2]int{1, 1} {
			z.t.Fatalf("ticket %d was released %d times and settled %d times", id, n[0], n[1])
		}
	}
	if !z.e.drained {
		z.t.Fatal("the drain has not ended")
	}
}

func (z *fuzzed) to(c Conn, n int) {
	if slices.Contains(z.closing, c) {
		z.t.Fatal("something is sent to a connection that is closed")
	}
	z.queued[c] += n
}

func (z *fuzzed) Forward(to Conn, b Buf, from, n int) { _ = b.Bytes[from : from+n]; z.to(to, n) }
func (z *fuzzed) Send(to Conn, p []byte)              { z.to(to, len(p)) }
func (z *fuzzed) Pause(c Conn)                        { z.to(c, 0) }
func (z *fuzzed) Resume(c Conn)                       { z.to(c, 0) }
func (z *fuzzed) Dial(s Server, _ Target)             { z.dials = append(z.dials, s) }
func (z *fuzzed) CloseSide(Side)                      {}
func (z *fuzzed) Carry(o Order, _ Server, _ Side)     { z.orders = append(z.orders, o) }
func (z *fuzzed) Release(t Ticket)                    { z.tickets[t][0]++ }
func (z *fuzzed) Wake(at time.Duration)               { z.wake = at }

func (z *fuzzed) Close(c Conn, _ How) {
	if c == 0 || slices.Contains(z.closing, c) {
		z.t.Fatalf("connection %x is closed twice", c)
	}
	z.closing = append(z.closing, c)
}

func (z *fuzzed) Go(o Order, write bool) {
	if write {
		z.going = append(z.going, o)
	}
}

func (z *fuzzed) Admit(l Login, v Verdict) {
	c, ok := z.pending[l]
	if !ok {
		z.t.Fatal("a login is answered twice")
	}
	delete(z.pending, l)
	if v.OK {
		z.keys = append(z.keys, clientKey{v.PID, v.Key})
		return
	}
	i := slices.Index(z.conns, c)
	z.conns = slices.Delete(z.conns, i, i+1) // never adopted
}

func (z *fuzzed) Emit(e event.Event) {
	if s, ok := e.(event.CancelSettled); ok && s.Ticket != 0 {
		z.tickets[Ticket(s.Ticket)][1]++
	}
}

// command gives one of the console's, and looks at what it showed.
func (z *fuzzed) command(n int) {
	database := []string{"db", ""}[n/8%2]
	switch n % 8 {
	case 0, 1:
		if z.e.Pause(z.now, database) && z.e.Pausing(z.now, database) == event.NotPaused {
			z.t.Fatal("a pause is none")
		}
	case 2, 3:
		z.e.Resume(z.now, database)
	case 4:
		z.e.Reconnect(z.now, database)
	case 5:
		z.e.Kill(z.now, database)
	case 6:
		if list := z.e.Clients(z.now); len(list) > 0 && !z.e.KillClient(z.now, list[n/16%len(list)].PID) {
			z.t.Fatal("a client that is shown cannot be let go")
		}
	}
	for _, p := range z.e.pools {
		if p.paused && p.Idle() > 0 {
			z.t.Fatalf("%d servers rest in a pause", p.Idle())
		}
	}
	for _, p := range z.e.Snapshot(z.now).Pools {
		if n := p.ServersActive + p.ServersIdle + p.ServersCleaning; n != z.e.pools[poolName{p.Database, p.User}].Live {
			z.t.Fatalf("%d servers are shown, %d live", n, z.e.pools[poolName{p.Database, p.User}].Live)
		}
	}
	z.e.Servers(z.now)
}
