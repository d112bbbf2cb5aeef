package fake

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
)

const (
	codeCancel = 80877102
	codeSSL    = 80877103
	codeGSS    = 80877104
)

// front is a connection before its login.
type front struct {
	server *Server
	nc     net.Conn
	in     []byte // received and not yet taken
	ssl    bool   // asked for already
	gss    bool
	secure bool
	direct bool
}

// Read takes what is left first, so that TLS can begin on what came with the packet before it.
func (f *front) Read(p []byte) (int, error) {
	if len(f.in) > 0 {
		n := copy(p, f.in)
		f.in = f.in[n:]
		return n, nil
	}
	return f.nc.Read(p)
}

// fill waits for n bytes.
func (f *front) fill(n int) bool {
	buf := make([]byte, 16<<10)
	for len(f.in) < n {
		k, err := f.nc.Read(buf)
		f.in = append(f.in, buf[:k]...)
		if err != nil && len(f.in) < n {
			return false
		}
	}
	return true
}

// run takes packets until one begins a session or ends the connection.
func (f *front) run() {
	for {
		if !f.fill(1) {
			return
		}
		if f.in[0] == 0x16 && !f.ssl && !f.gss && !f.secure {
			if !f.beginDirect() {
				return
			}
			continue
		}
		packet, ok := f.packet()
		if !ok {
			return
		}
		if !f.take(packet) {
			return
		}
	}
}

// packet takes one packet without a type.
func (f *front) packet() ([]byte, bool) {
	if !f.fill(8) {
		return nil, false
	}
	n := int(binary.BigEndian.Uint32(f.in))
	if n < 8 || n > 10000 {
		if f.server.knobs.Startup.IgnoreGarbage {
			hang(f.nc)
		} else {
			f.send(errorMessage("FATAL", "08P01", "invalid length of startup packet"))
		}
		return nil, false
	}
	if !f.fill(n) {
		return nil, false
	}
	p := f.in[:n:n]
	f.in = f.in[n:]
	return p, true
}

// take does what a packet asks for; false ends the connection.
func (f *front) take(packet []byte) bool {
	k := f.server.knobs
	switch code := binary.BigEndian.Uint32(packet[4:]); code {
	case codeSSL:
		return f.takeSSL()
	case codeGSS:
		return f.takeGSS()
	case codeCancel:
		f.server.cancel(f.nc, packet, f.secure)
		return false
	default:
		switch {
		case k.Negotiation.Hang[code]:
			hang(f.nc)
			return false
		case k.Negotiation.Close[code]:
			return false
		case k.Negotiation.Refuse[code]:
			f.send(errorMessage("FATAL", "08P01", "no such version"))
			return false
		}
		if code>>16 != 3 && !k.Negotiation.AcceptMajor {
			f.refuseMajor(code)
			return false
		}
		var params []param
		if code>>16 >= 3 { // 2.0 has fields of fixed length
			params = parameters(packet[8:])
		}
		f.server.session(f, code, params)
		return false
	}
}

func (f *front) refuseMajor(code uint32) {
	text := fmt.Sprintf("unsupported frontend protocol %d.%d: server supports 3.0 to 3.2", code>>16, code&0xffff)
	if code>>16 < 3 {
		f.send(append([]byte("EFATAL:  "+text+"\n"), 0))
		return
	}
	f.send(errorMessage("FATAL", "0A000", text))
}

