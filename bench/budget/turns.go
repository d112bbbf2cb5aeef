package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/key"
	"cancello/internal/loop"
	"cancello/internal/pgtest/shorthand"
	"cancello/internal/wire"
)

// work is one kind of query, and who asks it.
type work struct {
	name             string
	clients, servers int
	tls              bool // between client and proxy
	// before is asked once by each client, and answered; then question is, over and over.
	before, greeting string
	question, answer string
}

const reply = `T | D 20 | C "SELECT 1" | Z I`

// works are what the budget is about.
var works = []work{
	{name: "simple", clients: 1, servers: 1, question: `Q "select 1"`, answer: reply},
	{name: "extended", clients: 1, servers: 1, question: `P "" "select $1" | B "" "" | D P "" | E | S`, answer: "1 | 2 | " + reply},
	{name: "prepared", clients: 1, servers: 1, before: `P "s" "select $1" | S`, greeting: `1 | Z I`, question: `B "" "s" | E | S`, answer: `2 | D 20 | C "SELECT 1" | Z I`},
	{name: "line", clients: 10, servers: 2, question: `Q "select 1"`, answer: reply}, // most of them wait for a server
	{name: "rows", clients: 1, servers: 1, question: `Q "select 1"`, answer: `T` + many(` | D 100`, 100) + ` | C "SELECT 100" | Z I`},
	{name: "copy", clients: 1, servers: 1, question: `Q "copy"` + many(` | d 100`, 100) + ` | c`, answer: `G | C "COPY 100" | Z I`},
	{name: "tls", clients: 1, servers: 1, tls: true, question: `Q "select 1"`, answer: reply},
}

func many(s string, n int) string {
	return string(slices.Repeat([]byte(s), n))
}

// end is how one side of a conversation is seen from here: what we write is what the loop reads.
type end interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
}

// socket is a plain end. Its calls are as bare as the loop's own, and nobody waits in them.
type socket int

func (s socket) Read(p []byte) (int, error)  { return unix.Read(int(s), p) }
func (s socket) Write(p []byte) (int, error) { return unix.Write(int(s), p) }

// peer is the other end of one of the loop's connections.
type peer struct {
	end
	client bool
	buf    []byte // what is not read yet: less than a message
	turns  int    // answers taken, or questions
}

// turns is a client's or several clients' queries through engine and loop, with everybody on the loop's own thread: as
// soon as the loop has written to a socket its other end is read here, and answered. So nothing depends on what else the
// machine does, and the same work costs the same instructions.
type turns struct {
	*loop.Loop
	work
	engine *engine.Engine
	peers  map[engine.Conn]*peer
	near   map[engine.Login]nearEnd // clients that are not let in yet

	before, greeting, question, answer []byte
	scratch                            []byte

	warm, want int // queries before the memory is looked at, and queries in all
	done       int
	mallocs    [2]uint64 // at warm and at want
	failed     error
}

type nearEnd struct {
	conn engine.Conn
	fd   int
	tls  *loop.TLS
	peer *peer
}

// errTwoSteps says that a message took more than a read: the sockets are too small for the work.
var errTwoSteps = errors.New("a socket took less than a whole answer")

// runTurns does the work n times, and says how many allocations each query of the second half was.
func runTurns(w work, n int) (allocations float64, err error) {
	l, err := loop.New()
	if err != nil {
		return 0, err
	}
	t := &turns{
		Loop: l, work: w, peers: map[engine.Conn]*peer{}, near: map[engine.Login]nearEnd{},
		scratch: make([]byte, 64<<10), warm: n / 2, want: n,
	}
	for text, b := range map[*[]byte]string{&t.question: w.question, &t.before: w.before} {
		if *text, err = shorthand.Read(shorthand.Client, b); err != nil {
			return 0, err
		}
	}
	for text, b := range map[*[]byte]string{&t.answer: w.answer, &t.greeting: w.greeting} {
		if *text, err = shorthand.Read(shorthand.Server, b); err != nil {
			return 0, err
		}
	}
	cfg := config.Default()
	cfg.Databases = []config.Database{{Name: "db", Host: "pg", Port: 5432}}
	cfg.Pool.Mode = config.Transaction
	cfg.Pool.DefaultSize = w.servers
	t.engine = engine.New(cfg, t, key.NewMinter(0, [4]byte{1}, []byte("the secret of a count, 32 bytes.")))
	for range w.clients {
		if err := t.login(); err != nil {
			return 0, err
		}
	}
	if err := l.Run(t); err != nil {
		return 0, err
	}
	if t.failed == nil && t.done < t.want {
		t.failed = fmt.Errorf("%d of %d queries were answered", t.done, t.want)
	}
	return float64(t.mallocs[1]-t.mallocs[0]) / float64(t.want-t.warm), t.failed
}

// login has a client ask to be let in.
func (t *turns) login() error {
	near, far, err := pair()
	if err != nil {
		return err
	}
	n := nearEnd{conn: t.Reserve(), fd: near, peer: &peer{end: socket(far), client: true}}
	if t.tls {
		if n, err = shake(n, near, far); err != nil {
			return err
		}
	}
	id := engine.Login(len(t.near) + 1)
	t.near[id] = n
	t.Post(func(now time.Duration) {
		t.engine.LoginAsked(now, id, engine.Request{Conn: n.conn, User: "u", Database: "db", Version: wire.V30})
	})
	return nil
}

func pair() (near, far int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	return fds[0], fds[1], err
}

