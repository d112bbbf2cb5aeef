package test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
	"cancello/internal/postgres"
)

// toll stands before a cluster and keeps what clients send: connections that are made while it is lowered are taken, and
// what comes on them waits there until it is raised. So a cancel is on the wire for as long as a test likes.
type toll struct {
	address
	to string

	mu     sync.Mutex
	raised chan struct{} // closed: everybody passes
	held   int           // connections of which something waits
	sent   [][]byte      // what each connection has sent, in the order of their coming
}

// newToll begins raised. It ends with the test.
func newToll(t *testing.T, to string) *toll {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x := &toll{address: address{"127.0.0.1", ln.Addr().(*net.TCPAddr).Port}, to: to, raised: make(chan struct{})}
	close(x.raised)
	end := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for n := 0; ; n++ {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			x.mu.Lock()
			x.sent = append(x.sent, nil)
			raised := x.raised
			x.mu.Unlock()
			all.Go(func() { x.pass(nc, n, raised, end) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		close(end)
		all.Wait()
	})
	return x
}

// before is the DSN of a cluster's database by way of the toll, for the user postgres.
func (x *toll) before(c *postgres.Cluster) string {
	return strings.Replace(upstream(c, "postgres", "postgres"), c.Addr(), x.Addr(), 1)
}

// tolled is a gate before a cluster with a toll in between, where no wait ends by itself.
func tolled(t *testing.T, major, size int, set ...string) (*postgres.Cluster, *toll, *gate) {
	t.Helper()
	c := pgtest.Start(t, major)
	x := newToll(t, c.Addr())
	set = append([]string{"cancel_timeout=60s", "query_wait_notify=0"}, set...)
	return c, x, startGate(t, gateOptions{upstreams: []string{x.before(c) + "?sslmode=disable"}, mode: "transaction", size: size, set: set})
}

// lower has all connections that come from now on wait; what it returns lets these pass, and those that come later.
func (x *toll) lower() (raise func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	raised := make(chan struct{})
	x.raised = raised
	return sync.OnceFunc(func() { close(raised) })
}

// hold lowers the toll and sends the client's cancel, which waits there then. What is returned is the cancel's connection,
// and what raises the toll.
func (x *toll) hold(t *testing.T, address string, c *joined) (*fake.Client, func()) {
	t.Helper()
	raise := x.lower()
	t.Cleanup(raise)
	k := fake.Dial(t, address)
	k.Put(fake.Cancel(c.pid, c.key))
	until(t, "the cancel is on the wire", func() bool { return x.waiting() == 1 })
	return k, raise
}

// waiting is how many connections are held with something that was sent.
func (x *toll) waiting() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.held
}

// passed is what each connection has sent so far, what is held included.
func (x *toll) passed() [][]byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := make([][]byte, len(x.sent))
	for i, b := range x.sent {
		all[i] = bytes.Clone(b)
	}
	return all
}

func (x *toll) pass(nc net.Conn, n int, raised, end <-chan struct{}) {
	defer nc.Close()
	back, err := net.Dial("tcp", x.to)
	if err != nil {
		return
	}
	defer back.Close()
	var both sync.WaitGroup
	both.Go(func() {
		x.keep(nc, back, n, raised, end)
		_ = back.(*net.TCPConn).CloseWrite() // it may be gone
	})
	done := make(chan struct{})
	both.Go(func() { // a test that ends takes with it what still runs
		select {
		case <-end:
		case <-done:
		}
		nc.Close()
		back.Close()
	})
	_, _ = io.Copy(nc, back)
	close(done)
	both.Wait()
}

// keep carries what comes from nc to back, when it may.
func (x *toll) keep(nc, back net.Conn, n int, raised, end <-chan struct{}) {
	buf := make([]byte, 32<<10)
	for {
		k, err := nc.Read(buf)
		if k > 0 {
			x.note(func() { x.sent[n] = append(x.sent[n], buf[:k]...); x.held++ })
			select {
			case <-raised:
			case <-end:
				return
			}
			x.note(func() { x.held-- })
			if _, err := back.Write(buf[:k]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (x *toll) note(f func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f()
}
