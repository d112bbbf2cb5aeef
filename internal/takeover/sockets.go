package takeover

import (
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"cancello/internal/listen"
)

// The roles of listening sockets: the settings that name them.
const (
	RoleListen = "listen"
	RoleHTTP   = "http"
	RolePeers  = "peer_listen"
)

// Socket is a listening socket that another process opened.
type Socket struct {
	Role string `json:"role"` // empty: any
	// Said is its address as configured there; empty: by systemd, which knows its own words for it.
	Said string `json:"said"`
	// Kept says that its file in the file system is somebody else's to remove.
	Kept bool `json:"kept,omitempty"`
}

// Sockets are those that a process was given and that its configuration has not asked for yet. The zero value has none.
type Sockets struct {
	list  []*given
	asked []*given             // no longer in list
	taken map[int]net.Listener // by place in the predecessor's offer
}

type given struct {
	Socket
	name  string // systemd's; empty: from a predecessor
	index int    // in the predecessor's offer; -1: systemd's
	ln    net.Listener
}

// FromSystemd takes the sockets that systemd opened for this process (LISTEN_FDS), and has no child of ours believe
// that they are its own.
func FromSystemd() (*Sockets, error) {
	s := &Sockets{}
	files := activation.Files(true)
	defer closeAll(files)
	for _, f := range files {
		ln, err := listener(f)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("systemd passed something as %q that is no listening stream socket: %w", f.Name(), err)
		}
		g := &given{name: f.Name(), index: -1, ln: ln}
		g.Kept = true
		if g.name == RoleHTTP || g.name == RolePeers {
			g.Role = g.name
		}
		s.list = append(s.list, g)
	}
	return s, nil
}

// add takes what came with an offer. The files are closed.
func (s *Sockets) add(offered []Socket, files []*os.File) error {
	defer closeAll(files)
	if len(offered) != len(files) {
		return fmt.Errorf("%d sockets were announced, and %d came", len(offered), len(files))
	}
	for i, f := range files {
		ln, err := listener(f)
		if err != nil {
			return fmt.Errorf("what came as the socket of %s is none: %w", offered[i].Said, err)
		}
		s.list = append(s.list, &given{Socket: offered[i], index: i, ln: ln})
	}
	return nil
}

// listener makes one of a descriptor, which stays the caller's.
func listener(f *os.File) (net.Listener, error) {
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	if c, ok := ln.(syscall.Conn); ok {
		listen.Bounded(c)
	}
	switch l := ln.(type) {
	case *net.TCPListener:
		return &tcpListener{TCPListener: l}, nil
	case *net.UnixListener:
		return l, nil
	}
	ln.Close()
	return nil, fmt.Errorf("its network is %s", ln.Addr().Network())
}

// Take gives the socket for an address of the configuration, said as it is there, if one was given: that of the same
// words, or else one that is where address is in network. Nil: it must be opened. The caller owns it, but for its file
// where it is kept; nothing is unlinked before Own.
func (s *Sockets) Take(role, said, network, address string) (ln net.Listener, kept bool) {
	fits := func(g *given) bool { return g.Role == "" || g.Role == role }
	if network == "unix" && !there(address) {
		return nil, false // whoever has it can't be reached
	}
	at := slices.IndexFunc(s.list, func(g *given) bool { return fits(g) && g.Said == said })
	if at < 0 {
		at = slices.IndexFunc(s.list, func(g *given) bool { return fits(g) && same(g.ln.Addr(), network, address) })
	}
	if at < 0 {
		return nil, false
	}
	g := s.list[at]
	s.list = slices.Delete(s.list, at, at+1)
	if role == RoleListen { // the loop accepts there
		g.ln = listen.Detach(g.ln, false)
	}
	s.dropTwins(g)
	if g.index >= 0 {
		s.took(g.index, g.ln)
	}
	s.asked = append(s.asked, g)
	return g.ln, g.Kept
}

// Own has the files of the sockets that were taken removed when they are closed, where they are not kept: before that
// they are still their former owner's.
func (s *Sockets) Own() {
	for _, g := range s.asked {
		listen.Unlink(g.ln, !g.Kept)
	}
}

