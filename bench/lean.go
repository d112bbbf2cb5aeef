package main

import (
	"net"
	"runtime"

	"golang.org/x/sys/unix"
)

// leanName is a bare server as a program in C would be one: a single thread that accepts, reads and closes with blocking
// system calls, and nothing of Go's network between. What it costs less than bare is Go's share.
const leanName = "lean"

func lean(addr string) error {
	at, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: at.Port, Addr: [4]byte(at.IP.To4())}); err != nil {
		return err
	}
	if err := unix.Listen(fd, 4096); err != nil {
		return err
	}
	return serveLean(fd)
}

// serveLean never sends anything; whoever connects is expected to say something at once.
func serveLean(fd int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	buf := make([]byte, 64)
	for {
		conn, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if err == unix.EINTR || err == unix.ECONNABORTED {
			continue
		}
		if err != nil {
			return err
		}
		_, _ = unix.Read(conn, buf) // whatever it is
		_ = unix.Close(conn)
	}
}
