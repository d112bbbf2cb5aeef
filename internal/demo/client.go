package demo

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"cancello/internal/wire"
)

// maxBody bounds a message in bytes: what the scenes ask for is small.
const maxBody = 64 << 10

// client is one connection of the tour. One goroutine at a time asks with it; cancel may be called beside.
type client struct {
	name    string // "client 3"
	addr    string
	conn    net.Conn
	r       *bufio.Reader
	version wire.Version // as negotiated
	pid     uint32
	key     []byte
}

// connect logs a client in, as the superuser of the throwaway cluster.
func connect(ctx context.Context, addr, name string, v wire.Version) (*client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s cannot connect: %w", name, err)
	}
	c := &client{name: name, addr: addr, conn: conn, r: bufio.NewReader(conn), version: v}
	hello := wire.AppendStartup(nil, v, []wire.Param{
		{Name: "user", Value: role}, {Name: "database", Value: role}, {Name: "application_name", Value: name},
	})
	if a := c.exchange(ctx, hello, nil); a.err != nil || a.code != "" {
		conn.Close()
		return nil, fmt.Errorf("%s cannot log in: %s", name, a)
	}
	return c, nil
}

// close says goodbye in order.
func (c *client) close() {
	_, _ = c.conn.Write(wire.AppendTerminate(nil)) // it is closed anyway
	c.conn.Close()
}

// leave says goodbye and waits until the server is gone.
func (c *client) leave(ctx context.Context) error {
	defer c.conn.Close()
	a := c.exchange(ctx, wire.AppendTerminate(nil), nil)
	if !errors.Is(a.err, io.EOF) {
		return fmt.Errorf("%s left and got %s", c.name, a)
	}
	return nil
}

// ask sends a query and waits for its answer.
func (c *client) ask(ctx context.Context, sql string) answer {
	return c.exchange(ctx, wire.AppendQuery(nil, sql), nil)
}

// question is a query under way.
type question struct {
	begun chan struct{} // closed when the server has sent a NOTICE, or the answer is there
	done  chan answer   // gets the answer
}

// begin sends a query, and doesn't wait.
func (c *client) begin(ctx context.Context, sql string) question {
	q := question{begun: make(chan struct{}), done: make(chan answer, 1)}
	go func() {
		seen := false
		notice := func() {
			if !seen {
				seen = true
				close(q.begun)
			}
		}
		a := c.exchange(ctx, wire.AppendQuery(nil, sql), notice)
		notice()
		q.done <- a
	}()
	return q
}

// longAgo as a deadline ends waits at once.
var longAgo = time.Unix(1, 0)

// exchange sends, and reads until ReadyForQuery.
func (c *client) exchange(ctx context.Context, send []byte, notice func()) (a answer) {
	_ = c.conn.SetDeadline(time.Time{}) // fails on a closed connection, as the write then does
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(longAgo) })
	defer func() {
		if !stop() && a.err != nil {
			a.err = context.Cause(ctx)
		}
	}()
	a.asked = time.Now()
	if _, a.err = c.conn.Write(send); a.err != nil {
		return a
	}
	for {
		typ, body, err := c.read()
		if err != nil {
			// Behind an ErrorResponse the end is what FATAL means.
			if a.code == "" || !errors.Is(err, io.EOF) {
				a.err = err
			}
			return a
		}
		if done, err := c.take(&a, typ, body, notice); done || err != nil {
			a.err = err
			return a
		}
	}
}

// take makes a message part of the answer, or of the client; true when that ends the answer.
func (c *client) take(a *answer, typ byte, body []byte, notice func()) (bool, error) {
	switch typ {
	case wire.MsgAuthentication:
		if len(body) != 4 || binary.BigEndian.Uint32(body) != 0 {
			return false, errors.New("asked for a password, though everybody is to be trusted")
		}
	case wire.MsgNegotiateProtocolVersion:
		if len(body) >= 4 {
			c.version = wire.Version(binary.BigEndian.Uint32(body))
		}
	case wire.MsgBackendKeyData:
		pid, key, ok := wire.BackendKeyData(body)
		if !ok {
			return false, errors.New("got a BackendKeyData without a pid")
		}
		c.pid, c.key = pid, append([]byte(nil), key...)
	case wire.MsgDataRow:
		row, err := columns(body)
		if err != nil {
			return false, err
		}
		a.rows = append(a.rows, row)
	case wire.MsgNoticeResponse:
		if notice != nil {
			notice()
		}
	case wire.MsgErrorResponse:
		a.code, a.message = string(wire.ErrorField(body, 'C')), string(wire.ErrorField(body, 'M'))
		a.came = time.Now()
	case wire.MsgReadyForQuery:
		if a.code == "" {
			a.came = time.Now()
		}
		return true, nil
	}
	return false, nil
}

func (c *client) read() (typ byte, body []byte, err error) {
	var head [wire.HeaderLen]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return 0, nil, err
	}
	typ, n, err := wire.BackendHeader(head[:])
	if err == nil && n > maxBody {
		err = fmt.Errorf("got a message of %d bytes", n)
	}
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, n)
	_, err = io.ReadFull(c.r, body)
	return typ, body, err
}

// columns reads a DataRow. NULL is an empty string.
func columns(body []byte) ([]string, error) {
	bad := errors.New("got a row that is cut off")
	if len(body) < 2 {
		return nil, bad
	}
	row := make([]string, binary.BigEndian.Uint16(body))
	body = body[2:]
	for i := range row {
		if len(body) < 4 {
			return nil, bad
		}
		n := int32(binary.BigEndian.Uint32(body))
		body = body[4:]
		if n < 0 {
			continue
		}
		if int(n) > len(body) {
			return nil, bad
		}
		row[i], body = string(body[:n]), body[n:]
	}
	return row, nil
}

// answer is what a query led to.
type answer struct {
	rows          [][]string
	code, message string    // of the ErrorResponse; empty where there was none
	err           error     // the connection or ctx ended, or what came was no answer
	asked, came   time.Time // came: the ErrorResponse, else ReadyForQuery
}

// String says what it was, for people.
func (a answer) String() string {
	switch {
	case a.err != nil:
		return a.err.Error()
	case a.code != "":
		return fmt.Sprintf("error %s (%s)", a.code, a.message)
	case len(a.rows) == 0:
		return "no rows"
	}
	return fmt.Sprintf("%q", strings.Join(a.rows[0], " "))
}

// canceled says whether it is the error of a cancelled query.
func (a answer) canceled() bool { return a.err == nil && a.code == queryCanceled }

const queryCanceled = "57014"

// value is the first column of the only row; false if that isn't what it was.
func (a answer) value() (string, bool) {
	if a.err != nil || a.code != "" || len(a.rows) != 1 || len(a.rows[0]) == 0 {
		return "", false
	}
	return a.rows[0][0], true
}