func (f *front) takeSSL() bool {
	k := f.server.knobs.Encryption
	again := f.ssl || f.secure || k.GSSEndsSSL && f.gss
	f.ssl = true
	switch {
	case k.SSLHang:
		hang(f.nc)
		return false
	case again && k.Again != 0:
		return f.send([]byte{k.Again})
	case again && f.direct:
		return f.send([]byte{'N'})
	case again:
		f.send(errorMessage("FATAL", "0A000", "unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2"))
		return false
	case k.SSLAnswer == 'E':
		f.send(errorMessage("FATAL", "0A000", "unsupported frontend protocol 1234.5679"))
		return false
	case k.SSLAnswer != 0:
		return f.send([]byte{k.SSLAnswer})
	case !k.TLS:
		return f.send([]byte{'N'}) && !k.SSLDrop
	}
	if !f.send([]byte{'S'}) {
		return false
	}
	early := f.in
	switch {
	case k.BadHandshake:
		return false
	case len(early) > 0 && !k.Smuggle && !k.Discard && !k.TellEarly:
		return false // received unencrypted data after SSL request
	}
	f.in = nil
	if !f.handshake(false) {
		return false
	}
	if len(early) > 0 && k.TellEarly {
		f.send(errorMessage("FATAL", "08P01", "received unencrypted data after SSL request"))
		return false
	}
	if k.Smuggle {
		f.in = early
	}
	return true
}

func (f *front) takeGSS() bool {
	k := f.server.knobs.Encryption
	f.gss = true
	switch {
	case k.GSSHang:
		hang(f.nc)
		return false
	case k.GSSAnswer == 'E':
		f.send(errorMessage("FATAL", "0A000", "unsupported frontend protocol 1234.5680"))
		return false
	case k.GSSAnswer != 0:
		return f.send([]byte{k.GSSAnswer})
	}
	return f.send([]byte{'N'}) && !k.GSSDrop
}

// beginDirect is TLS without SSLRequest.
func (f *front) beginDirect() bool {
	k := f.server.knobs.Encryption
	if !k.TLS || k.NoDirect {
		f.send(errorMessage("FATAL", "08P01", "invalid length of startup packet"))
		return false
	}
	f.direct = true
	return f.handshake(true)
}

// errALPN ends a handshake.
var errALPN = errors.New("no ALPN name in common")

func (f *front) handshake(direct bool) bool {
	k := f.server.knobs.Encryption
	conf := &tls.Config{Certificates: []tls.Certificate{f.server.cert}}
	offered := false
	conf.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		offered = slices.Contains(hello.SupportedProtos, "postgresql")
		if !offered && len(hello.SupportedProtos) > 0 && !k.AnyALPN {
			return nil, errALPN
		}
		chosen := conf.Clone()
		chosen.GetConfigForClient = nil
		if offered && !k.NoSelection {
			chosen.NextProtos = []string{"postgresql"}
		}
		return chosen, nil
	}
	secure := tls.Server(&rest{Conn: f.nc, front: f}, conf)
	if secure.Handshake() != nil {
		return false
	}
	if direct && !offered && !k.DirectNoALPN && !k.AnyALPN {
		secure.Close()
		return false
	}
	f.nc, f.secure = secure, true
	return true
}

// rest is the connection below TLS, with what was read of it already.
type rest struct {
	net.Conn
	front *front
	begun bool
}

func (r *rest) Read(p []byte) (int, error) {
	if !r.begun && len(r.front.in) > 0 {
		n := copy(p, r.front.in)
		r.front.in = r.front.in[n:]
		return n, nil
	}
	r.begun = true
	return r.Conn.Read(p)
}

func (f *front) send(p []byte) bool {
	_, err := f.nc.Write(p)
	return err == nil
}

// param is one startup parameter.
type param struct{ name, value string }

func parameters(p []byte) []param {
	var all []param
	parts := strings.Split(string(p), "\x00")
	for i := 0; i+1 < len(parts) && parts[i] != ""; i += 2 {
		all = append(all, param{parts[i], parts[i+1]})
	}
	return all
}

// message is one message of ours.
func message(kind byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(4+len(body))), body...)
}

func errorMessage(severity, code, text string) []byte {
	return message('E', []byte("S"+severity+"\x00V"+severity+"\x00C"+code+"\x00M"+text+"\x00\x00"))
}

// readMessage takes one message of the client's.
func readMessage(r io.Reader) (byte, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint32(head[1:])) - 4
	if n < 0 || n > 1<<24 {
		return 0, nil, errors.New("a message that is none")
	}
	body := make([]byte, n)
	_, err := io.ReadFull(r, body)
	return head[0], body, err
}
