package test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
)

// noiseSeed is the seed of a run, where CANCELLO_NOISE_SEED gives no other. A failure names its case; with
// CANCELLO_NOISE_CASE only that one is run.
const noiseSeed = 20250617

// noiseWorkers are how many cases run side by side.
const noiseWorkers = 16

// noiseLimit bounds each case's wait for the end of a connection. The gate's own limits are set far below it.
const noiseLimit = 15 * time.Second

// noiseSettings make the gate's own limits short, and let go of servers that nobody uses.
var noiseSettings = []string{
	"client_login_timeout=2s", "server_connect_timeout=1s", "query_wait_timeout=5s", "server_idle_timeout=300ms",
	"cancel_timeout=500ms", "server_ghost_time=0", "max_client_conn=500",
}

// mutator spoils what is sent.
type mutator struct{ *rand.Rand }

// lengths are where checks of a length are off by one.
var lengths = []uint32{
	0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 255, 256, 257, 272, 273, 9999, 10000, 10001, 65535, 65536,
	1<<24 - 1, 0x3ffffffe, 0x3fffffff, 0x40000000, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff,
}

// spoil makes one piece of noise of some messages. Some of it is not spoiled at all.
func (m mutator) spoil(msgs, others [][]byte) []byte {
	msgs = slices.Clone(msgs)
	for range m.IntN(3) {
		i, j := m.IntN(len(msgs)), m.IntN(len(msgs))
		switch m.IntN(5) {
		case 0:
			if len(msgs) > 1 {
				msgs = slices.Delete(msgs, i, i+1)
			}
		case 1:
			msgs = slices.Insert(msgs, j, msgs[i])
		case 2:
			msgs[i], msgs[j] = msgs[j], msgs[i]
		case 3:
			msgs = slices.Insert(msgs, i, others[m.IntN(len(others))])
		case 4:
			msgs = slices.Insert(msgs, i, m.garbage(1+m.IntN(40)))
		}
	}
	for range m.IntN(3) {
		i := m.IntN(len(msgs))
		msgs[i] = m.bend(slices.Clone(msgs[i]))
	}
	b := fake.Join(msgs...)
	if m.IntN(3) == 0 {
		b = b[:m.IntN(len(b)+1)]
	}
	return b
}

func (m mutator) garbage(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.Uint32())
	}
	return b
}

// bend changes the bytes of one message.
func (m mutator) bend(b []byte) []byte {
	if len(b) < 8 {
		return append(b, m.garbage(1+m.IntN(8))...)
	}
	i := m.IntN(len(b))
	switch m.IntN(6) {
	case 0:
		b[i] ^= 1 << m.IntN(8)
	case 1:
		b[i] = []byte{0, 1, 0x7f, 0x80, 0xff}[m.IntN(5)]
	case 2: // the length, behind a type or in front
		at := m.IntN(2)
		n := lengths[m.IntN(len(lengths))]
		if m.IntN(2) == 0 {
			n = binary.BigEndian.Uint32(b[at:]) + uint32(m.IntN(5)) - 2
		}
		binary.BigEndian.PutUint32(b[at:], n)
	case 3:
		b = slices.Insert(b, i, m.garbage(1+m.IntN(12))...)
	case 4:
		b = slices.Delete(b, i, min(len(b), i+1+m.IntN(12)))
	case 5:
		b = b[:i]
	}
	return b
}

// pieces sends b in one write or in several. That the other side has closed shows in what is read.
func (m mutator) pieces(nc net.Conn, b []byte) {
	_ = nc.SetWriteDeadline(time.Now().Add(noiseLimit)) // fails where the connection is closed
	for len(b) > 0 {
		n := len(b)
		if m.IntN(2) == 0 {
			n = 1 + m.IntN(len(b))
		}
		if _, err := nc.Write(b[:n]); err != nil {
			return
		}
		b = b[n:]
	}
}

// noise is one run against one gate.
type noise struct {
	t       *testing.T
	g       *gate
	seed    uint64
	healthy func() error // a client that behaves, between the others
	played  atomic.Int64
}

