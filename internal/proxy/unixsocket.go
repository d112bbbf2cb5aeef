package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cancello/internal/config"
	"cancello/internal/listen"

	"golang.org/x/sys/unix"
)

// listen gives the listener of one place. The error is for people.
func (p *Proxy) listen(l config.Listener) (net.Listener, error) {
	c := &p.set.Config
	if p.set.Inherited == nil {
		return open(l, c)
	}
	ln, kept := p.set.Inherited(l)
	if ln == nil {
		return open(l, c)
	}
	if l.Network == "unix" && !kept {
		if err := permit(l.Address, c); err != nil {
			listen.Unlink(ln, false)
			ln.Close()
			return nil, err
		}
	}
	return ln, nil
}

// open listens on one place. The error is for people.
func open(l config.Listener, c *config.Config) (net.Listener, error) {
	if l.Network != "unix" {
		own := net.ListenConfig{KeepAlive: -1} // keepClient sees to it
		ln, err := own.Listen(context.Background(), l.Network, l.Address)
		if err != nil {
			return nil, listenError(l.Address, err)
		}
		return listen.Detach(ln, true), nil
	}
	if !abstract(l.Address) {
		if err := removeStale(l.Address); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen("unix", l.Address)
	if err != nil {
		return nil, socketError(l.Address, err)
	}
	if err := permit(l.Address, c); err != nil {
		ln.Close()
		return nil, err
	}
	return listen.Detach(ln, true), nil
}

// abstract says whether a Unix socket has no file.
func abstract(path string) bool { return strings.HasPrefix(path, "@") }

// liveTime bounds the question whether somebody listens on a socket that is there already.
const liveTime = time.Second

// removeStale removes a socket that a process left behind which is no more. One that somebody listens on stays, and is an
// error, as is a file that is no socket.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return socketError(path, err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("cannot listen on %s: there is a file of that name which is no socket; remove it, or choose another folder with --listen", path)
	}
	nc, err := net.DialTimeout("unix", path, liveTime)
	if err == nil {
		nc.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return inUse(path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return socketError(path, err)
	}
	return nil
}

func inUse(path string) error {
	return fmt.Errorf("cannot listen on %s: another process listens there; choose another folder or port with --listen", path)
}

// socketError says in a person's words why a Unix socket can't be listened on.
func socketError(path string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return inUse(path)
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("cannot listen on %s: its folder is not there; create it, owned by the user that Cancello runs as", path)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("cannot listen on %s: not permitted; the user that Cancello runs as must be able to write to the folder", path)
	}
	return fmt.Errorf("cannot listen on %s: %s", path, netReason(err))
}

// permit lets those connect whom the configuration names.
func permit(path string, c *config.Config) error {
	if abstract(path) {
		return nil
	}
	if name := c.Socket.Group; name != "" {
		gid, err := groupID(name)
		if err != nil {
			return err
		}
		if err := os.Chown(path, -1, gid); err != nil {
			return fmt.Errorf("unix_socket_group = %q: the socket %s cannot be given to that group: %w", name, path, fileReason(err))
		}
	}
	if err := os.Chmod(path, os.FileMode(c.SocketMode())); err != nil {
		return fmt.Errorf("unix_socket_mode = %q: cannot be set on the socket %s: %w", c.Socket.Mode, path, fileReason(err))
	}
	return nil
}

// groupID finds a group by its name or number.
func groupID(name string) (int, error) {
	if gid, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(gid), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("unix_socket_group = %q: there is no such group", name)
	}
	return strconv.Atoi(g.Gid)
}

// remoteName is where a connection comes from, for people: one over a Unix socket has no address, but a process.
func remoteName(nc net.Conn) string { return nameOf(nc.RemoteAddr(), number(nc)) }

// nameOf is remoteName of a descriptor.
func nameOf(peer net.Addr, fd int) string {
	switch a := peer.(type) {
	case *net.TCPAddr:
		at := a.AddrPort() // which is as the address would word it, but cheaper
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()).String()
	case *net.UnixAddr:
		if cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil && cred.Pid > 0 {
			return fmt.Sprintf("unix(%d)", cred.Pid)
		}
		return "unix"
	}
	return peer.String()
}
