package test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"cancello/internal/pgtest/fake"
)

// raw is a client that sends what it is told and keeps every message of the server. It reads all the time, so a test
// may send as much as it likes without deadlock.
type raw struct {
	t  testing.TB
	nc net.Conn

	mu    sync.Mutex
	got   []fake.Message
	end   error         // of reading; io.EOF after a FIN
	grown chan struct{} // closed and replaced at each message
	seen  int           // how many of got a test has taken
}

// dialRaw connects to a gate or a server; the connection is closed with the test.
func dialRaw(t testing.TB, addr string) *raw {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return &raw{t: t, nc: nc, grown: make(chan struct{})}
}

// login connects and logs in at 3.0.
func login(t testing.TB, addr, user, database string, params ...string) *raw {
	t.Helper()
	c := dialRaw(t, addr)
	c.send(fake.Startup(fake.V30, append([]string{"user", user, "database", database}, params...)...))
	c.listen()
	for _, m := range c.until("ZE") {
		if m.Type == 'E' {
			t.Fatalf("login as %s to %s: %s", user, database, errorText(m))
		}
	}
	return c
}

// listen begins to read messages. Before it, single bytes can be read: the answers to SSLRequest.
func (c *raw) listen() {
	r := bufio.NewReader(c.nc)
	go func() {
		for {
			m, err := readMessage(r, 256<<20)
			c.mu.Lock()
			if err != nil {
				c.end = err
			} else {
				c.got = append(c.got, m)
			}
			close(c.grown)
			c.grown = make(chan struct{})
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
}

// byte reads one byte, the answer to SSLRequest or GSSENCRequest.
func (c *raw) byte() byte {
	c.t.Helper()
	var b [1]byte
	c.nc.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(c.nc, b[:]); err != nil {
		c.t.Fatal(err)
	}
	c.nc.SetReadDeadline(time.Time{})
	return b[0]
}

// send writes the messages in one write. That the other side has closed shows in what is read.
func (c *raw) send(msgs ...[]byte) {
	c.nc.SetWriteDeadline(time.Now().Add(patience))
	_, _ = c.nc.Write(fake.Join(msgs...))
}

// query sends a Query and returns what came up to its end.
func (c *raw) query(sql string) []fake.Message {
	c.t.Helper()
	c.send(fake.Query(sql))
	return c.until("Z")
}

// value is the first column of the first row of a query that must succeed; "" without a row.
func (c *raw) value(sql string) string {
	c.t.Helper()
	value := ""
	for _, m := range c.query(sql) {
		switch m.Type {
		case 'E':
			c.t.Fatalf("%s: %s", sql, errorText(m))
		case 'D':
			if n := int32(binary.BigEndian.Uint32(m.Body[2:])); n >= 0 {
				value = string(m.Body[6 : 6+n])
			}
		}
	}
	return value
}

// fails is the SQLSTATE of a query that must fail, and its text.
func (c *raw) fails(sql string) (code, text string) {
	c.t.Helper()
	for _, m := range c.query(sql) {
		if m.Type == 'E' {
			return m.Field('C'), m.Field('M')
		}
	}
	c.t.Fatalf("%s: did not fail", sql)
	return "", ""
}

// until returns the messages not seen so far, up to and with the first of a type in stop. The end of the connection
// fails the test.
func (c *raw) until(stop string) []fake.Message {
	c.t.Helper()
	return c.untilNth(stop, 1)
}

// untilNth goes on up to the n-th of a type in stop.
func (c *raw) untilNth(stop string, n int) []fake.Message {
	c.t.Helper()
	limit := time.After(patience)
	for at := c.seen; ; {
		c.mu.Lock()
		got, end, grown := c.got, c.end, c.grown
		c.mu.Unlock()
		for ; at < len(got); at++ {
			if strings.IndexByte(stop, got[at].Type) < 0 {
				continue
			}
			if n--; n == 0 {
				from := c.seen
				c.seen = at + 1
				return got[from:c.seen]
			}
		}
		if end != nil {
			c.t.Fatalf("waiting for %q: %v after %s", stop, end, summary(got[c.seen:]))
		}
		select {
		case <-grown:
		case <-limit:
			c.t.Fatalf("waiting for %q: nothing more for %s after %s", stop, patience, summary(got[c.seen:]))
		}
	}
}

// untilEnd returns what comes up to the end of the connection, and that end: nil for a FIN.
func (c *raw) untilEnd() ([]fake.Message, error) {
	c.t.Helper()
	limit := time.After(patience)
	for {
		c.mu.Lock()
		got, end, grown := c.got, c.end, c.grown
		c.mu.Unlock()
		if end != nil {
			from := c.seen
			c.seen = len(got)
			if errors.Is(end, io.EOF) {
				end = nil
			}
			return got[from:], end
		}
		select {
		case <-grown:
		case <-limit:
			c.t.Fatalf("the connection was not closed within %s; after %s", patience, summary(got[c.seen:]))
		}
	}
}

// reset closes the connection with RST, as the kernel does for a program that was killed with unread input.
func (c *raw) reset() {
	c.t.Helper()
	if err := c.nc.(*net.TCPConn).SetLinger(0); err != nil {
		c.t.Fatal(err)
	}
	c.nc.Close()
}

// ended waits for the end of a connection, with FIN or RST.
func (c *raw) ended() []fake.Message {
	c.t.Helper()
	got, _ := c.untilEnd()
	return got
}

// errorText is an ErrorResponse for people.
func errorText(m fake.Message) string {
	return m.Field('S') + " " + m.Field('C') + ": " + m.Field('M')
}

// summary is the types of messages, with the text of errors.
func summary(all []fake.Message) string {
	if len(all) == 0 {
		return "no message"
	}
	text := fake.Types(all[max(0, len(all)-100):])
	for _, m := range all {
		if m.Type == 'E' {
			text += " (" + errorText(m) + ")"
		}
	}
	return text
}