func newNoise(t *testing.T, g *gate) *noise {
	t.Helper()
	n := &noise{t: t, g: g, seed: noiseSeed}
	if s := os.Getenv("CANCELLO_NOISE_SEED"); s != "" {
		var err error
		if n.seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("CANCELLO_NOISE_SEED=%q: %v", s, err)
		}
	}
	return n
}

// play runs cases side by side, and a client that behaves after each of some. The descriptors it had before must be
// all that are left in the end, and the gate must live.
func (n *noise) play(cases int, one func(m mutator, i int) error) {
	n.t.Helper()
	before := n.g.Descriptors()
	from := 0
	if s := os.Getenv("CANCELLO_NOISE_CASE"); s != "" {
		var err error
		if from, err = strconv.Atoi(s); err != nil || from >= cases {
			n.t.Skipf("there is no case %s here", s)
		}
		cases = from + 1
	} else if testing.Short() {
		cases = min(cases, 300)
	}
	var next atomic.Int64
	next.Store(int64(from))
	var workers sync.WaitGroup
	var failures atomic.Int64
	for range noiseWorkers {
		workers.Go(func() {
			for failures.Load() < 5 {
				i := int(next.Add(1) - 1)
				if i >= cases {
					return
				}
				err := one(mutator{rand.New(rand.NewPCG(n.seed, uint64(i)))}, i)
				if err == nil && i%50 == 0 {
					if err = n.healthy(); err != nil {
						err = fmt.Errorf("a client that behaves: %w", err)
					}
				}
				n.played.Add(1)
				if err != nil {
					failures.Add(1)
					n.t.Errorf("CANCELLO_NOISE_SEED=%d CANCELLO_NOISE_CASE=%d: %v", n.seed, i, err)
				}
			}
		})
	}
	workers.Wait()
	if err := n.healthy(); err != nil {
		n.t.Errorf("a client that behaves, after it all: %v", err)
	}
	select {
	case <-n.g.done:
		n.t.Fatalf("the gate has ended: %v", n.g.err)
	default:
	}
	if log := n.g.Log(); strings.Contains(log, "panic") || strings.Contains(log, "goroutine ") {
		n.t.Error("a panic")
	}
	until(n.t, fmt.Sprintf("no more descriptors than the %d before", before), func() bool { return n.g.Descriptors() <= before })
	n.t.Logf("%d cases, seed %d", n.played.Load(), n.seed)
}

// ear reads what a gate says and follows its messages' borders.
type ear struct {
	nc    net.Conn
	buf   []byte
	heard []byte
}

var errMalformed = errors.New("not what a server may say")

// until reads up to a message of a type in stop and returns the types so far, or the end: io.EOF for a FIN.
func (e *ear) until(stop string, limit time.Duration) (types string, err error) {
	if err := e.nc.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	piece := make([]byte, 4096)
	for {
		for len(e.buf) >= 5 {
			typ, n := e.buf[0], binary.BigEndian.Uint32(e.buf[1:])
			if strings.IndexByte(backendTypes, typ) < 0 || n < 4 || n > 1<<31-1 {
				return types, fmt.Errorf("%w: type %q, length %d, behind %q", errMalformed, typ, n, types)
			}
			if len(e.buf) < 1+int(n) {
				break
			}
			types += string(rune(typ))
			e.buf = e.buf[1+n:]
			if strings.IndexByte(stop, typ) >= 0 {
				return types, nil
			}
		}
		n, err := e.nc.Read(piece)
		e.buf = append(e.buf, piece[:n]...)
		e.heard = append(e.heard, piece[:n]...)
		if err != nil {
			return types, err
		}
	}
}

// end reads to the end of the connection, which must come, and be a FIN.
func (e *ear) end() error {
	switch types, err := e.until("", noiseLimit); {
	case errors.Is(err, io.EOF):
		return nil
	default:
		return fmt.Errorf("no orderly close, after %q: %w", types, err)
	}
}

// backendTypes are all that a server may send.
const backendTypes = "RSKZENATDCIs123ntGHWdcVv"

