package app

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"sync"
	"time"

	"cancello/internal/admin"
	"cancello/internal/auth"
	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/key"
	"cancello/internal/obs"
	"cancello/internal/peer"
	"cancello/internal/proxy"
	"cancello/internal/takeover"
)

// Options are what an App is made of.
type Options struct {
	Config config.Config
	// Load reads the configuration anew for Reload. Nil: a reload concerns the auth file alone.
	Load func() (config.Config, error)
	// Log takes a line for each event, and what goes wrong. Needed.
	Log *slog.Logger
	// Watch, if not nil, is told each event too, from any goroutine. It must not block.
	Watch func(event.Event)
	// Version is what the metrics say of the build.
	Version string
	// Getenv is os.Getenv, or what tests put in its place: PGPASSWORD, PGPASSFILE and CANCELLO_CLUSTER_SECRET are asked for.
	// Nil: nothing is set.
	Getenv func(string) string
	// Takeover has this process take the place of the one that runs at takeover_socket, if there is one.
	Takeover bool
	// Sockets are those that were opened for this process, by systemd. Nil: none. Start closes what it does not use.
	Sockets *takeover.Sockets
}

// App is one running Cancello.
type App struct {
	log    *slog.Logger
	load   func() (config.Config, error)
	getenv func(string) string
	mock   []byte // secret, the same for each Verifier
	own    []byte // secret, the cluster's where there is none

	reloading sync.Mutex
	config    config.Config // in force; guarded by reloading
	secrets   secrets       // in force; guarded by reloading
	minter    *key.Minter   // of this process under them; guarded by reloading

	proxy   *proxy.Proxy
	engine  *engine.Engine // touched on the loop alone
	hub     *peer.Hub      // the links to other processes
	http    *admin.HTTP    // nil: none
	console *admin.Console
	cancels admin.Cancels

	succession succession
	sampling   sync.WaitGroup
	life       context.Context // ends with Stop
	endLife    func()
	sink       *obs.Sink
	left       chan struct{} // closed when a drain has seen the last client leave
	drained    chan struct{}
	stopAsked  chan struct{}
	once       struct{ drained, stopped, asked sync.Once }
}

// Start checks the configuration, listens, and lets clients in. It may look up the upstreams' names, for a few
// seconds at most.
func Start(o Options) (*App, error) {
	a, err := build(o)
	if err != nil {
		return nil, err
	}
	err = a.proxy.Prepare()
	if err == nil {
		err = a.openCluster()
	}
	if err == nil {
		err = a.enter(o.Config.Takeover)
	}
	if err != nil {
		a.Stop()
		return nil, err
	}
	a.sampling.Go(func() { a.console.Sample(a.life) })
	a.sampling.Go(a.conclude)
	return a, nil
}

