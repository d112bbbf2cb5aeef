package main

import (
	"errors"
	"net"
)

// pipe is what a tls.Conn of the load takes for its network: the socket during the login, memory afterwards, so that one
// thread can drive many clients with TLS by epoll.
type pipe struct {
	net.Conn // nil once the client is driven by epoll
	in, out  []byte
}

// errDry: nothing is left to read. crypto/tls takes it for a passing error.
type errDry struct{}

func (errDry) Error() string   { return "nothing to read yet" }
func (errDry) Timeout() bool   { return true }
func (errDry) Temporary() bool { return true }

func isDry(err error) bool {
	var dry errDry
	return errors.As(err, &dry)
}

// Read takes from the socket, or from in.
func (p *pipe) Read(b []byte) (int, error) {
	if p.Conn != nil {
		return p.Conn.Read(b)
	}
	if len(p.in) == 0 {
		return 0, errDry{}
	}
	n := copy(b, p.in)
	p.in = p.in[n:]
	return n, nil
}

// Write gives to the socket, or to out.
func (p *pipe) Write(b []byte) (int, error) {
	if p.Conn != nil {
		return p.Conn.Write(b)
	}
	p.out = append(p.out, b...)
	return len(b), nil
}
