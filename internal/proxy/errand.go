package proxy

import (
	"net"
	"time"

	"cancello/internal/engine"
	"cancello/internal/loop"

	"golang.org/x/sys/unix"
)

// errand is an order in clear on its way. All of it happens on the loop: connect, write, read to EOF are a few
// microseconds each, while every hop to a goroutine and back is one of a sleeping thread. With TLS there is a handshake,
// which needs a goroutine (order.deliver).
type errand struct {
	id     engine.Order
	server engine.Server
	fd     int
}

// sendErrand begins an order by a connection that the loop looks after; false says that there has to be a goroutine. On
// the loop, inside a call of the engine.
func (p *Proxy) sendErrand(id engine.Order, s engine.Server, ord *order) bool {
	if ord.server.tls != nil {
		return false
	}
	family, to := sockaddr(ord.server.addr)
	if to == nil {
		return false
	}
	p.own.orders[id] = ord
	ord.server.orders++
	e := &errand{id: id, server: s, fd: -1}
	ord.errand = e
	p.own.errands[e] = struct{}{}
	var err error
	if e.fd, err = beginConnect(family, to); err == nil {
		err = p.loop.Await(e.fd, loop.Writable, p.loop.Now()+ord.timeout, func(now time.Duration, ready bool) {
			p.errandConnected(now, ord, ready)
		})
	}
	if err != nil {
		p.loop.Post(func(now time.Duration) { p.errandDone(now, ord, engine.NotSent) })
	}
	return true
}

// beginConnect begins to connect a socket. After an error there is none.
func beginConnect(family int, to unix.Sockaddr) (fd int, err error) {
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err = unix.Connect(fd, to); err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// sockaddr is what the kernel takes for the address of a session; nil where it isn't that simple.
func sockaddr(a net.Addr) (family int, to unix.Sockaddr) {
	switch a := a.(type) {
	case *net.UnixAddr:
		return unix.AF_UNIX, &unix.SockaddrUnix{Name: a.Name}
	case *net.TCPAddr:
		if v4 := a.IP.To4(); v4 != nil {
			return unix.AF_INET, &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(v4)}
		}
		if v6 := a.IP.To16(); v6 != nil && a.Zone == "" {
			return unix.AF_INET6, &unix.SockaddrInet6{Port: a.Port, Addr: [16]byte(v6)}
		}
	}
	return 0, nil
}

// errandConnected asks the engine for its word, if the connection came about.
func (p *Proxy) errandConnected(now time.Duration, ord *order, ready bool) {
	failed, err := unix.GetsockoptInt(ord.errand.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if !ready || err != nil || failed != 0 {
		p.errandDone(now, ord, engine.NotSent)
		return
	}
	p.engine.CancelReady(now, ord.errand.id)
}

// writeErrand writes the request and has the loop wait for EOF. On the loop, inside a call of the engine.
func (p *Proxy) writeErrand(ord *order) {
	r := engine.Broken
	switch n, _ := unix.Write(ord.errand.fd, ord.packet); {
	case n <= 0:
		r = engine.NotSent
	case n == len(ord.packet):
		if p.loop.Await(ord.errand.fd, loop.Readable, p.loop.Now()+ord.timeout, func(now time.Duration, ready bool) {
			p.errandDone(now, ord, ord.errand.heard(ready))
		}) == nil {
			return
		}
	}
	p.loop.Post(func(now time.Duration) { p.errandDone(now, ord, r) })
}

// heard reads what came: EOF says that the server has sent its signal, and nothing else does (order.send).
func (e *errand) heard(ready bool) engine.Result {
	var b [1]byte
	if ready {
		if n, err := unix.Read(e.fd, b[:]); n == 0 && err == nil {
			return engine.Delivered
		}
	}
	return engine.Broken
}

// errandDone ends an errand, and tells the engine how.
func (p *Proxy) errandDone(now time.Duration, ord *order, r engine.Result) {
	id := ord.errand.id
	delete(p.own.orders, id)
	p.dropErrand(ord)
	p.engine.CancelDone(now, id, r)
}

// dropErrand ends an errand of which the engine wants to hear no more.
func (p *Proxy) dropErrand(ord *order) {
	e := ord.errand
	e.close()
	delete(p.own.errands, e)
	ord.server.orders--
	p.forgetServer(e.server)
}

func (e *errand) close() {
	if e.fd >= 0 {
		unix.Close(e.fd)
		e.fd = -1
	}
}
