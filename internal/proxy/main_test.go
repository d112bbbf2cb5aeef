package proxy

import (
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"cancello/internal/auth"
	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/key"
	"cancello/internal/pgtest/fake"
	"cancello/internal/sqlstate"
	"cancello/internal/wire"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is an engine that does what a test tells it. All of it runs on the loop; what it saw comes out of channels
// that are large enough never to block.
type script struct {
	out engine.Outside

	login   func(s *script, now time.Duration, l engine.Login, r engine.Request) // nil: admit
	data    func(s *script, c engine.Conn, b engine.Buf)                         // nil: only recorded
	target  func(pid uint32, key []byte) (engine.Conn, bool)
	cancel  func(s *script, t engine.Ticket, r engine.CancelRequest) // nil: release
	ready   func(s *script, o engine.Order)                          // nil: go
	sent    func(c engine.Conn)
	drained chan struct{}
	unknown bool // all keys are

	logins   chan engine.Request
	got      chan gotData
	closed   chan gotClosed
	dialed   chan gotDialed
	failed   chan engine.Failure
	cancels  chan engine.CancelRequest
	readied  chan engine.Order
	done     chan gotDone
	resolved chan gotResolved
}

type gotResolved struct {
	host  string
	addrs []string
}

type gotData struct {
	conn  engine.Conn
	bytes string
}

type gotClosed struct {
	conn engine.Conn
	err  error
}

type gotDialed struct {
	server engine.Server
	conn   engine.Conn
	info   engine.ServerInfo
}

type gotDone struct {
	order  engine.Order
	result engine.Result
}

func newScript() *script {
	const room = 10000
	return &script{
		logins: make(chan engine.Request, room), got: make(chan gotData, room), closed: make(chan gotClosed, room),
		dialed: make(chan gotDialed, room), failed: make(chan engine.Failure, room), cancels: make(chan engine.CancelRequest, room),
		readied: make(chan engine.Order, room), done: make(chan gotDone, room), resolved: make(chan gotResolved, room), drained: make(chan struct{}),
	}
}

// Our pid, key and parameters in a scripted admission.
var (
	testPID = uint32(1<<30 | 7)
	testKey = []byte{1, 2, 3, 4}
)

// testMinter is that of node 0.
var testMinter = key.NewMinter(0, [4]byte{1, 2, 3, 4}, []byte("the secret of a test's own keys!"))

func admitted() engine.Verdict {
	return engine.Verdict{OK: true, Params: []wire.Param{{Name: "server_version", Value: "18.4"}, {Name: "TimeZone", Value: "UTC"}}, PID: testPID, Key: testKey}
}

func (s *script) LoginAsked(now time.Duration, l engine.Login, r engine.Request) {
	s.logins <- r
	if s.login != nil {
		s.login(s, now, l, r)
		return
	}
	s.out.Admit(l, admitted())
}

func (s *script) Passage(time.Duration, engine.Request) (engine.Target, sqlstate.Error) {
	return engine.Target{}, sqlstate.DatabaseNotConfigured("any")
}

func (s *script) PassageFailed(time.Duration, engine.Request, engine.Target, engine.Failure) {}

func (s *script) Passed(_ time.Duration, l engine.Login, _ engine.Request, _ engine.Target, _ engine.Conn, _ engine.ServerInfo, _ bool) {
	s.out.Admit(l, engine.Verdict{})
}

func (s *script) Data(_ time.Duration, c engine.Conn, b engine.Buf) {
	s.got <- gotData{c, string(b.Bytes)}
	if s.data != nil {
		s.data(s, c, b)
	}
}

func (s *script) Sent(_ time.Duration, c engine.Conn, _ int) {
	if s.sent != nil {
		s.sent(c)
	}
}

func (s *script) Closed(_ time.Duration, c engine.Conn, err error) { s.closed <- gotClosed{c, err} }

func (s *script) Dialed(_ time.Duration, id engine.Server, c engine.Conn, info engine.ServerInfo) {
	s.dialed <- gotDialed{id, c, info}
}

func (s *script) DialFailed(_ time.Duration, _ engine.Server, f engine.Failure) { s.failed <- f }

func (s *script) CancelTarget(pid uint32, key []byte) (engine.Conn, bool) {
	if s.target != nil {
		return s.target(pid, key)
	}
	return 0, false
}

func (s *script) CancelRequested(_ time.Duration, t engine.Ticket, r engine.CancelRequest) {
	s.cancels <- r
	if s.cancel != nil {
		s.cancel(s, t, r)
		return
	}
	s.out.Release(t)
}

func (s *script) CancelReady(_ time.Duration, o engine.Order) {
	s.readied <- o
	if s.ready != nil {
		s.ready(s, o)
		return
	}
	s.out.Go(o, true)
}

func (s *script) CancelDone(_ time.Duration, o engine.Order, r engine.Result) {
	s.done <- gotDone{o, r}
}
func (s *script) Tick(time.Duration)                       {}
func (s *script) Ending(engine.Conn) bool                  { return false }
func (s *script) Told(time.Duration, engine.Conn)          {}
func (s *script) Reconfigure(time.Duration, config.Config) {}
func (s *script) Unknown(uint32, []byte) bool              { return s.unknown }
func (s *script) UseKeys(time.Duration, *key.Minter)       {}
func (s *script) Resolved(_ time.Duration, host string, addrs []string) {
	s.resolved <- gotResolved{host, addrs}
}
func (s *script) Drain(time.Duration) { close(s.drained) }

// world is a Proxy around a script.
type world struct {
	*Proxy
	*script
	t      testing.TB
	mu     sync.Mutex
	events []event.Event
}

// option changes the settings before the Proxy is made.
type option func(*Settings)

func withVerifier(m auth.Method, userlist string) option {
	return func(s *Settings) {
		list, err := auth.ParseUserlist("users", []byte(userlist))
		if err != nil {
			panic(err)
		}
		s.Verifier = auth.NewVerifier(m, list, make([]byte, 32))
	}
}

func newConfig() *config.Config {
	c := config.Default()
	c.Listen = []string{"127.0.0.1:0"}
	c.Auth.FailedDelay, c.Cancel.FailedDelay = 0, 0 // who tests them sets them
	return &c
}

func newWorld(t testing.TB, s *script, opts ...option) *world {
	t.Helper()
	w := &world{script: s, t: t}
	c := *newConfig()
	set := Settings{
		Config:   c,
		Engine:   func(out engine.Outside) Engine { s.out = out; return s },
		Keys:     testMinter,
		Verifier: auth.NewVerifier(auth.Trust, nil, make([]byte, 32)),
		Emit: func(e event.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for _, o := range opts {
		o(&set)
	}
	p, err := New(set)
	if err != nil {
		t.Fatal(err)
	}
	w.Proxy = p
	for _, pid := range []uint32{testPID, testPID + 1} { // there are such clients, wherever they have come in
		p.shortKeys.admit(pid, testKey)
	}
	t.Cleanup(p.Stop)
	return w
}

func start(t testing.TB, s *script, opts ...option) *world {
	t.Helper()
	w := newWorld(t, s, opts...)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) addr() string { return w.Addrs()[0].String() }

// on runs f on the loop and waits for it.
func (w *world) on(f func(now time.Duration)) {
	w.t.Helper()
	done := make(chan struct{})
	if !w.loop.Post(func(now time.Duration) { defer close(done); f(now) }) {
		w.t.Fatal("the loop has stopped")
	}
	next(w.t, done, "what was posted to run")
}

// settled are the outcomes emitted so far.
func (w *world) settled() []event.Outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []event.Outcome
	for _, e := range w.events {
		if c, ok := e.(event.CancelSettled); ok {
			all = append(all, c.Outcome)
		}
	}
	return all
}

// next takes the next value out of c or fails the test.
func next[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	return fake.Next(t, c, what)
}

// until asks again and again, at most as long as a test is patient.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	limit := time.After(fake.Patience)
	for !ok() {
		select {
		case <-again.C:
		case <-limit:
			t.Fatalf("not within %v: %s", fake.Patience, what)
		}
	}
}
