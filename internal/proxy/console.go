package proxy

import (
	"bufio"
	"net"
	"time"

	"cancello/internal/config"
)

// Guest is an authenticated client that asked for the console.
type Guest struct {
	User   string
	Remote string
	Local  bool // the connection comes from this machine
	Proven bool // it had to prove that it is that user
	// What it is told to cancel with, and where the console says what a cancel does: it ends a wait, and tells whether
	// there was one.
	PID      uint32
	Key      []byte // secret
	OnCancel func(end func() bool)
}

// wantsConsole tells whether a database is the console.
func (p *Proxy) wantsConsole(database string) bool {
	return database == config.Console && p.set.Console != nil
}

// welcome hands the visit to the console until one of them ends it. It counts as no client, and takes no part in a
// drain: who hinders one can be seen there.
func (v *visit) welcome() {
	v.nc.SetDeadline(time.Time{})
	if v.p.ctx.Err() != nil {
		v.nc.SetDeadline(longAgo)
	}
	pid, k := v.p.guests.enter(v.guest.User, v.long)
	defer v.p.guests.leave(pid)
	g := *v.guest
	g.PID, g.Key, g.OnCancel = pid, k.key, func(end func() bool) { v.p.guests.onCancel(k, end) }
	v.p.set.Console(v.p.ctx, buffered{v.nc, v.r}, g)
	v.nc.SetDeadline(time.Now().Add(lingerTime))
}

// local tells whether a connection comes from this machine.
func local(nc net.Conn) bool {
	switch a := nc.RemoteAddr().(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}

// buffered is a connection of which something was read ahead.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

// Read gives what was read ahead first.
func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }
