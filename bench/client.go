package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"cancello/internal/wire"

	"golang.org/x/sys/unix"
)

// loginLimit bounds one login.
const loginLimit = 10 * time.Second

// client is one connection of the load. After login its socket doesn't block and is driven by epoll.
type client struct {
	fd    int
	asked time.Time // when the query under way was sent
	reply reply
}

// reply follows the server's messages.
type reply struct {
	buf  []byte // what is not read yet: less than a message
	rows int
}

// errNotDone: the answer goes on.
var errNotDone = errors.New("more to come")

// take reads what arrived. It returns nil when that ends an answer (ReadyForQuery), errNotDone when more is to come,
// and the server's error where it sent one.
func (r *reply) take(b []byte) error {
	if len(r.buf) > 0 {
		b = append(r.buf, b...)
	}
	for len(b) >= wire.HeaderLen {
		typ, body, err := wire.BackendHeader(b)
		if err != nil {
			return err
		}
		if len(b) < wire.HeaderLen+body {
			break
		}
		message := b[wire.HeaderLen : wire.HeaderLen+body]
		b = b[wire.HeaderLen+body:]
		switch typ {
		case wire.MsgErrorResponse:
			return fmt.Errorf("%s (%s)", wire.ErrorField(message, 'M'), wire.ErrorField(message, 'C'))
		case wire.MsgDataRow:
			r.rows++
		case wire.MsgReadyForQuery:
			if len(b) > 0 {
				return fmt.Errorf("%d bytes behind the end of an answer", len(b))
			}
			r.buf = r.buf[:0]
			return nil
		}
	}
	r.buf = append(r.buf[:0], b...)
	return errNotDone
}

// login connects and logs in, and gives the connection to its caller ready for queries.
func login(addr, user, database string) (*client, error) {
	conn, err := net.DialTimeout("tcp", addr, loginLimit)
	if err != nil {
		return nil, err
	}
	defer conn.Close() // the client has a duplicate
	if err := conn.SetDeadline(time.Now().Add(loginLimit)); err != nil {
		return nil, err
	}
	hello := wire.AppendStartup(nil, wire.V30, []wire.Param{{Name: "user", Value: user}, {Name: "database", Value: database}})
	if _, err := conn.Write(hello); err != nil {
		return nil, err
	}
	c := &client{}
	b := make([]byte, 4096)
	for {
		n, err := conn.Read(b)
		if errors.Is(err, io.EOF) {
			return nil, errors.New("closed before the login was over")
		}
		if err != nil {
			return nil, err
		}
		if err = c.reply.take(b[:n]); err == nil {
			break
		}
		if !errors.Is(err, errNotDone) {
			return nil, err
		}
	}
	c.fd, err = duplicate(conn.(*net.TCPConn))
	return c, err
}

// duplicate takes the descriptor away from Go's own poller. It stays in the mode it is in: not blocking.
func duplicate(conn *net.TCPConn) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	if controlErr := raw.Control(func(own uintptr) {
		fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0)
	}); controlErr != nil {
		return 0, controlErr
	}
	return fd, err
}

func (c *client) ask(s script) error {
	c.reply.rows = 0
	c.asked = time.Now()
	n, err := unix.Write(c.fd, s.bytes)
	if err == nil && n < len(s.bytes) {
		err = fmt.Errorf("only %d of %d bytes could be sent", n, len(s.bytes))
	}
	return err
}

// hear reads once; nil when the answer is whole.
func (c *client) hear(b []byte) error {
	n, err := unix.Read(c.fd, b)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return errNotDone
	case err != nil:
		return err
	case n == 0:
		return errors.New("the connection was closed in the middle of an answer")
	}
	if err := c.reply.take(b[:n]); err != nil {
		return err
	}
	if c.reply.rows != 1 {
		return fmt.Errorf("%s was answered with %d rows", query, c.reply.rows)
	}
	return nil
}

// leave ends the connection in order.
func (c *client) leave() {
	_, _ = unix.Write(c.fd, wire.AppendTerminate(nil)) // it is closed anyway
	unix.Close(c.fd)
}
