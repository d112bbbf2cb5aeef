package test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"cancello/internal/pgtest/fake"
)

// crook is an upstream that says what it is told to. Which play it gives is told by the user's name, so that each has
// a pool of its own.
type crook struct {
	ln net.Listener
	wg sync.WaitGroup

	mu    sync.Mutex
	plays map[string]act
	open  map[net.Conn]bool
}

// act is what the crook does on a connection.
type act struct {
	seed   uint64
	greet  []byte // answers the startup packet
	early  []byte // unasked, once let in
	answer []byte // answers the first Query or Sync; nil: as a server does, also all that follow
	end    byte   // behind that: 'c' close, 'r' reset, 's' silence
}

func newCrook(t *testing.T) *crook {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &crook{ln: ln, plays: map[string]act{}, open: map[net.Conn]bool{}}
	k.wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			k.wg.Go(func() { k.serve(nc) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		k.mu.Lock()
		for nc := range k.open {
			nc.Close()
		}
		k.mu.Unlock()
		k.wg.Wait()
	})
	return k
}

// stage sets what is played for a user; the last one takes its place.
func (k *crook) stage(user string, a act) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.plays[user] = a
}

func (k *crook) strike(user string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.plays, user)
}

func (k *crook) serve(nc net.Conn) {
	k.mu.Lock()
	k.open[nc] = true
	k.mu.Unlock()
	defer func() {
		nc.Close()
		k.mu.Lock()
		delete(k.open, nc)
		k.mu.Unlock()
	}()
	var head [8]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil || binary.BigEndian.Uint32(head[:]) > 10000 {
		return
	}
	rest := make([]byte, binary.BigEndian.Uint32(head[:])-8)
	if _, err := io.ReadFull(nc, rest); err != nil || binary.BigEndian.Uint32(head[4:]) == fake.CancelCode {
		return
	}
	_, user, _ := strings.Cut(string(rest), "user\x00")
	user, _, _ = strings.Cut(user, "\x00")
	k.mu.Lock()
	a, ok := k.plays[user]
	k.mu.Unlock()
	if !ok { // over: its client has left
		return
	}
	a.give(nc)
}

// give plays the whole of it.
func (a act) give(nc net.Conn) {
	m := mutator{rand.New(rand.NewPCG(a.seed, 1))}
	m.pieces(nc, a.greet)
	m.pieces(nc, a.early)
	for {
		msg, err := readMessage(nc, small)
		if err != nil || msg.Type == 'X' {
			return
		}
		switch {
		case msg.Type != 'Q' && msg.Type != 'S':
			continue
		case a.answer == nil:
			m.pieces(nc, wellAnswered())
			continue
		}
		m.pieces(nc, a.answer)
		switch a.end {
		case 'r':
			_ = nc.(*net.TCPConn).SetLinger(0) // closed by us anyhow
		case 's':
			_, _ = io.Copy(io.Discard, nc) // until the other side has had enough
		}
		return
	}
}

func wellAnswered() []byte { return fake.Join(fake.Msg('C', "SELECT 0"), fake.Msg('Z', byte('I'))) }

// greeting are the messages that let us in.
func greeting() [][]byte {
	msgs := [][]byte{fake.Msg('R', 0)}
	all := fake.DefaultParams()
	for i := 0; i < len(all); i += 2 {
		msgs = append(msgs, fake.Msg('S', all[i], all[i+1]))
	}
	return append(msgs, fake.Msg('K', 4711, []byte{1, 2, 3, 4}), fake.Msg('Z', byte('I')))
}

// serverNoise are messages of a server that don't belong where they come.
func serverNoise() [][]byte {
	return [][]byte{
		fake.Msg('R', 0), fake.Msg('R', 3), fake.Msg('R', 5, []byte("salt")), fake.Msg('R', 10, "SCRAM-SHA-256", byte(0)), fake.Msg('R', 11, []byte("r=x,s=eA==,i=1")),
		fake.Msg('R', 12, []byte("v=eA==")), fake.Msg('R', 7), fake.Msg('R', 99), fake.Msg('R'),
		fake.Msg('K'), fake.Msg('K', 1), fake.Msg('K', 0, make([]byte, 4)), fake.Msg('K', 1, make([]byte, 300)),
		fake.Msg('S', "DateStyle", "ISO, DMY"), fake.Msg('S', "x"), fake.Msg('S', "client_encoding", strings.Repeat("x", 70000)),
		fake.Msg('Z', byte('I')), fake.Msg('Z', byte('T')), fake.Msg('Z', byte('E')), fake.Msg('Z', byte('?')), fake.Msg('Z'),
		fake.Msg('v', 0x30000, 0), fake.Msg('v', 2, 1, "_pq_.x"), fake.Msg('v'),
		fake.Error("ERROR", "42601", "no"), fake.Error("FATAL", "57P01", "go"), fake.Error("PANIC", "XX000", "ouch"), fake.Error("", "", ""), fake.Msg('E'),
		fake.Msg('N', []byte("SNOTICE\x00C00000\x00Mhear\x00\x00")), fake.Msg('A', 1, "channel", "payload"), fake.Msg('A'),
		fake.Msg('T', uint16(0)), fake.Msg('D', uint16(1), 1, []byte("x")), fake.Msg('D', uint16(0)), fake.Msg('C', "SELECT 1"), fake.Msg('C'), fake.Msg('I'), fake.Msg('s'),
		fake.Msg('1'), fake.Msg('2'), fake.Msg('3'), fake.Msg('t', uint16(0)), fake.Msg('n'), fake.Msg('V', -1),
		fake.Msg('G', byte(0), uint16(0)), fake.Msg('H', byte(0), uint16(0)), fake.Msg('W', byte(0), uint16(0)), fake.Msg('d', []byte("data")), fake.Msg('c'),
		fake.Msg('?'), {0}, {'H', 'T', 'T', 'P', '/', '1', '.', '1', ' ', '4', '0', '0', '\r', '\n'},
	}
}

