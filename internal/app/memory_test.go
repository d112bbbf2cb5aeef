package app

import (
	"bytes"
	"net"
	"runtime"
	"testing"

	"cancello/internal/pgtest/fake"

	"golang.org/x/sys/unix"
)

// liveHeap is the live heap after a collection, in bytes.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// bareClient is a client of which this process keeps a descriptor and nothing else.
type bareClient struct {
	t  *testing.T
	fd int
}

func newBareClient(t *testing.T, at *net.TCPAddr) bareClient {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	tv := unix.NsecToTimeval(fake.Patience.Nanoseconds())
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: at.Port, Addr: [4]byte(at.IP.To4())}); err != nil {
		t.Fatal(err)
	}
	return bareClient{t, fd}
}

// ask sends a message and reads until ReadyForQuery.
func (c bareClient) ask(message, buf []byte) {
	if _, err := unix.Write(c.fd, message); err != nil {
		c.t.Fatal(err)
	}
	for n := 0; !bytes.HasSuffix(buf[:n], []byte{'Z', 0, 0, 0, 5, 'I'}); {
		m, err := unix.Read(c.fd, buf[n:])
		if err != nil || m == 0 {
			c.t.Fatalf("after %d bytes: %d, %v", n, m, err)
		}
		n += m
	}
}

// What one idle client keeps on the heap, all through the program: loop, engine, session and whatever a login leaves behind.
func TestIdleClientsAreSmall(t *testing.T) {
	const clients, most = 2000, 680
	backend := fake.NewServer(t, fake.Config{Forgetful: true})
	o := options(t, backend)
	o.Config.Pool.MaxClientConn = 2 * clients
	a := started(t, o)
	buf := make([]byte, 64<<10)
	enter := func(n int) (all []bareClient) {
		for range n {
			c := newBareClient(t, a.Addrs()[0].(*net.TCPAddr))
			all = append(all, c)
			c.ask(fake.Startup(3<<16, "user", "somebody", "database", "db"), buf)
			c.ask(fake.Query("select 1"), buf)
		}
		return all
	}
	leave := func(all []bareClient) {
		for _, c := range all {
			unix.Close(c.fd)
		}
	}
	first := enter(100) // what all share is there
	defer leave(first)
	before := liveHeap()
	crowd := enter(clients)
	defer leave(crowd)
	each := (liveHeap() - before) / clients
	t.Logf("%d bytes of heap for each idle client", each)
	if each > most {
		t.Errorf("an idle client takes %d bytes of heap, want at most %d", each, most)
	}
}