// shake does the handshake on both ends and leaves near to the loop.
func shake(n nearEnd, near, far int) (nearEnd, error) {
	config, err := serverConfig()
	if err != nil {
		return n, err
	}
	in, err := fileConn(near)
	if err != nil {
		return n, err
	}
	out, err := fileConn(far)
	if err != nil {
		return n, err
	}
	n.tls = loop.ServerTLS(in, nil, config)
	client := tls.Client(out, &tls.Config{InsecureSkipVerify: true}) // it is ourselves
	shaken := make(chan error, 1)
	go func() { shaken <- n.tls.Shake(nil) }()
	err = errors.Join(client.Handshake(), <-shaken)
	n.peer.end = client
	return n, err
}

// fileConn is a net.Conn on fd, which stays open beside it.
func fileConn(fd int) (net.Conn, error) {
	own, err := unix.Dup(fd)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(own), "turns")
	defer f.Close()
	return net.FileConn(f)
}

// Dial opens a server at once; as in life it is told of later.
func (t *turns) Dial(s engine.Server, _ engine.Target) {
	t.Post(func(now time.Duration) {
		near, far, err := pair()
		if err != nil {
			t.fail(err)
			return
		}
		c := t.Reserve()
		t.peers[c] = &peer{end: socket(far)}
		t.Adopt(c, near, nil)
		t.engine.Dialed(now, s, c, engine.ServerInfo{HasKey: true, PID: uint32(s), Params: []wire.Param{{Name: "TimeZone", Value: "UTC"}}})
	})
}

// Admit has a client begin.
func (t *turns) Admit(id engine.Login, v engine.Verdict) {
	if !v.OK {
		t.fail(fmt.Errorf("a client was refused: %s", wire.ErrorField(v.Refusal[wire.HeaderLen:], 'M')))
		return
	}
	t.Post(func(time.Duration) {
		n := t.near[id]
		t.peers[n.conn] = n.peer
		if n.tls != nil {
			t.AdoptTLS(n.conn, n.fd, n.tls, nil)
		} else {
			t.Adopt(n.conn, n.fd, nil)
		}
		first := t.before
		if len(first) == 0 {
			first = t.question
		}
		t.write(n.peer, first)
	})
}

// The rest of engine.Outside is not asked for here.

// Carry is never called: nobody cancels.
func (t *turns) Carry(engine.Order, engine.Server, engine.Side) {}

// CloseSide is never called.
func (t *turns) CloseSide(engine.Side) {}

// Go is never called.
func (t *turns) Go(engine.Order, bool) {}

// Release is never called.
func (t *turns) Release(engine.Ticket) {}

// Emit has nobody to tell.
func (t *turns) Emit(event.Event) {}

// Data passes on to the engine.
func (t *turns) Data(now time.Duration, c engine.Conn, b engine.Buf) { t.engine.Data(now, c, b) }

// Tick passes on to the engine.
func (t *turns) Tick(now time.Duration) { t.engine.Tick(now) }

// Ending is the engine's, too.
func (t *turns) Ending(c engine.Conn) bool { return t.engine.Ending(c) }

// Told is the engine's, too.
func (t *turns) Told(now time.Duration, c engine.Conn) { t.engine.Told(now, c) }

// Closed is told of nobody but after a fault.
func (t *turns) Closed(_ time.Duration, _ engine.Conn, err error) {
	t.fail(fmt.Errorf("a connection was closed: %v", err))
}

// Sent passes on to the engine, and has the other end read and answer what was written.
func (t *turns) Sent(now time.Duration, c engine.Conn, n int) {
	t.engine.Sent(now, c, n)
	p := t.peers[c]
	if n == 0 || p == nil || t.failed != nil {
		return
	}
	m, err := p.Read(t.scratch)
	if err != nil {
		t.fail(err)
		return
	}
	if m < n {
		t.fail(errTwoSteps)
		return
	}
	p.buf = append(p.buf, t.scratch[:m]...)
	rest := p.buf
	for {
		size, last, err := message(rest, p.client)
		if err != nil {
			t.fail(err)
		}
		if size == 0 {
			break
		}
		if rest = rest[size:]; last {
			t.turn(p)
		}
	}
	p.buf = append(p.buf[:0], rest...)
}

// message is the length of the first message in b, 0 where it is cut, and whether it ends a question or an answer.
func message(b []byte, fromServer bool) (size int, last bool, err error) {
	if len(b) < wire.HeaderLen {
		return 0, false, nil
	}
	header := wire.FrontendHeader
	if fromServer {
		header = wire.BackendHeader
	}
	typ, body, err := header(b)
	if err != nil || len(b) < wire.HeaderLen+body {
		return 0, false, err
	}
	if fromServer && typ == wire.MsgErrorResponse {
		return 0, false, fmt.Errorf("%s", wire.ErrorField(b[wire.HeaderLen:], 'M'))
	}
	last = typ == wire.MsgQuery || typ == wire.MsgSync
	if fromServer {
		last = typ == wire.MsgReadyForQuery
	}
	return wire.HeaderLen + body, last, nil
}

// turn answers, or asks the next question.
func (t *turns) turn(p *peer) {
	first := p.turns == 0 && len(t.before) > 0
	p.turns++
	if !p.client {
		answer := t.answer
		if first {
			answer = t.greeting
		}
		t.write(p, answer)
		return
	}
	if !first {
		t.done++
	}
	switch t.done {
	case t.warm:
		t.mallocs[0] = mallocs()
	case t.want:
		t.mallocs[1] = mallocs()
		t.Stop()
		return
	}
	t.write(p, t.question)
}

func (t *turns) write(p *peer, b []byte) {
	if n, err := p.Write(b); err != nil || n < len(b) {
		t.fail(errors.Join(err, errTwoSteps))
	}
}

func (t *turns) fail(err error) {
	if t.failed == nil {
		t.failed = err
		t.Stop()
	}
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
