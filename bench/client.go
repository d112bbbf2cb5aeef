package main

import (
	"crypto/tls"
	"errors"
	"fmt"
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
	tls   *tls.Conn // nil in clear
	pipe  *pipe     // under tls
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

func (c *client) ask(s *script) error {
	c.reply.rows = 0
	c.asked = time.Now()
	p := s.bytes
	if c.tls != nil {
		c.pipe.out = c.pipe.out[:0]
		if _, err := c.tls.Write(p); err != nil {
			return err
		}
		p = c.pipe.out
	}
	n, err := unix.Write(c.fd, p)
	if err == nil && n < len(p) {
		err = fmt.Errorf("only %d of %d bytes could be sent", n, len(p))
	}
	return err
}

// hear reads once; nil when the answer is whole.
func (c *client) hear(s *script, b, plain []byte) error {
	n, err := unix.Read(c.fd, b)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return errNotDone
	case err != nil:
		return err
	case n == 0:
		return errors.New("the connection was closed in the middle of an answer")
	}
	if c.tls != nil {
		err = c.open(b[:n], plain)
	} else {
		err = c.reply.take(b[:n])
	}
	if err != nil {
		return err
	}
	if c.reply.rows != s.rows {
		return fmt.Errorf("%s was answered with %d rows", query, c.reply.rows)
	}
	return nil
}

// open takes what records there are.
func (c *client) open(records, plain []byte) error {
	c.pipe.in = records
	done := errNotDone
	for {
		n, err := c.tls.Read(plain)
		if isDry(err) {
			return done
		}
		if err != nil {
			return err
		}
		if done = c.reply.take(plain[:n]); done != nil && !errors.Is(done, errNotDone) {
			return done
		}
	}
}

// leave ends the connection in order.
func (c *client) leave() {
	p := wire.AppendTerminate(nil)
	if c.tls != nil {
		c.pipe.out = c.pipe.out[:0]
		_, _ = c.tls.Write(p) // into memory
		p = c.pipe.out
	}
	_, _ = unix.Write(c.fd, p) // it is closed anyway
	unix.Close(c.fd)
}
