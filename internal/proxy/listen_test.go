package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/pgtest/fake"

	"golang.org/x/sys/unix"
)

func TestAcceptOutlivesErrors(t *testing.T) {
	w := start(t, newScript())
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := fake.Dial(t, w.addr())
	silent.Put(sslRequest)
	silent.Byte()
	e := newEntrance(inner, config.Listener{})
	really, fails := e.next, []error{unix.EMFILE, unix.ECONNABORTED, unix.ENFILE, unix.ENOBUFS}
	e.next = func() (int, unix.Sockaddr, error) {
		if len(fails) > 0 {
			err := fails[0]
			fails = fails[1:]
			return -1, nil, err
		}
		return really()
	}
	w.loop.Post(func(time.Duration) { w.unlock(e) })
	t.Cleanup(func() {
		w.onLoop(func(time.Duration) { w.loop.Forget(e.fd) })
		inner.Close()
	})
	c := fake.Dial(t, inner.Addr().String())
	c.Login(fake.V30, "user", "u")
	silent.WantError("53300") // out of descriptors, the oldest silent one had to go
}

func TestListenErrors(t *testing.T) {
	busy := start(t, newScript())
	tests := []struct{ addr, want string }{
		{busy.addr(), "cannot listen on " + busy.addr() + ": the port is in use by another process"},
		{"192.0.2.1:0", "cannot listen on 192.0.2.1:0: the address is not one of this machine"},
		{"no..such.host:0", `cannot listen on no..such.host:0: host name "no..such.host"`},
	}
	for _, tt := range tests {
		w := newWorld(t, newScript(), func(set *Settings) { set.Config.Listen = []string{"127.0.0.1:0", tt.addr} })
		err := w.Start()
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("listening on %s: %v, want %s...", tt.addr, err, tt.want)
		}
	}
}

func TestSeveralListeners(t *testing.T) {
	w := start(t, newScript(), func(set *Settings) { set.Config.Listen = []string{"127.0.0.1:0", "127.0.0.1:0"} })
	for _, a := range w.Addrs() {
		fake.Dial(t, a.String()).Login(fake.V30, "user", "u")
	}
}

// Another process that has the socket, too, may have it block: the loop goes on.
func TestMadeToBlock(t *testing.T) {
	w := start(t, newScript())
	for range 20 {
		for _, ln := range w.Listeners() {
			if err := unix.SetNonblock(number(ln), false); err != nil {
				t.Fatal(err)
			}
		}
		fake.Dial(t, w.addr()).Login(fake.V30, "user", "u")
		w.onLoop(func(time.Duration) {})
	}
}

// openFiles counts this process's descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	all, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestNoDescriptorIsLost(t *testing.T) {
	s := newScript()
	w := newWorld(t, s)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	before := openFiles(t)
	for range 20 {
		for _, b := range [][]byte{
			nil, {0, 0}, sslRequest, fake.Cancel(testPID, testKey), fake.Cancel(1, nil), fake.Startup(fake.V30),
			fake.Startup(fake.V30, "user", "u"), fake.Startup(0x00040000, "user", "u"), []byte("GET / HTTP/1.1\r\n\r\n"),
		} {
			c := fake.Dial(t, w.addr())
			c.Put(b)
			c.Conn.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, c)
			c.Close()
		}
	}
	// Admitted clients are the loop's, which closes them when the engine says so.
	until(t, "only the descriptors of 20 clients are left", func() bool { return openFiles(t) <= before+20 })
	w.Stop()
	if n := openFiles(t); n >= before {
		t.Errorf("%d descriptors after Stop, %d while it ran", n, before)
	}
}

func TestStopEndsEverybody(t *testing.T) {
	w := start(t, newScript())
	in := fake.Dial(t, w.addr())
	in.Login(fake.V30, "user", "u")
	silent := fake.Dial(t, w.addr())
	silent.Put(sslRequest)
	silent.Byte()
	w.Stop()
	silent.WantError("57P01")
	silent.WantEOF()
	in.SetReadDeadline(time.Now().Add(fake.Patience))
	if _, err := in.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the client that was in is still in: %v", err)
	}
}

// Input that nobody has read turns a close into a reset, which can destroy the error on its way to the client (trap
// C4): so it is drained first.
func TestHangUpDrains(t *testing.T) {
	w := start(t, newScript())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := fake.Dial(t, ln.Addr().String())
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Put(make([]byte, lingerBytes/2))
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		(&visit{applicant: applicant{p: w.Proxy}, raw: nc, nc: nc}).hangUp()
	}()
	c.WantEOF()
	c.Conn.(*net.TCPConn).CloseWrite()
	next(t, gone, "the close")
	raw, err := c.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		if n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); n != 0 || err != nil {
			t.Errorf("the client's socket has error %v, %v: it was reset", syscall.Errno(n), err)
		}
	}); err != nil {
		t.Fatal(err)
	}
}