// Kept tells whether the file of a listener that was taken is somebody else's.
func (s *Sockets) Kept(ln net.Listener) bool {
	return slices.ContainsFunc(s.asked, func(g *given) bool { return g.ln == ln && g.Kept })
}

// there tells whether a Unix socket can still be found under its name.
func there(path string) bool {
	if path[0] == '@' {
		return true
	}
	info, err := os.Lstat(path)
	return err == nil && info.Mode().Type() == os.ModeSocket
}

// took notes which socket of the offer is in use here.
func (s *Sockets) took(index int, ln net.Listener) {
	if s.taken == nil {
		s.taken = map[int]net.Listener{}
	}
	s.taken[index] = ln
}

// dropTwins closes what is the same socket as g: systemd's, which a predecessor had from it, too.
func (s *Sockets) dropTwins(g *given) {
	s.list = slices.DeleteFunc(s.list, func(other *given) bool {
		twin := other.ln.Addr().Network() == g.ln.Addr().Network() && other.ln.Addr().String() == g.ln.Addr().String()
		if twin {
			g.Kept = g.Kept || other.Kept
			if other.index >= 0 {
				s.took(other.index, g.ln)
			}
			other.ln.Close()
		}
		return twin
	})
}

// same tells whether a socket is where address is.
func same(addr net.Addr, network, address string) bool {
	switch a := addr.(type) {
	case *net.UnixAddr:
		return network == "unix" && a.Name == address
	case *net.TCPAddr:
		want, err := net.ResolveTCPAddr(network, address)
		if network == "unix" || err != nil || want.Port != a.Port || want.Port == 0 {
			return false
		}
		return want.IP.Equal(a.IP) || unspecified(want.IP) && unspecified(a.IP)
	}
	return false
}

func unspecified(ip net.IP) bool { return len(ip) == 0 || ip.IsUnspecified() }

// Unclaimed is what nobody asked for, for people.
func (s *Sockets) Unclaimed() (fromSystemd, taken []string) {
	for _, g := range s.list {
		if g.index < 0 {
			fromSystemd = append(fromSystemd, fmt.Sprintf("%s (%s)", g.ln.Addr(), g.name))
			continue
		}
		taken = append(taken, fmt.Sprintf("%s (%s)", g.ln.Addr(), g.Role))
	}
	return fromSystemd, taken
}

// claimed says of each of the n sockets of an offer whether it was asked for.
func (s *Sockets) claimed(n int) []bool {
	taken := make([]bool, n)
	for i := range taken {
		taken[i] = s.taken[i] != nil
	}
	return taken
}

// Close closes what nobody asked for, here: who listens there elsewhere is not disturbed.
func (s *Sockets) Close() {
	for _, g := range s.list {
		g.ln.Close()
	}
	s.list = nil
}

// tcpListener accepts as a listener that was opened here: package net knows no way to have an inherited one leave
// keep-alive alone, and would set 15 seconds on each connection.
type tcpListener struct{ *net.TCPListener }

// Accept gives a connection that has what the socket says of keep-alive.
func (l *tcpListener) Accept() (net.Conn, error) {
	if raw, err := l.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { listen.Unblock(int(fd)) }) // closed: AcceptTCP says so
	}
	nc, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	likeListener(l, nc)
	return nc, nil
}

// likeListener gives an accepted connection the options of keep-alive that the system had given it.
func likeListener(l, nc syscall.Conn) {
	from, err := l.SyscallConn()
	if err != nil {
		return
	}
	to, err := nc.SyscallConn()
	if err != nil {
		return
	}
	for _, o := range []struct{ level, name int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE}, {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}, {unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
	} {
		var value int
		var failed error
		if from.Control(func(fd uintptr) { value, failed = unix.GetsockoptInt(int(fd), o.level, o.name) }) != nil {
			return // it is closed
		}
		if failed == nil {
			to.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), o.level, o.name, value) })
		}
	}
}
