package main

import (
	"bufio"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"cancello/internal/auth"
	"cancello/internal/wire"
)

// door is how a target is entered.
type door struct {
	over      transport
	password  string // empty: nobody asks for one
	databases int    // how many names there are; 0: one, the role's
	keys      *atomic.Pointer[auth.LoginKeys]
}

// database is the name that the i-th client asks for.
func (d door) database(i int) string {
	if d.databases == 0 {
		return role
	}
	return databaseName(i % d.databases)
}

func databaseName(i int) string { return fmt.Sprintf("bench%d", i) }

// visitor is a client that waits for its answers.
type visitor struct {
	tcp  net.Conn
	conn net.Conn // the same, or TLS on it
	pipe *pipe    // under TLS
	in   *bufio.Reader
	head [wire.HeaderLen]byte
}

// visitorBuffer is what is read at once: large results should cost the one who reads them little.
const visitorBuffer = 256 << 10

// enter connects and logs in.
func enter(t target, database string) (*visitor, error) { return enterFrom(nil, t, database, 4096) }

// enterFrom is enter from an address of our own, nil for any, with a buffer of the given size.
func enterFrom(from *net.TCPAddr, t target, database string, buffer int) (*visitor, error) {
	d := net.Dialer{Timeout: loginLimit}
	if from != nil {
		d.LocalAddr = from
	}
	conn, err := d.Dial("tcp", t.addr)
	if err != nil {
		return nil, err
	}
	v := &visitor{tcp: conn, conn: conn}
	if err = conn.SetDeadline(time.Now().Add(patience)); err == nil && t.over == withTLS {
		err = v.encrypt()
	}
	if err == nil {
		v.in = bufio.NewReaderSize(v.conn, buffer)
		err = v.login(t.door, database)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return v, nil
}

func (v *visitor) encrypt() error {
	v.pipe = &pipe{Conn: v.tcp}
	secure, err := encrypt(v.tcp, v.pipe)
	v.conn = secure
	return err
}

// login says who it is, and goes on to ReadyForQuery.
func (v *visitor) login(d door, database string) error {
	hello := wire.AppendStartup(nil, wire.V30, []wire.Param{{Name: "user", Value: role}, {Name: "database", Value: database}})
	if _, err := v.conn.Write(hello); err != nil {
		return err
	}
	var nonce [16]byte
	rand.Read(nonce[:])
	l := auth.NewLogin(role, d.password, nonce[:])
	if d.keys != nil { // PBKDF2 once, not in each login: it is not ours that is measured
		l.Use(d.keys.Load())
	}
	for {
		typ, body, err := v.next()
		if errors.Is(err, io.EOF) {
			return errors.New("closed before the login was over")
		}
		if err != nil {
			return err
		}
		switch typ {
		case wire.MsgErrorResponse:
			return serverError(body)
		case wire.MsgAuthentication:
			send, _, err := l.Receive(body)
			if err == nil && len(send) > 0 {
				_, err = v.conn.Write(send)
			}
			if err != nil {
				return err
			}
		case wire.MsgReadyForQuery:
			if d.keys != nil {
				d.keys.Store(l.Keys())
			}
			return nil
		}
	}
}

// next reads a message. The body is the caller's.
func (v *visitor) next() (typ byte, body []byte, err error) {
	typ, n, err := v.header()
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, n)
	_, err = io.ReadFull(v.in, body)
	return typ, body, err
}

func (v *visitor) header() (typ byte, body int, err error) {
	if _, err := io.ReadFull(v.in, v.head[:]); err != nil {
		return 0, 0, err
	}
	return wire.BackendHeader(v.head[:])
}

// answer reads up to ReadyForQuery, or to what stops it: the server asks for COPY data. It counts rows and the bytes of
// their bodies, and keeps nothing.
func (v *visitor) answer() (rows, bytes int, err error) {
	for {
		typ, n, err := v.header()
		if err != nil {
			return rows, bytes, err
		}
		if typ == wire.MsgErrorResponse {
			body := make([]byte, n)
			if _, err := io.ReadFull(v.in, body); err != nil {
				return rows, bytes, err
			}
			return rows, bytes, serverError(body)
		}
		if _, err := v.in.Discard(n); err != nil {
			return rows, bytes, err
		}
		switch typ {
		case wire.MsgDataRow, wire.MsgCopyData:
			rows++
			bytes += n
		case wire.MsgReadyForQuery, wire.MsgCopyInResponse:
			return rows, bytes, nil
		}
	}
}

// exec asks and waits for the answer.
func (v *visitor) exec(messages []byte) (rows, bytes int, err error) {
	if err := v.tcp.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, 0, err
	}
	if _, err := v.conn.Write(messages); err != nil {
		return 0, 0, err
	}
	return v.answer()
}

// client makes of a visitor one of a load's, which is driven by epoll.
func (v *visitor) client() (*client, error) {
	if v.in.Buffered() > 0 {
		return nil, fmt.Errorf("%d bytes behind the end of the login", v.in.Buffered())
	}
	fd, err := duplicate(v.tcp.(*net.TCPConn))
	if err != nil {
		return nil, err
	}
	c := &client{fd: fd}
	if v.pipe != nil {
		v.pipe.Conn = nil
		c.pipe, c.tls = v.pipe, v.conn.(*tls.Conn)
	}
	return c, v.tcp.Close()
}

// leave ends the connection in order.
func (v *visitor) leave() {
	_, _ = v.conn.Write(wire.AppendTerminate(nil)) // it is closed anyway
	v.tcp.Close()
}
