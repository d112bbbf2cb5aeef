package probe

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// Conn is one connection, raw: nothing is sent or skipped that a case didn't ask for. One goroutine reads at a time;
// another may send.
type Conn struct {
	b      *Bench
	number int // from 1, in the evidence
	nc     net.Conn
	stop   func() bool // of the watch on the context
	in     []byte      // received and not yet taken
	polite bool        // logged in: say Terminate before closing
	closed bool
	State  *tls.ConnectionState // of TLS; nil without
}

// Message is one message of the server's.
type Message struct {
	Type byte
	Body []byte
	At   time.Time // when it was whole
}

// maxBody is the largest body that is read: what a case asks for is small.
const maxBody = 16 << 20

// malformed is what is no message of the protocol.
type malformed struct{ what string }

func (e *malformed) Error() string { return e.what }

// Send writes bytes: startup packets, frames, or what is no frame at all. What is secret in them is not recorded.
func (c *Conn) Send(p []byte) error {
	c.b.record.sent(c.number, p)
	return c.write(p)
}

func (c *Conn) write(p []byte) error {
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.b.Patience)); err != nil {
		return err
	}
	_, err := c.nc.Write(p)
	return err
}

// Read takes the next message. After Patience it gives up with a timeout; what was received by then is kept.
func (c *Conn) Read() (Message, error) { return c.ReadWithin(c.b.Patience) }

// ReadWithin is Read with a limit of its own.
func (c *Conn) ReadWithin(limit time.Duration) (Message, error) {
	deadline := time.Now().Add(limit)
	if err := c.fill(5, deadline); err != nil {
		return Message{}, err
	}
	n := int(int32(binary.BigEndian.Uint32(c.in[1:5])))
	if n < 4 || n > maxBody {
		return Message{}, &malformed{fmt.Sprintf("a message %q of length %d: no message has that", c.in[0], n)}
	}
	if err := c.fill(1+n, deadline); err != nil {
		return Message{}, err
	}
	frame := c.in[: 1+n : 1+n]
	c.in = c.in[1+n:]
	c.b.record.received(c.number, frame)
	return Message{Type: frame[0], Body: frame[5:], At: time.Now()}, nil
}

// ReadByte takes one byte: the answer to SSLRequest or GSSENCRequest.
func (c *Conn) ReadByte() (byte, error) {
	if err := c.fill(1, time.Now().Add(c.b.Patience)); err != nil {
		return 0, err
	}
	answer := c.in[0]
	c.b.record.receivedBytes(c.number, c.in[:1])
	c.in = c.in[1:]
	return answer, nil
}

// fill reads until n bytes are here.
func (c *Conn) fill(n int, deadline time.Time) error {
	if len(c.in) >= n {
		return nil
	}
	if err := c.nc.SetReadDeadline(deadline); err != nil {
		return err
	}
	buf := make([]byte, min(max(4096, n-len(c.in)), 64<<10))
	for len(c.in) < n {
		k, err := c.nc.Read(buf)
		c.in = append(c.in, buf[:k]...)
		if err != nil && len(c.in) < n {
			c.b.record.ended(c.number, c.in, err)
			return err
		}
	}
	return nil
}

// End is what came before a connection ended, and how it did.
type End struct {
	Bytes []byte
	How   Ending
	After time.Duration // since the wait began
	Err   error         // what the last Read said
}

// AwaitEnd takes everything up to the end of the connection, or to the limit.
func (c *Conn) AwaitEnd(limit time.Duration) End {
	begin := time.Now()
	err := c.fill(maxBody, begin.Add(limit))
	end := End{Bytes: c.in, How: ending(err), After: time.Since(begin), Err: err}
	c.in = nil
	return end
}

// AskTLS sends SSLRequest and takes the one byte of the answer.
func (c *Conn) AskTLS() (byte, error) {
	if err := c.Send(Request(codeSSL)); err != nil {
		return 0, err
	}
	return c.ReadByte()
}

// StartTLS makes the handshake, at once.
func (c *Conn) StartTLS(conf *tls.Config) error {
	if len(c.in) > 0 {
		return &malformed{fmt.Sprintf("%d bytes in clear behind the answer to SSLRequest", len(c.in))}
	}
	if err := c.nc.SetDeadline(time.Now().Add(c.b.Patience)); err != nil {
		return err
	}
	secure := tls.Client(c.nc, conf)
	if err := secure.Handshake(); err != nil {
		c.b.record.note(c.number, "TLS handshake fails: "+err.Error())
		return err
	}
	c.nc = secure
	state := secure.ConnectionState()
	c.State = &state
	c.b.record.note(c.number, fmt.Sprintf("%s handshake done, ALPN %q", tls.VersionName(state.Version), state.NegotiatedProtocol))
	return c.nc.SetDeadline(time.Time{})
}

// Close ends the connection, with Terminate if it is logged in. A second Close does nothing.
func (c *Conn) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	c.stop()
	var err error
	if c.polite {
		err = c.write([]byte{'X', 0, 0, 0, 4})
	}
	return errors.Join(err, c.nc.Close())
}

// Vanish ends the connection without a word.
func (c *Conn) Vanish() error {
	c.polite = false
	return c.Close()
}

// timedOut says whether an error means that nothing came in time.
func timedOut(err error) bool { return err != nil && ending(err) == Open }

// gone says whether an error means that the server ended the connection.
func gone(err error) bool {
	return err != nil && ending(err) != Open
}

// hungUp says whether it did so as servers do: with FIN, or with RST where it had not read everything. Which of the two it
// is depends on the moment, so a verdict should not.
func hungUp(err error) bool {
	return err != nil && (ending(err) == Closed || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE))
}

// plainly is an error without the addresses of the connection, which are others each time.
func plainly(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op != "dial" {
		return op.Err.Error()
	}
	return err.Error()
}
