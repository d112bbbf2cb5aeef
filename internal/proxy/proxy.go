package proxy

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"cancello/internal/auth"
	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/key"
	"cancello/internal/loop"

	"golang.org/x/sys/unix"
)

// Settings are what a Proxy is made of. What may be nil says so.
type Settings struct {
	Config config.Config // validated
	// Engine builds the engine around its outside. It is called once, by New.
	Engine func(engine.Outside) Engine
	// Keys is what the engine mints clients' keys with, until UseKeys.
	Keys *key.Minter
	// Verifier judges clients.
	Verifier *auth.Verifier
	// Passwords finds what to log in to servers with.
	Passwords Passwords
	// Emit takes events. It is called from any goroutine and must not block.
	Emit func(event.Event)
	Log  *slog.Logger
	// Console speaks with those who ask for the database config.Console, from the answer to their login on, until
	// they leave or ctx ends. Nil: there is no such database.
	Console func(ctx context.Context, nc net.Conn, g Guest)
	// TLS is what LoadTLS made of Config; nil: no TLS on either side.
	TLS *TLS
	// Inherited gives the listener of a place that another process opened, if there is one; kept says that its file is
	// that one's. Nil: there are none.
	Inherited func(l config.Listener) (ln net.Listener, kept bool)
	// Elsewhere carries cancels out that other processes are for. Nil: there are none.
	Elsewhere Elsewhere
	// Resolver looks up the upstreams' names; nil: the system's.
	Resolver Resolver
	// OwnProcessor says that the scheduler has a processor more than the machine, for the loop.
	OwnProcessor bool
}

// Proxy is one running gate. Create it with New, then Prepare and Start; end it with Stop.
type Proxy struct {
	set    Settings
	loop   *loop.Loop
	engine Engine
	gate   *gate
	lobby  *lobby
	fds    *descriptors
	guests guests

	config    atomic.Pointer[config.Config] // the live one
	access    atomic.Pointer[access]
	keys      atomic.Pointer[key.Minter] // those that requests are judged by where they are read
	tls       atomic.Pointer[TLS]        // the live one, never nil
	draining  atomic.Bool
	loggingIn atomic.Int64 // clients between startup packet and hand-over
	ids       atomic.Uint64
	carrying  atomic.Int64 // visits that carry a CancelRequest out
	onWire    onWire
	derived   derivedRing // of clients
	loginKeys loginRing   // for servers
	names     *names
	renamed   chan struct{} // holds one: the configuration is another
	lent      lentRing      // by clients, for servers
	brake     brake         // of addresses whose logins fail
	shortKeys shortKeys     // of clients
	guesses   guesses       // at keys, by address

	ctx       context.Context // ends with Stop
	cancel    context.CancelFunc
	entrances []*entrance
	arrivals  arrivals
	readers   readers
	hands     hands
	tidy      *tidy
	running   sync.WaitGroup // every goroutine but the loop's
	looping   sync.WaitGroup
	failed    chan error    // of the loop; holds one
	ended     chan struct{} // closed when the loop has run for the last time

	// own belongs to the loop's goroutine.
	own struct {
		logins   map[engine.Login]func(engine.Verdict) // who hears of it: nothing there calls the engine
		tickets  map[engine.Ticket]func()              // what releases it, and does not call the engine
		arrivals map[engine.Ticket]bool                // of requests that other processes passed on to this one
		orders   map[engine.Order]*order
		errands  map[*errand]struct{}
		callers  map[*caller]struct{}
		ear      []byte // what callers say is read into
		zones    *zones
		sides    map[engine.Side]*side
		servers  map[engine.Server]*backend
		serverOf map[engine.Conn]engine.Server
		// asked is what upstreams are asked for that refuse more, by host and port as configured.
		asked map[string]asking
	}
}

// New builds a Proxy that does nothing yet. The error is the operating system's: no event loop can be had.
func New(s Settings) (*Proxy, error) {
	l, err := loop.New()
	if err != nil {
		return nil, fmt.Errorf("event loop: %w", err)
	}
	if s.OwnProcessor {
		l.KeepProcessor()
	}
	p := &Proxy{set: s, loop: l, gate: newGate(), fds: newDescriptors(), failed: make(chan error, 1), ended: make(chan struct{})}
	p.onWire.free.L = &p.onWire.mu
	p.arrivals.init()
	p.hands.next = make(chan func())
	p.tidy = newTidy(debug.FreeOSMemory)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.config.Store(&s.Config)
	p.keys.Store(s.Keys)
	p.brake.began, p.guesses.began = time.Now(), time.Now()
	p.lobby = newLobby(p.fds.room(&s.Config))
	p.access.Store(&access{s.Verifier, s.Passwords})
	if s.Elsewhere == nil {
		p.set.Elsewhere = alone{}
	}
	if s.TLS == nil {
		s.TLS = &TLS{}
	}
	p.tls.Store(s.TLS)
	p.renamed = make(chan struct{}, 1)
	p.names = newNames(s.Resolver, p.resolved)
	p.own.logins = map[engine.Login]func(engine.Verdict){}
	p.own.tickets = map[engine.Ticket]func(){}
	p.own.arrivals = map[engine.Ticket]bool{}
	p.own.orders = map[engine.Order]*order{}
	p.own.errands = map[*errand]struct{}{}
	p.own.callers = map[*caller]struct{}{}
	p.own.ear = make([]byte, earSize)
	p.own.zones = newZones()
	p.own.sides = map[engine.Side]*side{}
	p.own.servers = map[engine.Server]*backend{}
	p.own.serverOf = map[engine.Conn]engine.Server{}
	p.own.asked = map[string]asking{}
	p.engine = s.Engine(outside{Loop: l, p: p})
	return p, nil
}

