package app

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/pgtest/fake"
	"cancello/internal/wire"

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

// crowd are clients that are logged in, have asked once, and of which this process keeps a descriptor and nothing else.
type crowd struct {
	t   *testing.T
	at  string
	tls *tls.Config // nil: in clear
	fds []int
	buf []byte
}

func newCrowd(t *testing.T, a *App, most int, c *tls.Config) *crowd {
	w := &crowd{t: t, at: a.Addrs()[0].String(), tls: c, fds: make([]int, 0, most), buf: make([]byte, 64<<10)}
	t.Cleanup(func() {
		for _, fd := range w.fds {
			unix.Close(fd)
		}
	})
	return w
}

// enter logs n more in, each of whom asks for text.
func (w *crowd) enter(n int, text string) {
	w.t.Helper()
	for range n {
		nc, err := net.DialTimeout("tcp", w.at, fake.Patience)
		if err != nil {
			w.t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(fake.Patience))
		var c io.ReadWriter = nc
		if w.tls != nil {
			w.say(nc, wire.AppendSSLRequest(nil), []byte{'S'})
			c = tls.Client(nc, w.tls)
		}
		ready := wire.AppendReadyForQuery(nil, 'I')
		w.say(c, fake.Startup(3<<16, "user", "somebody", "database", "db"), ready)
		w.say(c, fake.Query(text), ready)
		w.keep(nc.(*net.TCPConn))
	}
}

// say sends a message and reads to the end of its answer.
func (w *crowd) say(c io.ReadWriter, message, end []byte) {
	w.t.Helper()
	if _, err := c.Write(message); err != nil {
		w.t.Fatal(err)
	}
	for n := 0; !bytes.HasSuffix(w.buf[:n], end); {
		m, err := c.Read(w.buf[n:])
		if err != nil {
			w.t.Fatalf("after %d bytes: %v", n, err)
		}
		n += m
	}
}

// keep keeps the descriptor alone.
func (w *crowd) keep(nc *net.TCPConn) {
	raw, err := nc.SyscallConn()
	if err != nil {
		w.t.Fatal(err)
	}
	if failed := raw.Control(func(fd uintptr) {
		var own int
		if own, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			w.fds = append(w.fds, own)
		}
	}); failed != nil || err != nil {
		w.t.Fatal(failed, err)
	}
	nc.Close()
}

// What one idle client keeps on the heap, all through the program: loop, engine, session, and whatever a login leaves behind.
// With TLS that is above all what crypto/tls keeps of a handshake, and its buffer for records, which stays as
// large as the largest one that came.
func TestIdleClientsAreSmall(t *testing.T) {
	for _, c := range []struct {
		name          string
		tls           *tls.Config
		clients, most int64
		text          string
	}{
		{"in clear", nil, 2000, 680, "select 1"},
		{"with TLS 1.3", &tls.Config{InsecureSkipVerify: true}, 300, 8000, "select 1"},
		{"with TLS 1.2", &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}, 300, 5200, "select 1"},
		{"with TLS 1.3, after a long query", &tls.Config{InsecureSkipVerify: true}, 100, 22400, "select " + strings.Repeat(" ", 40000) + "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(t, fake.NewServer(t, fake.Config{Forgetful: true}))
			o.Config.Pool.MaxClientConn = 2 * int(c.clients)
			if c.tls != nil {
				cert := fake.NewAuthority(t).Issue("127.0.0.1", "127.0.0.1")
				o.Config.TLS.Client = config.ClientTLS{Mode: config.SSLRequire, Cert: cert.File, Key: cert.KeyFile}
			}
			w := newCrowd(t, started(t, o), 2*int(c.clients), c.tls)
			w.enter(50, c.text) // what all share is there
			before := liveHeap()
			w.enter(int(c.clients), c.text)
			each := (liveHeap() - before) / c.clients
			t.Logf("%d bytes of heap for each idle client", each)
			if each > c.most {
				t.Errorf("an idle client takes %d bytes of heap, want at most %d", each, c.most)
			}
		})
	}
}