// declined reads the bytes that answer SSLRequest and GSSENCRequest, and the error of protocol 2, which has no length.
func (e *ear) declined() (old bool, err error) {
	if err := e.nc.SetReadDeadline(time.Now().Add(noiseLimit)); err != nil {
		return false, err
	}
	b := make([]byte, 1)
	for {
		n, err := e.nc.Read(b)
		if n == 0 {
			return false, err
		}
		if b[0] != 'N' {
			e.buf = append(e.buf, b[0])
			break
		}
	}
	if e.buf[0] != 'E' {
		return false, nil
	}
	if _, err := e.nc.Read(b); err != nil {
		return false, err
	}
	e.buf = append(e.buf, b[0])
	if b[0] != 'F' { // "EFATAL: ": a message of 1.2 GB would begin so
		return false, nil
	}
	text, err := io.ReadAll(e.nc)
	if err == nil && !strings.HasSuffix(string(text), "\n\x00") {
		err = fmt.Errorf("%w: an old error that ends in %q", errMalformed, text)
	}
	return true, err
}

// loginNoise are the packets before login.
func loginNoise() [][]byte {
	return [][]byte{
		fake.Startup(fake.V30, "user", "u", "database", "d"),
		fake.Startup(fake.V32, "user", "u", "database", "d", "application_name", "noise"),
		fake.Startup(3<<16|9999, "user", "u", "_pq_.test_protocol_negotiation", ""),
		fake.Startup(fake.V30, "user", "u", "database", "d", "options", "-c geqo=off", "client_encoding", "UTF8"),
		fake.Startup(2<<16, "user", "u"),
		fake.Msg(0, uint32(fake.SSLCode)),
		fake.Msg(0, uint32(fake.GSSCode)),
		fake.Cancel(1<<30|1, []byte{1, 2, 3, 4}),
		fake.Cancel(1<<30, make([]byte, 32)),
		fake.Query("SELECT 1"),
		fake.Msg('X'),
	}
}

// Noise before login, from clients: each connection is answered in words that a client can read, if at all, and closed.
func TestNoiseBeforeLogin(t *testing.T) {
	t.Parallel()
	f := fake.NewServer(t, fake.Config{})
	g := startGate(t, gateOptions{upstreams: []string{fakeUpstream(f)}, mode: "transaction", size: 2, set: noiseSettings})
	n := newNoise(t, g)
	n.healthy = func() error { return behave(g.Addr(), "SELECT", "") }
	all := loginNoise()
	cuts := everyCut(all)
	n.play(len(cuts)+2500, func(m mutator, i int) error {
		var b []byte
		if i < len(cuts) {
			b = cuts[i]
		} else {
			from := m.IntN(len(all))
			b = m.spoil(all[from:min(len(all), from+1+m.IntN(2))], all)
		}
		nc, err := net.Dial("tcp", g.Addr())
		if err != nil {
			return err
		}
		defer nc.Close()
		m.pieces(nc, b)
		switch m.IntN(50) {
		case 0: // silent: the gate's own limit ends it, unless it was let in
		case 1, 2, 3:
			return nc.(*net.TCPConn).SetLinger(0) // and closed: a reset
		default:
			if err := nc.(*net.TCPConn).CloseWrite(); err != nil && !errors.Is(err, io.EOF) {
				return nil // the gate was quicker, and has said what it had to say
			}
		}
		return m.hearOut(nc, b)
	})
}

// everyCut are all beginnings of all messages.
func everyCut(msgs [][]byte) [][]byte {
	var cuts [][]byte
	for _, msg := range msgs {
		for i := range len(msg) + 1 {
			cuts = append(cuts, msg[:i])
		}
	}
	return cuts
}

// hearOut reads the answer to noise before login up to the end.
func (m mutator) hearOut(nc net.Conn, b []byte) error {
	e := &ear{nc: nc}
	old, err := e.declined()
	if err == nil && !old {
		var types string
		if types, err = e.until("ZE", noiseLimit); err == nil && strings.HasSuffix(types, "Z") {
			_, err = nc.Write(fake.Msg('X')) // let in
			_ = err                          // it may have been closed already: the half-close has told that we go
			err = e.end()
		} else if err == nil {
			err = e.end()
		}
	}
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("%q: %w", b, err)
}