// Prepare listens on every configured address and runs the loop, and accepts nothing yet. After an error nothing listens;
// Stop is still due.
func (p *Proxy) Prepare() error {
	for _, l := range p.set.Config.Listeners() {
		ln, err := p.listen(l)
		if err != nil {
			p.closeListeners()
			return err
		}
		p.entrances = append(p.entrances, newEntrance(ln, l))
	}
	p.looping.Go(func() {
		defer close(p.ended)
		if err := p.loop.Run(handler{p.engine, p}); err != nil {
			p.failed <- err
		}
	})
	if p.set.Config.KeepsServers() {
		p.loop.Post(func(now time.Duration) { p.engine.Reconfigure(now, p.set.Config) })
	}
	p.running.Go(func() { p.names.follow(p.ctx, p.config.Load, p.renamed) })
	return nil
}

// Start accepts; it prepares what Prepare has not. After an error nothing listens; Stop is still due.
func (p *Proxy) Start() error {
	if p.entrances == nil {
		if err := p.Prepare(); err != nil {
			return err
		}
	}
	p.running.Go(func() { p.tidy.follow(p.ctx) })
	p.Resume()
	return nil
}

// Addrs are the addresses listened on, in the order of the configuration; ports that were 0 are real ones here.
func (p *Proxy) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(p.entrances))
	for i, e := range p.entrances {
		addrs[i] = e.Addr()
	}
	return addrs
}

// Listeners are what is listened on, in the order of the configuration.
func (p *Proxy) Listeners() []net.Listener {
	list := make([]net.Listener, len(p.entrances))
	for i, e := range p.entrances {
		list[i] = e.Listener
	}
	return list
}

// Failed tells of the one thing that a running Proxy does not survive: the operating system took its loop away.
func (p *Proxy) Failed() <-chan error { return p.failed }

// Drain lets nobody in any more and lets those who are in finish; event.Drained is emitted when the last has left.
// Listeners stay open: cancels are still taken, startup packets are answered 57P03.
func (p *Proxy) Drain() {
	if p.draining.CompareAndSwap(false, true) {
		p.loop.Post(p.engine.Drain)
	}
}

// access is who gets in, and what we get in to servers with.
type access struct {
	verifier  *auth.Verifier
	passwords Passwords
}

// Reconfigure puts a validated configuration in force: what is live at once, what concerns servers for the next
// lease, v and w for the next login. What needs a restart must not have changed.
func (p *Proxy) Reconfigure(c config.Config, v *auth.Verifier, w Passwords) {
	p.access.Store(&access{v, w})
	p.lent.drop(func(user string, k *auth.LoginKeys) bool { return !w.Userlist.Lends(user, k) })
	p.config.Store(&c)
	select {
	case p.renamed <- struct{}{}:
	default: // it will look anyway
	}
	p.fds.refresh()
	p.lobby.resize(p.fds.room(&c))
	p.loop.Post(func(now time.Duration) {
		clear(p.own.asked)
		p.engine.Reconfigure(now, c)
	})
}

// UseKeys has keys be minted and judged by m from now on. They are judged first: nobody is to be told a key that is not
// known yet. What the engine mints until it hears of it is under a secret that m has, too.
func (p *Proxy) UseKeys(m *key.Minter) {
	p.keys.Store(m)
	p.loop.Post(func(now time.Duration) { p.engine.UseKeys(now, m) })
}

// resolved tells the engine which addresses a name has now.
func (p *Proxy) resolved(host string, addrs []netip.Addr) {
	list := make([]string, len(addrs))
	for i, a := range addrs {
		list[i] = a.String()
	}
	p.loop.Post(func(now time.Duration) { p.engine.Resolved(now, host, list) })
}

// UseTLS has connections accepted and opened from now on use t. Entries that are no longer in the configuration, whose
// clients may still be here, keep what they had.
func (p *Proxy) UseTLS(t *TLS) { p.tls.Store(t.with(p.tls.Load())) }

// Stop closes everything at once and waits until all goroutines have ended.
func (p *Proxy) Stop() {
	p.cancel()
	p.loop.Post(func(time.Duration) {
		p.shutEntrances()
		p.dismissAll()
	})
	p.loop.Stop()
	p.looping.Wait()
	p.closeListeners() // not before: a number that is free again is somebody else's
	p.lobby.close()
	for e := range p.own.errands { // nobody else looks after them any more
		e.close()
	}
	for c := range p.own.callers {
		unix.Close(c.fd)
	}
	p.running.Wait()
}

func (p *Proxy) closeListeners() {
	for _, e := range p.entrances {
		e.Close()
	}
}

// bind ends every wait on nc when the Proxy stops; the function returned undoes that.
func (p *Proxy) bind(nc net.Conn) (unbind func() bool) {
	return context.AfterFunc(p.ctx, func() { nc.SetDeadline(longAgo) })
}

// longAgo as a deadline ends waits at once.
var longAgo = time.Unix(1, 0)

// random fills b from the system's source, which never fails.
func random(b []byte) { rand.Read(b) }
