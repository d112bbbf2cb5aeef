package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"

	"cancello/internal/wire"
)

const (
	// patience bounds every wait of a client. It is longer than the query runs if nobody cancels it.
	patience = 90 * time.Second
	// sleeper tells that it has begun, so that a cancel behind that is not swallowed, and then runs until it is
	// cancelled, or so long that it counts as lost.
	sleeper = "DO $$BEGIN RAISE NOTICE 'begun'; PERFORM pg_sleep(15); END$$"
	// cancelled is the SQLSTATE of query_canceled.
	cancelled = "57014"
)

// transport is how a client speaks.
type transport string

const (
	inClear transport = "clear"
	withTLS transport = "TLS"
)

// dial connects, with the handshake where there is one.
func (t transport) dial(from net.Addr, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: loginLimit, LocalAddr: from}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if err = conn.SetDeadline(time.Now().Add(patience)); err == nil && t == withTLS {
		secure, err := encrypt(conn, conn)
		if err != nil {
			conn.Close()
			return nil, err
		}
		return secure, nil
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// encrypt asks for TLS on conn, and speaks it through under, which is conn itself or stands on it.
func encrypt(conn, under net.Conn) (*tls.Conn, error) {
	answer := make([]byte, 1)
	_, err := conn.Write(wire.AppendSSLRequest(nil))
	if err == nil {
		_, err = io.ReadFull(conn, answer)
	}
	if err == nil && answer[0] != 'S' {
		err = fmt.Errorf("SSLRequest was answered with %q", answer)
	}
	secure := tls.Client(under, &tls.Config{InsecureSkipVerify: true}) // it is the certificate we made ourselves
	if err == nil {
		err = secure.Handshake()
	}
	return secure, err
}

// holder is a client that holds a cancel key.
type holder struct {
	conn net.Conn
	in   *bufio.Reader
	to   target
	over transport
	pid  uint32
	key  []byte
}

// hold logs in.
func hold(t target, over transport, v wire.Version) (*holder, error) {
	conn, err := over.dial(nil, t.addr)
	if err != nil {
		return nil, err
	}
	h := &holder{conn: conn, in: bufio.NewReader(conn), to: t, over: over}
	_, err = conn.Write(wire.AppendStartup(nil, v, []wire.Param{{Name: "user", Value: role}, {Name: "database", Value: role}}))
	for err == nil {
		var typ byte
		var body []byte
		if typ, body, err = h.next(); err != nil {
			break
		}
		switch typ {
		case wire.MsgErrorResponse:
			err = serverError(body)
		case wire.MsgBackendKeyData:
			h.pid, h.key, _ = wire.BackendKeyData(body) // without one there is none, which is told below
		case wire.MsgReadyForQuery:
			if h.pid == 0 {
				err = fmt.Errorf("%s gave no cancel key", t.name)
				break
			}
			return h, nil
		}
	}
	conn.Close()
	return nil, fmt.Errorf("login to %s: %w", t.name, err)
}

func serverError(body []byte) error {
	return fmt.Errorf("%s (%s)", wire.ErrorField(body, 'M'), wire.ErrorField(body, 'C'))
}

// next reads a message. The body is the caller's.
func (h *holder) next() (typ byte, body []byte, err error) {
	head := make([]byte, wire.HeaderLen)
	if _, err := io.ReadFull(h.in, head); err != nil {
		return 0, nil, err
	}
	typ, n, err := wire.BackendHeader(head)
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, n)
	_, err = io.ReadFull(h.in, body)
	return typ, body, err
}

// ending is how a query ended.
type ending struct {
	code string    // SQLSTATE of its error; empty: none
	at   time.Time // when the error, or else the end, was here
}

// begin has the server run the sleeper and waits until it does. A cancel that comes before that is a stray one: how
// many there were is returned, and it is begun again.
func (h *holder) begin() (strays int, err error) {
	for {
		if err := h.ask(sleeper); err != nil {
			return strays, err
		}
		typ, body, err := h.next()
		switch {
		case err != nil:
			return strays, err
		case typ == wire.MsgNoticeResponse:
			return strays, nil
		case typ != wire.MsgErrorResponse:
			return strays, fmt.Errorf("the query began with a message %q", typ)
		case string(wire.ErrorField(body, 'C')) != cancelled:
			return strays, serverError(body)
		}
		strays++
		if _, err := h.end(); err != nil {
			return strays, err
		}
	}
}

func (h *holder) ask(sql string) error {
	if err := h.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := h.conn.Write(wire.AppendQuery(nil, sql))
	return err
}

// end reads to ReadyForQuery.
func (h *holder) end() (e ending, err error) {
	for {
		typ, body, err := h.next()
		switch {
		case err != nil:
			return e, fmt.Errorf("%s: %w", h.to.name, err)
		case typ == wire.MsgErrorResponse:
			e = ending{string(wire.ErrorField(body, 'C')), time.Now()}
			if e.code != cancelled {
				return e, fmt.Errorf("%s: %w", h.to.name, serverError(body))
			}
		case typ == wire.MsgReadyForQuery:
			if e.code == "" {
				e.at = time.Now()
			}
			return e, nil
		}
	}
}

// cancel sends a CancelRequest and returns its connection, on which nothing ever comes but its end.
func (h *holder) cancel() (net.Conn, error) {
	conn, err := h.over.dial(nil, h.to.addr)
	if err != nil {
		return nil, fmt.Errorf("cancel by %s: %w", h.to.name, err)
	}
	if _, err := conn.Write(wire.AppendCancelRequest(nil, h.pid, h.key)); err != nil {
		conn.Close()
		return nil, fmt.Errorf("cancel by %s: %w", h.to.name, err)
	}
	return conn, nil
}

// awaitEnd waits until the other side has closed the connection of a cancel, in whatever way: by then it has acted.
func awaitEnd(conn net.Conn) {
	_, _ = conn.Read(make([]byte, 1))
	conn.Close()
}

func (h *holder) leave() {
	_, _ = h.conn.Write(wire.AppendTerminate(nil)) // it is closed anyway
	h.conn.Close()
}

// holdAll logs a number of clients in.
func holdAll(t target, over transport, n int) ([]*holder, error) {
	var all []*holder
	for range n {
		h, err := hold(t, over, wire.V30)
		if err != nil {
			leaveAll(all)
			return nil, err
		}
		all = append(all, h)
	}
	return all, nil
}

func leaveAll(all []*holder) {
	for _, h := range all {
		h.leave()
	}
}
