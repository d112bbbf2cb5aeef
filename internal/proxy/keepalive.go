package proxy

import (
	"net"
	"syscall"
	"time"

	"cancello/internal/config"

	"golang.org/x/sys/unix"
)

// keepAlive sets on a TCP socket what n says. What the system refuses stays as it is: a connection without it is better
// than none.
func keepAlive(fd int, n config.Network) {
	set := func(level, option, value int) { _ = unix.SetsockoptInt(fd, level, option, value) }
	if n.Keepalive {
		set(unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	}
	if n.Keepalive && n.KeepCount > 0 {
		set(unix.IPPROTO_TCP, unix.TCP_KEEPCNT, n.KeepCount)
	}
	if n.Keepalive && n.KeepIdle > 0 {
		set(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, wholeSeconds(n.KeepIdle))
	}
	if n.Keepalive && n.KeepInterval > 0 {
		set(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, wholeSeconds(n.KeepInterval))
	}
	if n.UserTimeout > 0 {
		set(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(min(n.UserTimeout.Milliseconds(), 1<<31-1)))
	}
}

// maxKeepSeconds is Linux's MAX_TCP_KEEPIDLE and MAX_TCP_KEEPINTVL.
const maxKeepSeconds = 32767

func wholeSeconds(d time.Duration) int {
	return int(min((d+time.Second-1)/time.Second, maxKeepSeconds))
}

// keepClient sets what holds for connections from clients.
func (a *applicant) keepClient(fd int) {
	if a.tcp() {
		keepAlive(fd, a.p.config.Load().Network)
	}
}

// dialer opens connections to servers. It sets n before it connects: tcp_user_timeout bounds that, too.
func dialer(n config.Network) net.Dialer {
	return net.Dialer{KeepAlive: -1, Control: func(network, _ string, raw syscall.RawConn) error {
		if network == "unix" {
			return nil
		}
		return raw.Control(func(fd uintptr) { keepAlive(int(fd), n) })
	}}
}