// build makes all parts, and claims what the running process has, where this one is to take its place. Stop is due, after an
// error nothing.
func build(o Options) (*App, error) {
	if err := config.Validate(&o.Config); err != nil {
		return nil, err
	}
	users, err := readUserlist(o.Config.Auth.File)
	if err != nil {
		return nil, err
	}
	shared, err := readSecrets(&o.Config, o.Getenv)
	if err != nil {
		return nil, err
	}
	secrets, err := proxy.LoadTLS(&o.Config)
	if err != nil {
		return nil, err
	}
	if err := lookUp(o.Config.Databases); err != nil {
		return nil, err
	}
	if err := checkDescriptors(o.Config); err != nil {
		return nil, err
	}
	roomy := makeRoomForLoop()

	a := &App{
		log: o.Log, load: o.Load, getenv: o.Getenv, mock: secret(32), own: secret(32), config: o.Config,
		sink: obs.New(o.Log), left: make(chan struct{}), drained: make(chan struct{}), stopAsked: make(chan struct{}),
	}
	a.life, a.endLife = context.WithCancel(context.Background())
	incarnation := [4]byte(secret(4))
	if err := a.claim(o, incarnation); err != nil {
		a.succession.close()
		a.sink.Close()
		return nil, err
	}
	a.console = admin.NewConsole(gate{a}, &a.cancels, o.Version, o.Log)
	a.secrets = a.succession.secrets(shared.orOwn(a.own))
	a.minter = key.NewMinter(uint16(o.Config.Cluster.Node), incarnation, a.secrets.list()...)
	a.proxy, err = proxy.New(proxy.Settings{
		Config: o.Config,
		Engine: func(out engine.Outside) proxy.Engine {
			a.engine = engine.New(o.Config, out, a.minter)
			return a.engine
		},
		Keys:      a.minter,
		Verifier:  auth.NewVerifier(method(o.Config.Auth.Method), users, a.mock),
		Passwords: passwords(users, o.Getenv),
		Emit:      func(e event.Event) { a.emit(e, o.Watch) },
		Log:       o.Log,
		Console: func(ctx context.Context, nc net.Conn, g proxy.Guest) {
			a.console.Serve(ctx, nc, admin.Guest(g))
		},
		TLS:       secrets,
		Inherited: a.inherited,
		Elsewhere: elsewhere{a},

		OwnProcessor: roomy,
	})
	if err != nil {
		a.succession.close()
		a.sink.Close()
		return nil, err
	}
	if a.hub, err = a.newHub(o.Config.Cluster.Node, func(e event.Event) { a.emit(e, o.Watch) }); err != nil {
		a.Stop()
		return nil, err
	}
	if err := a.listenHTTP(o); err != nil {
		a.Stop()
		return nil, err
	}
	return a, nil
}

// conclude ends a drain, once the last client has left: not on the loop, which has outcomes to tell.
func (a *App) conclude() {
	select {
	case <-a.left:
		a.tellKin()
		close(a.drained)
	case <-a.life.Done():
	}
}

// emit passes an event to all who want it.
func (a *App) emit(e event.Event, watch func(event.Event)) {
	a.sink.Emit(e)
	if c, ok := e.(event.CancelSettled); ok {
		a.cancels.Add(time.Now(), c)
	}
	if watch != nil {
		watch(e)
	}
	if _, ok := e.(event.Drained); ok {
		a.once.drained.Do(func() { close(a.left) })
	}
}

// Addrs are the addresses listened on, in the order of the configuration, with the real port where it was 0.
func (a *App) Addrs() []net.Addr { return a.proxy.Addrs() }

// Counts is how many cancels have reached each outcome, indexed by event.Outcome.
func (a *App) Counts() [event.Outcomes]uint64 { return a.sink.Counts() }

// Drain turns new clients away and lets those that are in finish. Cancels are still taken. See Drained.
func (a *App) Drain() { a.proxy.Drain() }

// Drained is closed when, after Drain, the last client has left.
func (a *App) Drained() <-chan struct{} { return a.drained }

// StopAsked is closed when somebody asks at the console for the end. It is for the caller to Stop then.
func (a *App) StopAsked() <-chan struct{} { return a.stopAsked }

// Failed tells of the one failure that a running App does not survive.
func (a *App) Failed() <-chan error { return a.proxy.Failed() }

// Stop closes everything at once, and writes the last log lines. A second call does nothing.
func (a *App) Stop() {
	a.once.stopped.Do(func() {
		if p := a.succession.place; p != nil { // first: what follows takes its time, and another process may be taking over
			p.Stopping()
		}
		a.endLife()
		a.sampling.Wait()
		if a.http != nil {
			a.http.Close()
		}
		if a.hub != nil {
			a.hub.Stop()
		}
		a.succession.close()
		a.proxy.Stop()
		a.sink.Close()
	})
}

// secret is n bytes from the system's source.
func secret(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}

// method is the word of the configuration in auth's terms.
func method(m config.Method) auth.Method {
	switch m {
	case config.Plain:
		return auth.Plain
	case config.MD5:
		return auth.MD5
	case config.SCRAM:
		return auth.SCRAM
	case config.Cert:
		return auth.Cert
	}
	return auth.Trust
}
