package takeover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"cancello/internal/listen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// service is a process in service, of which a test sees what it is asked to do.
type service struct {
	t         *testing.T
	listeners []net.Listener
	offer     Offer
	did       chan string
	yielded   chan []bool
	links     chan net.Conn

	mu      sync.Mutex
	silent  []net.Conn // accepted from the first listener: passed on
	onPause func()     // nil: nothing
}

func newService(t *testing.T, sockets []Socket, listeners ...net.Listener) *service {
	return &service{
		t: t, listeners: listeners, offer: Offer{Sockets: sockets, Mock: []byte("mock")},
		did: make(chan string, 100), yielded: make(chan []bool, 1), links: make(chan net.Conn, 10),
	}
}

func (s *service) Offer() (Offer, []syscall.Conn) {
	var list []syscall.Conn
	for _, ln := range s.listeners {
		list = append(list, ln.(syscall.Conn))
	}
	return s.offer, list
}
func (s *service) Pause() {
	s.mu.Lock()
	f := s.onPause
	s.mu.Unlock()
	if f != nil {
		f()
	}
	s.did <- "pause"
}
func (s *service) Resume() { s.did <- "resume" }
func (s *service) Yield(to Identity, taken []bool, pass func(int, syscall.Conn) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, nc := range s.silent {
		if !pass(0, nc.(syscall.Conn)) {
			s.t.Error("it is not passed on")
		}
		nc.Close()
	}
	s.did <- "yield"
	s.yielded <- taken
}
func (s *service) Link(_ Identity, nc net.Conn, _ <-chan struct{}) { s.links <- nc }
func (s *service) Clients() int                                    { return 7 }