// behave is a client that does: login, a query, goodbye. row is the first column of the answer's row; "" is none.
func behave(addr, sql, row string) error {
	c, err := ride(addr, fake.V30, "healthy", "postgres")
	if err != nil {
		return err
	}
	defer c.Close()
	a, err := c.query(sql)
	if err != nil || a.code != "" || strings.Join(a.rows, "") != row {
		return fmt.Errorf("%+v: %w", a, err)
	}
	if err := c.put(fake.Msg('X')); err != nil {
		return err
	}
	return drained(c.Conn)
}

// sessionNoise are the messages after login.
func sessionNoise() [][]byte {
	return [][]byte{
		fake.Query("SELECT 1"), fake.Query(""), fake.Query("BEGIN"), fake.Query("SELECT 1; SELECT 2"), fake.Query("ROLLBACK"),
		fake.Query("COPY pg_class TO STDOUT"), fake.Query("CREATE TEMP TABLE IF NOT EXISTS n (i int); COPY n FROM STDIN"),
		fake.Msg('d', []byte("1\n")), fake.Msg('c'), fake.Msg('f', "enough"),
		fake.Msg('P', "", "SELECT $1::int", uint16(0)), fake.Msg('P', "named", "SELECT 2", uint16(0)), fake.Msg('P', "", "nonsense", uint16(0)),
		fake.Msg('B', "", "", uint16(0), uint16(1), 1, []byte("7"), uint16(0)), fake.Msg('B', "", "named", uint16(0), uint16(0), uint16(0)),
		fake.Msg('D', byte('S'), ""), fake.Msg('D', byte('P'), ""), fake.Msg('E', "", 0), fake.Msg('E', "", 1), fake.Msg('C', byte('S'), ""),
		fake.Msg('C', byte('S'), "named"), fake.Msg('H'), fake.Msg('S'), fake.Msg('S'),
		fake.Msg('F', 1598, uint16(0), uint16(0), uint16(0)), // random()
		fake.Msg('p', "password"), fake.Msg('X'),
		batch("SELECT 3"), batch("COPY pg_database TO STDOUT"), fake.Msg('z'), fake.Msg(0, uint32(fake.SSLCode)),
		fake.Startup(fake.V30, "user", "postgres"),
	}
}

// Noise after login, from clients, before real servers: the session goes on or is closed with a word, and what it has
// done to its server does no harm to others.
func TestNoiseAfterLogin(t *testing.T) {
	for _, at := range []struct {
		major int
		mode  string
	}{{18, "transaction"}, {15, "session"}} {
		t.Run(fmt.Sprintf("%d %s", at.major, at.mode), func(t *testing.T) {
			t.Parallel()
			c := pgtest.Start(t, at.major)
			superuser(t, c, "CREATE DATABASE noise")
			superuser(t, c, "CREATE ROLE healthy LOGIN")
			g := startGate(t, gateOptions{upstreams: []string{upstream(c, "healthy", "")}, mode: at.mode, size: 4, set: noiseSettings})
			n := newNoise(t, g)
			n.healthy = func() error { return behave(g.Addr(), "SELECT 'well'", "well") }
			all := sessionNoise()
			cuts := everyCut(all)
			n.play(len(cuts)+1000, func(m mutator, i int) error {
				b := []byte(nil)
				if i < len(cuts) {
					b = cuts[i]
				} else {
					var msgs [][]byte
					for range 1 + m.IntN(8) {
						msgs = append(msgs, all[m.IntN(len(all))])
					}
					b = m.spoil(msgs, all)
				}
				cl, err := ride(g.Addr(), fake.V30, "noisy", "noise")
				if err != nil {
					return err
				}
				defer cl.Close()
				m.pieces(cl.Conn, b)
				switch m.IntN(10) {
				case 0:
					return cl.Conn.(*net.TCPConn).SetLinger(0)
				case 1:
					m.pieces(cl.Conn, fake.Msg('X'))
				}
				if err := cl.Conn.(*net.TCPConn).CloseWrite(); err != nil {
					return nil // the gate was quicker
				}
				e := &ear{nc: cl.Conn}
				if err := e.end(); err != nil {
					return fmt.Errorf("%q: %w", b, err)
				}
				return nil
			})
		})
	}
}

