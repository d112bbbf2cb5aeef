package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"cancello/internal/config"
	"cancello/internal/sqlstate"

	"golang.org/x/sys/unix"
)

// Descriptors that a process needs besides those of its clients and servers.
const (
	// reserve is for cancels alone: the highest numbers there are. A cancel takes two, the client's connection and ours
	// to the server.
	reserve = 64
	// ownDescriptors is for what is neither: listeners, the event loop, HTTP, files that are read, names looked up.
	ownDescriptors = 96
	// minSilent is the least that is left for connections without a startup packet.
	minSilent = 96
	// Spare is all of these.
	Spare = reserve + ownDescriptors + minSilent
)

// descriptors knows where the reserve begins. The kernel gives out the lowest number that is free, so the number of a
// new descriptor tells how many are in use, whatever for: nothing has to be counted, and nothing held.
type descriptors struct {
	limit      atomic.Int64 // RLIMIT_NOFILE; numbers are below it
	complained atomic.Int64 // when it was said in the log that there are none left, in Unix nanoseconds
}

func newDescriptors() *descriptors {
	d := &descriptors{}
	d.refresh()
	return d
}

// refresh asks for the limit: it can be changed from outside.
func (d *descriptors) refresh() {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil || r.Cur > math.MaxInt32 {
		r.Cur = math.MaxInt32
	}
	d.limit.Store(int64(r.Cur))
}

// reserved says whether fd is one of those for cancels.
func (d *descriptors) reserved(fd int) bool { return int64(fd) >= d.limit.Load()-reserve }

// scarce says that half of the reserve is in use: the rest is for our connections to servers.
func (d *descriptors) scarce(fd int) bool { return int64(fd) >= d.limit.Load()-reserve/2 }

// room is how many connections without a startup packet leave all others theirs.
func (d *descriptors) room(c *config.Config) int {
	clients, servers := c.Connections()
	left := d.limit.Load() - int64(clients+servers) - reserve - ownDescriptors
	return int(min(max(left, minSilent), maxSilent))
}

// errNoDescriptor: one could be had, but it is kept for a cancel.
type errNoDescriptor struct{ limit int64 }

func (e errNoDescriptor) Error() string {
	return fmt.Sprintf("all of Cancello's file descriptors are in use but for those kept for cancels: "+
		"its limit is %d; raise it (LimitNOFILE of its systemd unit, or ulimit -n), or lower max_client_conn", e.limit)
}

// exhausted says whether err means that no descriptor was left, here or in the whole system.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.As(err, new(errNoDescriptor))
}

// Scarce tells whether a connection that is no client's, HTTP's for one, took what may be needed for cancels: half of what is
// kept for them is in use, or more.
func (p *Proxy) Scarce(nc net.Conn) bool {
	fd := number(nc)
	return fd >= 0 && p.fds.scarce(fd)
}

// mayStay is an error for a connection that is not a cancel's and took a descriptor of the reserve.
func (d *descriptors) mayStay(fd int) error {
	if fd >= 0 && d.reserved(fd) {
		return errNoDescriptor{d.limit.Load()}
	}
	return nil
}

// outOfDescriptors is what a client is told that can't have one.
func (d *descriptors) outOfDescriptors() sqlstate.Error {
	return sqlstate.NoDescriptors(int(d.limit.Load()))
}

// complain says in the log that clients are refused, but not for each.
func (d *descriptors) complain(log *slog.Logger) {
	last, now := d.complained.Load(), time.Now().UnixNano()
	if now-last >= int64(acceptLogEvery) && d.complained.CompareAndSwap(last, now) {
		log.Error("file descriptors have run out: clients are refused, cancels are still carried; "+
			"raise LimitNOFILE or ulimit -n, or lower max_client_conn", "limit", d.limit.Load(), "kept_for_cancels", reserve)
	}
}

// number is the descriptor of a connection or a listener, -1 if it has none.
func number(of any) (fd int) {
	fd = -1
	if sc, ok := of.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			_ = raw.Control(func(n uintptr) { fd = int(n) }) // it fails when that is closed
		}
	}
	return fd
}
