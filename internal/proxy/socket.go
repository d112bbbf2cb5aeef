package proxy

import (
	"errors"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// socket makes a net.Conn of a descriptor that the loop accepted. net.FileConn would do, but takes a second descriptor for a
// while, which may be one of those kept for cancels, and turns keep-alive on.
type socket struct {
	*os.File
	local, peer net.Addr
}

func newSocket(fd int, local, peer net.Addr) *socket {
	return &socket{os.NewFile(uintptr(fd), "client"), local, peer}
}

// Read is as that of the net package: crypto/tls and others tell by the type of an error whether it passes.
func (s *socket) Read(b []byte) (int, error) {
	n, err := s.File.Read(b)
	return n, s.netError("read", err)
}

// Write is as that of the net package.
func (s *socket) Write(b []byte) (int, error) {
	n, err := s.File.Write(b)
	return n, s.netError("write", err)
}

func (s *socket) netError(op string, err error) error {
	var file *os.PathError
	if errors.As(err, &file) {
		return &net.OpError{Op: op, Net: s.peer.Network(), Source: s.local, Addr: s.peer, Err: file.Err}
	}
	return err
}

// LocalAddr is where the client connected to.
func (s *socket) LocalAddr() net.Addr { return s.local }

// RemoteAddr is the client's address.
func (s *socket) RemoteAddr() net.Addr { return s.peer }

// CloseWrite sends FIN.
func (s *socket) CloseWrite() error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.Shutdown(int(fd), unix.SHUT_WR) }); err != nil {
		return err
	}
	return failed
}

// addressOf is what the kernel said of one side of a socket.
func (z *zones) addressOf(from unix.Sockaddr) net.Addr {
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	case *unix.SockaddrInet6:
		zone := ""
		if a.ZoneId != 0 {
			zone = z.name(int(a.ZoneId))
		}
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port, Zone: zone}
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: a.Name, Net: "unix"}
	}
	return &net.UnixAddr{Net: "unix"}
}

// zoneAge is how long the name of an interface is taken for granted, as in the net package.
const zoneAge = time.Minute

// zones are the names of interfaces, by index: to ask for one takes a list of all interfaces and their addresses from the
// kernel. It is the loop's.
type zones struct {
	lookup func(index int) (*net.Interface, error)
	names  map[int]string
	since  time.Time // when the oldest name was asked for
}

func newZones() *zones { return &zones{lookup: net.InterfaceByIndex} }

// name is that of an interface of a link-local address, its number where it has none.
func (z *zones) name(index int) string {
	if name, ok := z.names[index]; ok && time.Since(z.since) < zoneAge {
		return name
	}
	if time.Since(z.since) >= zoneAge {
		z.names, z.since = map[int]string{}, time.Now()
	}
	name := strconv.Itoa(index)
	if i, err := z.lookup(index); err == nil {
		name = i.Name
	}
	z.names[index] = name
	return name
}