// Where the protocol allows an answer, what is broken is answered, in PostgreSQL's code, and then closed with FIN.
func TestBrokenIsAnswered(t *testing.T) {
	t.Parallel()
	f := fake.NewServer(t, fake.Config{})
	g := startGate(t, gateOptions{upstreams: []string{fakeUpstream(f)}, mode: "transaction", size: 2, set: noiseSettings})
	startup := fake.Startup(fake.V30, "user", "u", "database", "d")
	unended := slices.Clone(startup[:len(startup)-1])
	binary.BigEndian.PutUint32(unended, uint32(len(unended)))
	for _, tt := range []struct {
		name string
		sent []byte
		in   bool // after login
		code string
	}{
		{"startup packet too short", []byte{0, 0, 0, 7}, false, "08P01"},
		{"startup packet too long", []byte{0, 0, 0x27, 0x11}, false, "08P01"},
		{"startup packet of 2 GB", []byte{0x7f, 0xff, 0xff, 0xff}, false, "08P01"},
		{"startup packet without its end", unended, false, "08P01"},
		{"protocol 4.0", fake.Startup(4<<16, "user", "u"), false, "0A000"},
		{"no user", fake.Startup(fake.V30, "database", "d"), false, "28000"},
		{"startup packet that does not come", startup[:10], false, "08004"},
		{"nothing", nil, false, "08004"},
		{"unknown type", []byte("z\x00\x00\x00\x04"), true, "08P01"},
		{"zero type", make([]byte, 5), true, "08P01"},
		{"length below four", []byte("Q\x00\x00\x00\x03"), true, "08P01"},
		{"negative length", []byte("Q\xff\xff\xff\xff"), true, "08P01"},
		{"Sync of a megabyte", []byte("S\x00\x10\x00\x00"), true, "08P01"},
		{"password after login", fake.Msg('p', "secret"), true, "08P01"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := fake.Dial(t, g.Addr())
			if tt.in {
				c.Login(fake.V30, "user", "u", "database", "d")
			}
			c.Put(tt.sent)
			e := c.Want("E")[0]
			if e.Field('C') != tt.code || e.Field('S') != "FATAL" || e.Field('M') == "" {
				t.Errorf("%s %s %q, want FATAL %s", e.Field('S'), e.Field('C'), e.Field('M'), tt.code)
			}
			c.WantEOF()
		})
	}
}

// A client that has gone when its turn comes, with a Terminate behind its messages that is none, or with messages in
// front of it that are not allowed: its server is somebody else's soon.
func TestBrokenGoodbye(t *testing.T) {
	c := pgtest.Start(t, 15)
	for _, mode := range modes {
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "")}, mode: mode, size: 1, set: noiseSettings})
		for name, b := range map[string][]byte{
			"no Terminate":        fake.Join(fake.Msg('D', byte('P'), ""), []byte("X\x07\x8f\xee\xbe")),
			"password in a batch": fake.Join(fake.Msg('D', byte('P'), ""), fake.Msg('p', "x"), fake.Msg('S'), fake.Msg('X')),
			"password in front":   fake.Join(fake.Msg('p', "x"), fake.Msg('X')),
		} {
			holder := enter(t, g)
			holder.Put(fake.Query("BEGIN"))
			holder.Want("CZ")
			gone := enter(t, g)
			gone.Put(fake.Query("SELECT 1"), b)
			gone.Close()
			holder.Put(fake.Query("COMMIT"))
			holder.Want("CZ")
			holder.leave()
			if err := behave(g.Addr(), "SELECT 'well'", "well"); err != nil {
				t.Errorf("%s, %s: %v", mode, name, err)
			}
		}
	}
}
