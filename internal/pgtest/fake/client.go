package fake

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Patience bounds every single wait of a Client: long enough for a loaded machine, short enough to be noticed.
const Patience = 30 * time.Second

// Client is a raw client: it sends what it is told and fails its test on anything it did not expect. Use it from
// the test's goroutine only.
type Client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

// Dial connects to addr, HOST:PORT or the path of a Unix socket (@NAME for an abstract one); the connection is closed with the test.
func Dial(t testing.TB, addr string) *Client {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(addr, "/") || strings.HasPrefix(addr, "@") {
		network = "unix"
	}
	nc, err := net.DialTimeout(network, addr, Patience)
	if err != nil {
		t.Fatalf("fake client: %v", err)
	}
	t.Cleanup(func() { nc.Close() })
	return &Client{Conn: nc, t: t, r: bufio.NewReader(nc)}
}

// Encrypt begins TLS on the connection, as after an 'S' or instead of a request.
func (c *Client) Encrypt(config *tls.Config) tls.ConnectionState {
	c.t.Helper()
	state, err := c.TryEncrypt(config)
	if err != nil {
		c.t.Fatalf("fake client: TLS: %v", err)
	}
	return state
}

// TryEncrypt begins TLS on the connection.
func (c *Client) TryEncrypt(config *tls.Config) (tls.ConnectionState, error) {
	if n := c.r.Buffered(); n > 0 {
		return tls.ConnectionState{}, fmt.Errorf("%d bytes came in clear before TLS", n)
	}
	encrypted := tls.Client(c.Conn, config)
	encrypted.SetDeadline(time.Now().Add(Patience))
	if err := encrypted.Handshake(); err != nil {
		return tls.ConnectionState{}, err
	}
	c.Conn, c.r = encrypted, bufio.NewReader(encrypted)
	return encrypted.ConnectionState(), nil
}

// Put writes the messages in one write.
func (c *Client) Put(msgs ...[]byte) {
	c.t.Helper()
	c.SetWriteDeadline(time.Now().Add(Patience))
	if _, err := c.Write(Join(msgs...)); err != nil {
		c.t.Fatalf("fake client: write: %v", err)
	}
}

// Byte reads one byte, the answer to SSLRequest or GSSENCRequest.
func (c *Client) Byte() byte {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(Patience))
	b, err := c.r.ReadByte()
	if err != nil {
		c.t.Fatalf("fake client: read: %v", err)
	}
	return b
}

// Message reads one message, or fails the test.
func (c *Client) Message() Message {
	c.t.Helper()
	m, err := c.TryMessage()
	if err != nil {
		c.t.Fatalf("fake client: read: %v", err)
	}
	return m
}

// TryMessage reads one message.
func (c *Client) TryMessage() (Message, error) {
	c.SetReadDeadline(time.Now().Add(Patience))
	return readMessage(c.r)
}

// Until reads messages up to and with the first of a type in stop and returns them.
func (c *Client) Until(stop string) []Message {
	c.t.Helper()
	var all []Message
	for {
		m := c.Message()
		all = append(all, m)
		if strings.IndexByte(stop, m.Type) >= 0 {
			return all
		}
		if m.Type == 'E' {
			c.t.Logf("fake client: ErrorResponse %s %s", m.Field('C'), m.Field('M'))
		}
	}
}

// Want reads as many messages as types has letters and fails unless they have these types.
func (c *Client) Want(types string) []Message {
	c.t.Helper()
	var all []Message
	for i := range len(types) {
		m, err := c.TryMessage()
		if err != nil {
			c.t.Fatalf("fake client: want %q, got %q then %v", types, Types(all), err)
		}
		all = append(all, m)
		if m.Type != types[i] {
			c.t.Fatalf("fake client: want %q, got %q (%q)", types, Types(all), m.Body)
		}
	}
	return all
}

// WantError reads an ErrorResponse with this SQLSTATE and returns its text.
func (c *Client) WantError(code string) string {
	c.t.Helper()
	m := c.Want("E")[0]
	if got := m.Field('C'); got != code {
		c.t.Fatalf("fake client: want SQLSTATE %s, got %s: %s", code, got, m.Field('M'))
	}
	return m.Field('M')
}

// WantEOF fails unless the other side closes in order, without another byte: a FIN, not a reset.
func (c *Client) WantEOF() {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(Patience))
	b, err := c.r.ReadByte()
	if !errors.Is(err, io.EOF) {
		c.t.Fatalf("fake client: want EOF, got %q, %v", b, err)
	}
}

// Greeting is what a server says from its first message to ReadyForQuery.
type Greeting struct {
	Types  string // of all messages, in order
	Params map[string]string
	PID    uint32
	Key    []byte
}

// Login sends a StartupMessage and expects to be let in without a question.
func (c *Client) Login(version uint32, kv ...string) Greeting {
	c.t.Helper()
	c.Put(Startup(version, kv...))
	return c.Greeting()
}

// Greeting reads up to ReadyForQuery and fails the test if an error comes instead.
func (c *Client) Greeting() Greeting {
	c.t.Helper()
	all := c.Until("ZE")
	if last := all[len(all)-1]; last.Type == 'E' {
		c.t.Fatalf("fake client: login failed: %s %s", last.Field('C'), last.Field('M'))
	}
	g := Greeting{Types: Types(all), Params: map[string]string{}}
	for _, m := range all {
		switch m.Type {
		case 'S':
			s := m.Strings()
			g.Params[s[0]] = s[1]
		case 'K':
			g.PID, g.Key = binary.BigEndian.Uint32(m.Body), m.Body[4:]
		}
	}
	return g
}

// SendCancel opens a connection of its own, sends a CancelRequest and waits for the close. Not a byte may come.
func SendCancel(t testing.TB, addr string, pid uint32, key []byte) {
	t.Helper()
	c := Dial(t, addr)
	defer c.Close()
	c.Put(Cancel(pid, key))
	c.WantEOF()
}

// Types are the type bytes of messages, in order.
func Types(all []Message) string {
	var b []byte
	for _, m := range all {
		b = append(b, m.Type)
	}
	return string(b)
}

// maxMessage bounds what the fakes read: they never need more.
const maxMessage = 1 << 24

func readMessage(r *bufio.Reader) (Message, error) {
	var h [5]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return Message{}, err
	}
	n := binary.BigEndian.Uint32(h[1:])
	if n < 4 || n > maxMessage {
		return Message{}, errors.New("message length out of range")
	}
	body := make([]byte, n-4)
	_, err := io.ReadFull(r, body)
	return Message{h[0], body}, err
}