// A key of whatever length that there may be, or none, is no reason not to use a server (R12). With another the server has
// lost its way, and clients are told so.
func TestServerKeyLengths(t *testing.T) {
	k := newCrook(t)
	g := startGate(t, gateOptions{upstreams: []string{"postgres://" + k.ln.Addr().String() + "/?sslmode=disable"}, mode: "transaction", size: 2, set: noiseSettings})
	well := greeting()
	before, after := fake.Join(well[:len(well)-2]...), well[len(well)-1]
	for n := range 258 {
		user := fmt.Sprintf("key%d", n)
		k.stage(user, act{greet: fake.Join(before, fake.Msg('K', 4711, make([]byte, n)), after)})
		err := k.visit(g.Addr(), user, true)
		if there := n == 0 || n >= 4 && n <= 256; there && err != nil || !there && (err == nil || !strings.Contains(err.Error(), fmt.Sprintf("a cancel key of %d bytes", n))) {
			t.Errorf("a key of %d bytes: %v", n, err)
		}
		k.strike(user)
	}
}

// visit logs in and asks one thing. well: nothing may fail; otherwise an answer must come, or an end.
func (k *crook) visit(addr, user string, well bool) error {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	e := &ear{nc: nc}
	if _, err := nc.Write(fake.Startup(fake.V30, "user", user, "database", "postgres")); err != nil {
		return err
	}
	types, err := e.until("ZE", noiseLimit)
	if err != nil {
		return fmt.Errorf("login: after %q: %w", types, err)
	}
	if strings.HasSuffix(types, "E") {
		if well {
			return fmt.Errorf("login: %q", e.heard)
		}
		return e.end()
	}
	if _, err := nc.Write(fake.Query("SELECT 1")); err != nil {
		return err
	}
	// A server that is silent in the middle of an answer may be so as long as it likes, as direct: then it is the
	// client that leaves.
	const enough = 500 * time.Millisecond
	limit := enough
	if well {
		limit = noiseLimit
	}
	types, err = e.until("Z", limit)
	switch {
	case well && (err != nil || types != "CZ"):
		return fmt.Errorf("a query: %q: %w", types, err)
	case errors.Is(err, io.EOF) || isTimeout(err):
		return nil
	case err != nil:
		return fmt.Errorf("a query: %q: %w", types, err)
	}
	_, _ = nc.Write(fake.Msg('X')) // it may be closed already, for what the server said behind its answer
	return e.end()
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// Noise from servers, during login, at rest and in their answers: clients are answered or closed, in messages that can
// be read, and never wait longer than the limits say.
func TestNoiseFromServers(t *testing.T) {
	t.Parallel()
	k := newCrook(t)
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			g := startGate(t, gateOptions{upstreams: []string{"postgres://" + k.ln.Addr().String() + "/?sslmode=disable"}, mode: mode, size: 2, set: noiseSettings})
			n := newNoise(t, g)
			k.stage("healthy", act{greet: fake.Join(greeting()...)})
			n.healthy = func() error { return behave(g.Addr(), "SELECT", "") }
			well, odd := greeting(), serverNoise()
			answer := [][]byte{fake.Msg('T', uint16(0)), fake.Msg('D', uint16(0)), fake.Msg('D', uint16(0)), fake.Msg('C', "SELECT 2"), fake.Msg('Z', byte('I'))}
			cuts := everyCut([][]byte{fake.Join(answer...)})
			n.play(len(cuts)+600, func(m mutator, i int) error {
				a := act{seed: m.Uint64(), greet: fake.Join(well...), end: "ccrs"[m.IntN(4)]}
				switch {
				case i < len(cuts):
					a.answer, a.end = cuts[i], "cr"[m.IntN(2)]
				case m.IntN(3) == 0:
					a.greet = m.spoil(well, odd)
				case m.IntN(4) == 0:
					from := m.IntN(len(odd))
					a.early = m.spoil(odd[from:min(len(odd), from+1+m.IntN(3))], odd)
				default:
					a.answer = m.spoil(answer, odd)
				}
				user := fmt.Sprintf("%s%d", mode, i)
				k.stage(user, a)
				defer k.strike(user)
				if err := k.visit(g.Addr(), user, false); err != nil {
					return fmt.Errorf("greeting %q, unasked %q, answer %q, end %q: %w", a.greet, a.early, a.answer, a.end, err)
				}
				return nil
			})
		})
	}
}

// Part of a message behind the answer, and then silence: neither the client's goodbye nor the server's place in the pool
// waits for it longer than server_connect_timeout.
func TestServerFallsSilent(t *testing.T) {
	k := newCrook(t)
	for _, mode := range modes {
		g := startGate(t, gateOptions{upstreams: []string{"postgres://" + k.ln.Addr().String() + "/?sslmode=disable"}, mode: mode, size: 1, set: noiseSettings})
		before := g.Descriptors()
		for n := 1; n <= 6; n++ {
			user := fmt.Sprintf("silent%d", n)
			k.stage(user, act{greet: fake.Join(greeting()...), answer: append(wellAnswered(), fake.Msg('N', "hear")[:n]...), end: 's'})
			if err := k.visit(g.Addr(), user, true); err != nil {
				t.Errorf("%s, %d bytes of a message: %v", mode, n, err)
			}
			k.strike(user)
		}
		until(t, "its servers are let go", func() bool { return g.Descriptors() <= before })
	}
}
