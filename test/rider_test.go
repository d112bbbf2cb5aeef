package test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"cancello/internal/pgtest/fake"
)

// rider is a raw client for a goroutine of its own: it returns what goes wrong, where fake.Client ends the test. Every
// wait has an end.
type rider struct {
	net.Conn
	r   *bufio.Reader
	pid uint32
	key []byte
}

// ride dials addr and logs in without a password.
func ride(addr string, version uint32, user, database string) (*rider, error) {
	c, err := dialRider(addr)
	if err != nil {
		return nil, err
	}
	return c.login(version, user, database)
}

// login logs in on an open connection, which an error closes.
func (c *rider) login(version uint32, user, database string) (*rider, error) {
	if err := c.put(fake.Startup(version, "user", user, "database", database)); err != nil {
		return nil, c.over(err)
	}
	for {
		m, err := c.next()
		switch {
		case err != nil:
			return nil, c.over(err)
		case m.Type == 'E':
			return nil, c.over(fmt.Errorf("login refused: %s %s", m.Field('C'), m.Field('M')))
		case m.Type == 'K':
			c.pid, c.key = binary.BigEndian.Uint32(m.Body), m.Body[4:]
		case m.Type == 'Z':
			return c, nil
		}
	}
}

func dialRider(addr string) (*rider, error) {
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	return &rider{Conn: nc, r: bufio.NewReader(nc)}, nil
}

// over closes the connection, which the error made useless.
func (c *rider) over(err error) error { return errors.Join(err, c.Close()) }

// put writes the messages in one write.
func (c *rider) put(msgs ...[]byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := c.Write(fake.Join(msgs...))
	return err
}

// next reads one message.
func (c *rider) next() (fake.Message, error) {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return fake.Message{}, err
	}
	return readMessage(c.r, small)
}

// small is more than any answer that most tests ask for.
const small = 1 << 20

// readMessage reads one message of at most so many bytes. At a message's border the end is io.EOF, within one it is
// io.ErrUnexpectedEOF.
func readMessage(r io.Reader, most uint32) (fake.Message, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fake.Message{}, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n < 4 || n > most {
		return fake.Message{}, fmt.Errorf("a message of type %q and length %d", head[0], n)
	}
	m := fake.Message{Type: head[0], Body: make([]byte, n-4)}
	if _, err := io.ReadFull(r, m.Body); err != nil {
		return m, fmt.Errorf("within a message of type %q: %w", m.Type, io.ErrUnexpectedEOF)
	}
	return m, nil
}

// reply is what one unit was answered.
type reply struct {
	types string   // of all messages, ReadyForQuery included
	code  string   // SQLSTATE of the first error; empty: none
	text  string   // what it said
	rows  []string // the first column of each row
	ended time.Time
}

// until reads messages up to and with the first of type stop.
func (c *rider) until(stop byte) (reply, error) {
	var a reply
	for {
		m, err := c.next()
		if err != nil {
			return a, fmt.Errorf("after %q %s %s: %w", a.types, a.code, a.text, err)
		}
		a.types += string(rune(m.Type))
		switch m.Type {
		case 'E':
			if a.code == "" {
				a.code, a.text = m.Field('C'), m.Field('M')
			}
		case 'D':
			a.rows = append(a.rows, firstColumn(m.Body))
		}
		if m.Type == stop {
			a.ended = time.Now()
			return a, nil
		}
	}
}

// query sends a simple Query and reads its whole answer.
func (c *rider) query(sql string) (reply, error) {
	if err := c.put(fake.Query(sql)); err != nil {
		return reply{}, err
	}
	return c.until('Z')
}

// firstColumn is that of a DataRow, as text.
func firstColumn(row []byte) string {
	if len(row) < 6 {
		return ""
	}
	n := int32(binary.BigEndian.Uint32(row[2:]))
	if n < 0 || int(n) > len(row)-6 {
		return "NULL"
	}
	return string(row[6 : 6+n])
}

// batch is Parse, Bind, Describe, Execute and Sync of one statement without parameters, unnamed.
func batch(sql string) []byte { return fake.Join(unsynced(sql), fake.Msg('S')) }

// unsynced is batch without its Sync.
func unsynced(sql string) []byte {
	return fake.Join(
		fake.Msg('P', "", sql, uint16(0)),
		fake.Msg('B', "", "", uint16(0), uint16(0), uint16(0)),
		fake.Msg('D', byte('P'), ""),
		fake.Msg('E', "", uint32(0)),
	)
}

// knock sends a CancelRequest on an open connection and reads to its end. Not a byte may come, and a FIN must.
func knock(nc net.Conn, pid uint32, key []byte) error {
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := nc.Write(fake.Cancel(pid, key)); err != nil {
		return fmt.Errorf("write a CancelRequest: %w", err)
	}
	return drained(nc)
}

// drained reads to a FIN, before which no byte may come.
func drained(nc net.Conn) error {
	b, err := io.ReadAll(nc)
	if err != nil {
		return fmt.Errorf("a cancel connection ended otherwise than by FIN: %w", err)
	}
	if len(b) > 0 {
		return fmt.Errorf("a cancel was answered %q", strings.ToValidUTF8(string(b), "?"))
	}
	return nil
}
