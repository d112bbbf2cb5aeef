package sim

import (
	"io"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/wire"
)

// Machine is what the gate drives: the production engine, or a deaf stand-in for the contract suite.
type Machine interface {
	LoginAsked(now time.Duration, l engine.Login, r engine.Request)
	Data(now time.Duration, c engine.Conn, b engine.Buf)
	Sent(now time.Duration, c engine.Conn, n int)
	Closed(now time.Duration, c engine.Conn, err error)
	Dialed(now time.Duration, s engine.Server, c engine.Conn, info engine.ServerInfo)
	DialFailed(now time.Duration, s engine.Server, f engine.Failure)
	CancelTarget(pid uint32, key []byte) (engine.Conn, bool)
	CancelRequested(now time.Duration, t engine.Ticket, r engine.CancelRequest)
	CancelReady(now time.Duration, o engine.Order)
	CancelDone(now time.Duration, o engine.Order, r engine.Result)
	Tick(now time.Duration)
	Resolved(now time.Duration, host string, addrs []string)
	Reconfigure(now time.Duration, c config.Config)
	Drain(now time.Duration)
	Ending(c engine.Conn) bool
	Told(now time.Duration, c engine.Conn)
}

// gate implements engine.Outside on virtual connections.
type gate struct {
	w *World
	m Machine

	conns     []*conn // by index
	gens      []uint32
	free      []uint32
	servers   map[engine.Server]*conn
	dialing   [len(clientUsers)]int
	soleDials [len(clientUsers)]int // of these, those for replication
	orders    map[engine.Order]*order
	judging   *client  // whose request is being judged
	wire      []*order // those under way, oldest first
	sides     map[engine.Side]*side
	logins    []*client // by Login - 1
	answers   []bool    // of logins

	current            *lent // what Data lends right now
	lends              uint32
	inside             bool                   // the engine is running
	dialed             [len(clientUsers)]bool // and has opened a server
	mark               uint64
	wakes              uint64
	wakeAt             time.Duration
	drained            int
	drainAt, drainedAt time.Duration

	settings reloads
	paused   bool            // no server may be opened
	disabled bool            // the database is
	at       config.Database // where the database is, or was last
	hosts    []*host
	renewed  time.Duration // when the engine was told last to open servers anew, or settings changed
	starved  starved
	closures [len(clientUsers)][]time.Duration // of servers
	turn     turn
}

var _ engine.Outside = (*gate)(nil)

// clientUsers are the users that clients log in as: each has a pool of its own.
var clientUsers = [2]string{"u", "v"}

// errReset is what Closed says of a connection that was reset.
type errReset struct{}

func (errReset) Error() string { return "connection reset by peer" }

// login is a client's way in: the login's goroutine, then LoginAsked.
func (g *gate) login(c *client, far *end) {
	w := g.w
	w.after(w.between(50*time.Microsecond, 3*time.Millisecond), func() {
		g.logins = append(g.logins, c)
		g.answers = append(g.answers, false)
		l := engine.Login(len(g.logins))
		k := g.reserve()
		k.client, c.conn, c.far = c, k, far
		r := engine.Request{Conn: k.id, Remote: "10.0.0." + c.name(), User: clientUsers[c.user], Database: theDatabase, Version: wire.V30}
		if c.v32 {
			r.Version = wire.V32
		}
		for i := range r.Random {
			r.Random[i] = byte(w.rng.Uint32())
		}
		r.Params = c.askFor()
		w.tracef("%s asks to be let in", c.name())
		c.unconfigured, c.disabled = !g.settings.configured(), g.disabled
		g.enter(func() { g.m.LoginAsked(w.now, l, r) })
	})
}

// Admit answers LoginAsked.
func (g *gate) Admit(l engine.Login, v engine.Verdict) {
	w := g.w
	if int(l) < 1 || int(l) > len(g.logins) || g.answers[l-1] {
		w.violate("contract", "login %d is answered twice, or was never asked", l)
		return
	}
	g.answers[l-1] = true
	c := g.logins[l-1]
	c.letIn, c.given = w.now, v.PID
	k := c.conn
	if w.trace != nil {
		w.tracef("engine: admit %s %v", c.name(), v.OK)
	}
	w.after(w.between(0, time.Millisecond), func() {
		switch {
		case k.over: // abandoned before
		case !v.OK:
			g.refused(c, v.Refusal)
		case c.gone() && w.chance(0.5):
			k.abandon(errReset{})
		default:
			g.checkLetIn(c)
			c.checkDisabled(true, "")
			k.adopt(c.far, nil)
			c.admitted(&v)
		}
	})
}

// refused is the end of a login that was not let in.
func (g *gate) refused(c *client, refusal []byte) {
	w := g.w
	code := ""
	if len(refusal) > 5 && field(refusal[5:], 'V') == "FATAL" {
		code = field(refusal[5:], 'C')
	}
	if code == "" {
		w.violate("P5", "%s is refused without a FATAL", c.name())
	}
	if !c.checkDisabled(false, field(refusal[min(5, len(refusal)):], 'M')) {
		w.checkRefusal(c, code)
	}
	c.refuse(code)
	c.far.close()
	c.conn.abandon(io.EOF)
}