func (s *service) wants(what string) {
	s.t.Helper()
	select {
	case did := <-s.did:
		if did != what {
			s.t.Errorf("it does %q, want %q", did, what)
		}
	case <-time.After(patience):
		s.t.Fatalf("it does not %s", what)
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// incarnations are names for processes.
func identity(n int) Identity { return Identity{PID: n, Incarnation: fmt.Sprintf("%08x", n)} }

func listenOn(t *testing.T, network, addr string) net.Listener {
	t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// open puts a service to a name.
func open(t *testing.T, name string, n int, s *service) *Place {
	t.Helper()
	p, err := Open(name, identity(n), s, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if err := p.Point(); err != nil {
		t.Fatal(err)
	}
	return p
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// claimed waits for one that was given up a moment ago: the running process hears of it when it reads.
func claimed(t *testing.T, name string, n int) (s *Session, sockets *Sockets) {
	t.Helper()
	await(t, "it can be claimed", func() bool {
		sockets = &Sockets{}
		var err error
		if s, err = Claim(limited(t), name, identity(n), sockets); err != nil && !strings.Contains(err.Error(), "another process is about to take over") {
			t.Fatal(err)
		}
		return err == nil
	})
	t.Cleanup(sockets.Close)
	return s, sockets
}

func dialed(t *testing.T, ln net.Listener) net.Conn {
	t.Helper()
	c, err := net.DialTimeout(ln.Addr().Network(), ln.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// accept takes a connection that has come, as who has the listener does: itself, or by its descriptor.
func accept(t *testing.T, ln net.Listener) net.Conn {
	t.Helper()
	s, ok := ln.(*listen.Socket)
	if !ok {
		nc, err := ln.Accept()
		must(t, err)
		return nc
	}
	raw, err := s.SyscallConn()
	must(t, err)
	var nc net.Conn
	must(t, raw.Control(func(fd uintptr) {
		await(t, "the connection", func() bool {
			n, _, e := unix.Accept4(int(fd), unix.SOCK_CLOEXEC)
			if err = e; e != nil {
				return e != unix.EAGAIN
			}
			f := os.NewFile(uintptr(n), "accepted")
			nc, err = net.FileConn(f)
			f.Close()
			return true
		})
	}))
	must(t, err)
	return nc
}

// greet has a client say a word through a listener.
func greet(t *testing.T, ln net.Listener) {
	t.Helper()
	c := dialed(t, ln)
	nc := accept(t, ln)
	defer nc.Close()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	nc.SetReadDeadline(time.Now().Add(patience))
	if n, err := nc.Read(make([]byte, 1)); n != 1 {
		t.Fatal(err)
	}
}

// linked asks for a stream, and says something on it.
func linked(t *testing.T, s *Session, old *service) {
	t.Helper()
	nc, err := s.Link(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	far := <-old.links
	defer far.Close()
	if _, err := far.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4)
	if _, err := io.ReadFull(nc, b); err != nil || string(b) != "ping" {
		t.Errorf("over the link came %q, %v", b, err)
	}
}

// finds has the sockets asked for that the test of a takeover knows of.
func finds(t *testing.T, sockets *Sockets, path string, gone net.Listener) (tcp, unix net.Listener) {
	t.Helper()
	tcp, kept := sockets.Take(RoleListen, "localhost:0", "tcp", "localhost:0")
	unix, _ = sockets.Take(RoleListen, path, "unix", path)
	if tcp == nil || unix == nil || kept {
		t.Fatalf("%v, %v, kept %v", tcp, unix, kept)
	}
	if ln, _ := sockets.Take(RoleListen, "127.0.0.1:1", "tcp", "127.0.0.1:1"); ln != nil {
		t.Error("an address that was not listened on is there")
	}
	if ln, _ := sockets.Take(RoleListen, "9090", "tcp", gone.Addr().String()); ln != nil {
		t.Error("HTTP's socket is given to clients")
	}
	return tcp, unix
}

func TestTakeover(t *testing.T) {
	dir := t.TempDir()
	name, path := filepath.Join(dir, "takeover"), filepath.Join(dir, ".s.PGSQL.1")
	tcp, file, gone := listenOn(t, "tcp", "127.0.0.1:0"), listenOn(t, "unix", path), listenOn(t, "tcp", "127.0.0.1:0")
	old := newService(t, []Socket{{Role: RoleListen, Said: "localhost:0"}, {Role: RoleListen, Said: path}, {Role: RoleHTTP, Said: "9090"}}, tcp, file, gone)
	old.offer.Predecessors = []string{"/earlier"}
	place := open(t, name, 1, old)
	client := dialed(t, tcp)
	accepted, err := tcp.Accept()
	if err != nil {
		t.Fatal(err)
	}
	old.mu.Lock()
	old.silent = []net.Conn{accepted}
	old.mu.Unlock()

	s, sockets := claimed(t, name, 2)
	defer s.Close()
	if s.Offer.Who != identity(1) || string(s.Offer.Mock) != "mock" || !slices.Equal(s.Offer.Predecessors, []string{"/earlier"}) || s.Path != place.Path() {
		t.Errorf("offer %+v of %s", s.Offer, s.Path)
	}
	for _, fd := range descriptorsOf(t, tcp, file) {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("the running process's listener blocks by now: %#x, %v", flags, err)
		}
	}
	mine, other := finds(t, sockets, path, gone)
	next := newService(t, nil)
	place2, err := Open(name, identity(2), next, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer place2.Close()

	linked(t, s, old)
	must(t, s.Go(limited(t)))
	old.wants("pause")
	linked(t, s, old) // one may break between ready and serving
	must(t, s.Take())
	must(t, place2.Point())
	type arrival struct {
		ln net.Listener
		nc net.Conn
	}
	arrivals := make(chan arrival, 1)
	if err := s.Serving(func(ln net.Listener, nc net.Conn) { arrivals <- arrival{ln, nc} }); err != nil {
		t.Fatal(err)
	}
	old.wants("yield")
	if taken := <-old.yielded; !slices.Equal(taken, []bool{true, true, false}) {
		t.Errorf("taken %v", taken)
	}
	select {
	case a := <-arrivals:
		if a.ln != mine {
			t.Error("it did not come with its listener")
		}
		keptAlikeAlive(t, tcp, a.nc)
		if _, err := client.Write([]byte("word")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4)
		if _, err := io.ReadFull(a.nc, b); err != nil || string(b) != "word" {
			t.Errorf("the client says %q, %v", b, err)
		}
		a.nc.Close()
	case <-time.After(patience):
		t.Fatal("the silent connection is not passed on")
	}
	await(t, "the number of clients", func() bool { return s.Clients() == 7 })

	sockets.Own()
	file.(*net.UnixListener).SetUnlinkOnClose(false)
	file.Close()
	tcp.Close()
	greet(t, mine)
	greet(t, other)
	another, err := Follow(limited(t), place.Path(), identity(3))
	if err != nil || another.Offer.Who != identity(1) {
		t.Fatal(err)
	}
	another.Close()
	if _, err := Claim(limited(t), place.Path(), identity(3), &Sockets{}); err == nil || !strings.Contains(err.Error(), "has taken over already") {
		t.Errorf("who is gone is claimed: %v", err)
	}
	place.Close()
	select {
	case <-s.Ended():
	case <-time.After(patience):
		t.Error("the end of the old process is not seen")
	}
	if to, err := os.Readlink(name); err != nil || to != filepath.Base(place2.Path()) {
		t.Errorf("the name leads to %q, %v", to, err)
	}
	other.Close()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the last owner did not remove the socket: %v", err)
	}
}

// A new process that ends before it serves leaves the old one as it was, whenever that is.
func TestOldProcessGoesOn(t *testing.T) {
	name := filepath.Join(t.TempDir(), "takeover")
	ln := listenOn(t, "tcp", "127.0.0.1:0")
	old := newService(t, []Socket{{Role: RoleListen, Said: "x"}}, ln)
	place := open(t, name, 1, old)
	if info, err := os.Stat(place.Path()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	for n, paused := range []bool{false, true} {
		s, sockets := claimed(t, name, 2+n)
		if ln, _ := sockets.Take(RoleListen, "x", "tcp", "x:1"); ln == nil {
			t.Fatal("no socket")
		}
		if _, err := Claim(limited(t), name, identity(9), &Sockets{}); err == nil || !strings.Contains(err.Error(), "another process is about to take over") {
			t.Errorf("two at a time: %v", err)
		}
		if paused {
			if err := s.Go(limited(t)); err != nil {
				t.Fatal(err)
			}
			old.wants("pause")
			if err := os.Remove(name); err != nil { // as if it had pointed already
				t.Fatal(err)
			}
		}
		s.Close()
		if paused {
			old.wants("resume")
		}
		for _, g := range sockets.asked {
			g.ln.Close()
		}
		await(t, "it can be claimed again", func() bool {
			again, err := Claim(limited(t), name, identity(9), &Sockets{})
			if err != nil {
				return false
			}
			again.sockets.Close()
			again.Close()
			return true
		})
		greet(t, ln)
	}
	if err := Free(name); err == nil || !strings.Contains(err.Error(), "another process is in service there; take its place with --takeover") {
		t.Errorf("a second process without takeover: %v", err)
	}
	place.Close()
	if left, err := filepath.Glob(name + "*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// What a process left behind that was killed is removed, and nothing else is.
func TestFree(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "take[o]ver")
	dead, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: name + ".0badcafe", Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if err := os.Symlink(filepath.Base(name)+".0badcafe", name); err != nil {
		t.Fatal(err)
	}
	live := open(t, name+".x", 5, newService(t, nil))
	if _, err := Claim(limited(t), name, identity(2), &Sockets{}); !errors.Is(err, ErrNobody) {
		t.Errorf("one that is dead is claimed: %v", err)
	}
	if err := Free(name); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(name + ".0badcafe"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if _, err := os.Lstat(live.Path()); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Free(filepath.Join(dir, "mine")); err == nil || !strings.Contains(err.Error(), "not Cancello's") {
		t.Errorf("somebody's file: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "none", "x"), identity(1), nil, quiet()); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no folder: %v", err)
	}
}

// Who speaks nonsense is hung up on, and a later version of the packets is refused in words.
func TestStrangers(t *testing.T) {
	name := filepath.Join(t.TempDir(), "takeover")
	open(t, name, 1, newService(t, nil))
	for said, want := range map[string]string{
		`{`: "", `{"kind":"go"}`: "does not understand", `{"kind":"claim","version":3,"who":{}}`: "does not understand",
		`{"kind":"claim","version":1}`: "does not understand",
	} {
		c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: name, Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(said)); err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		b := make([]byte, maxPacket)
		n, err := c.Read(b)
		if want == "" && !errors.Is(err, io.EOF) || !strings.Contains(string(b[:n]), want) {
			t.Errorf("%s is answered %s, %v", said, b[:n], err)
		}
		c.Close()
	}
}

// An accepted connection has what its listener has of keep-alive, wherever that was opened.
func TestKeepAliveAsOpenedHere(t *testing.T) {
	opened, err := (&net.ListenConfig{KeepAlive: -1}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	fd, err := listen.Duplicate(opened.(syscall.Conn))
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "x")
	defer f.Close()
	inherited, err := listener(f)
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	c, err := net.Dial("tcp", opened.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	nc, err := inherited.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	keptAlikeAlive(t, opened, nc)
}

// keptAlikeAlive has a connection be kept alive as its listener says, not as package net would.
func keptAlikeAlive(t *testing.T, ln net.Listener, nc net.Conn) {
	t.Helper()
	from, to := descriptorsOf(t, ln)[0], descriptorsOf(t, nc)[0]
	for _, o := range [][2]int{{unix.SOL_SOCKET, unix.SO_KEEPALIVE}, {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE}, {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}} {
		want, err := unix.GetsockoptInt(from, o[0], o[1])
		if err != nil {
			t.Fatal(err)
		}
		if got, err := unix.GetsockoptInt(to, o[0], o[1]); got != want || err != nil {
			t.Errorf("option %v is %d, %v; want %d", o, got, err, want)
		}
	}
}

// A socket of systemd's is made to block when that starts another process: whoever accepts there can still stop.
func TestMadeToBlock(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		address := map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")}[network]
		opened := listenOn(t, network, address)
		fd, err := listen.Duplicate(opened.(syscall.Conn))
		must(t, err)
		f := os.NewFile(uintptr(fd), "x")
		defer f.Close()
		inherited, err := listener(f)
		must(t, err)
		must(t, unix.SetNonblock(descriptorsOf(t, opened)[0], false))
		over := make(chan struct{})
		go func() {
			defer close(over)
			for {
				if _, err := inherited.Accept(); err != nil {
					return
				}
			}
		}()
		time.Sleep(50 * time.Millisecond) // sleeps: so that Accept has begun, mostly
		go inherited.Close()
		select {
		case <-over:
		case <-time.After(patience):
			t.Fatalf("%s: it can't be closed", network)
		}
	}
}

func descriptorsOf(t *testing.T, list ...any) (fds []int) {
	t.Helper()
	for _, l := range list {
		raw, err := l.(syscall.Conn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) }); err != nil {
			t.Fatal(err)
		}
	}
	return fds
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not so: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}