// giveUp is a client that goes away while its login waits for the verdict; the login's goroutine may notice.
func (g *gate) giveUp(c *client) {
	if k := c.conn; k != nil && !k.adopted && g.w.chance(0.5) {
		k.abandon(io.EOF)
	}
}

// Dial opens a server connection.
func (g *gate) Dial(s engine.Server, t engine.Target) {
	w := g.w
	user := 0
	if t.User == clientUsers[1] {
		user = 1
	}
	g.dialed[user] = true
	g.checkPlace(t)
	g.checkPaused()
	place, h := g.settings.place, g.hostAt(t.Host)
	g.checkChoice(h)
	sole := g.soleOf(t)
	ended, addr := g.dials(h, user, sole), h.address()
	d := w.between(200*time.Microsecond, 10*time.Millisecond)
	w.tracef("engine: dial server %d at %s", s, t.Host)
	fails := func(d time.Duration, f engine.Failure, good bool) {
		w.after(d, func() {
			ended(good)
			w.tracef("server %d: dial fails: %s", s, f.Message)
			g.enter(func() { g.m.DialFailed(w.now, s, f) })
		})
	}
	fail := func(d time.Duration, f engine.Failure) {
		w.faults.dials++
		fails(d, f, false)
	}
	after, f, down := w.failDial(h, t)
	d = max(d, after)
	switch {
	case down:
		fail(after, f)
		return
	case w.fault(w.k.badDials / 3):
		fail(t.Timeout, engine.Failure{Message: "timeout"})
		return
	case w.fault(w.k.badDials / 3):
		fail(d, engine.Failure{Message: "connection refused"})
		return
	case w.fault(w.k.badDials / 3):
		fail(d, engine.Failure{Refused: true, Code: "57P03", Message: "the database system is starting up"})
		return
	}
	w.after(d, func() {
		if len(w.pm.backends) >= w.pm.maxConns && !w.calm {
			fail(0, engine.Failure{Refused: true, Code: "53300", Message: "sorry, too many clients already"})
			return
		}
		if h.now != well && h.now != slow && !w.calm {
			fail(0, engine.Failure{Message: "reset"})
			return
		}
		if f := refusesSole(t.Params); f.Code != "" {
			fails(0, f, true)
			return
		}
		ended(true)
		near, far := w.connect(nobody{}, nobody{})
		b := w.pm.fork(far, user)
		b.place, b.host, b.addr = place, t.Host, addr
		if sole != nil {
			b.becomes(sole, t.Params)
		}
		k := g.reserve()
		k.server, k.backend, b.conn, k.sees.holder = s, b, k, sole
		k.end, k.adopted, near.owner = near, true, k
		g.servers[s] = k
		info := engine.ServerInfo{PID: uint32(b.pid), HasKey: !w.pm.keyless, Known: w.k.statement, Addr: addr, Extras: w.pm.checks}
		if w.pm.keyless {
			info.PID = 0
		}
		info.Params = append(info.Params, wire.Param{Name: "server_version", Value: "18.4"})
		for i := range reported {
			info.Params = append(info.Params, wire.Param{Name: settingNames[i], Value: b.now.value[i]})
		}
		w.tracef("server %d: dialed %s", s, b.name())
		g.enter(func() { g.m.Dialed(w.now, s, k.id, info) })
	})
}

// Emit takes a fact.
func (g *gate) Emit(e event.Event) {
	w := g.w
	if w.trace != nil {
		w.tracef("engine: %T %+v", e, e)
	}
	switch e := e.(type) {
	case event.CancelSettled:
		if w.proc != nil && away(engine.Ticket(e.Ticket)) {
			w.proc.settled(e)
			return
		}
		w.noteOutcome(e)
	case event.ClientLeft:
		for _, c := range w.clients {
			if c.given == e.PID && c.given != 0 && !c.departed {
				c.departed = true
				break
			}
		}
	case event.Drained:
		g.drained++
		g.drainedAt = w.now
	}
}

// lateTick is how much later than asked for a Tick may come.
const lateTick = 200 * time.Microsecond

// Wake asks for a Tick; a later one replaces it.
func (g *gate) Wake(at time.Duration) {
	w := g.w
	g.wakes++
	n := g.wakes
	g.wakeAt = at
	w.at(at+w.between(0, lateTick), func() {
		if g.wakes == n {
			g.enter(func() { g.m.Tick(w.now) })
		}
	})
}

func (g *gate) drain() {
	g.w.tracef("drain begins")
	g.w.draining, g.drainAt = true, g.w.now
	g.enter(func() { g.m.Drain(g.w.now) })
	g.checkRest()
}
