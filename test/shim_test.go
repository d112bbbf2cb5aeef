package test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
)

// shim stands between a gate and a PostgreSQL like a proxy that knows nothing of cancel, as RDS Proxy: it takes the
// BackendKeyData out of every login, or the key out of it, and counts CancelRequests, which it drops.
type shim struct {
	zeros bool // for keys; else there is no BackendKeyData
	t     testing.TB
	to    string
	ln    net.Listener
	mu    sync.Mutex
	keys  int        // CancelRequests
	up    []net.Conn // to the server
}

func newShim(t testing.TB, to string) *shim {
	t.Helper()
	return startShim(t, &shim{t: t, to: to})
}

func startShim(t testing.TB, s *shim) *shim {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.ln = ln
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.relay(nc) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		s.mu.Lock()
		for _, up := range s.up { // a server that is at something takes its time to notice that its client has gone
			up.Close()
		}
		s.mu.Unlock()
		wg.Wait()
	})
	return s
}

func (s *shim) address() address { return address{"127.0.0.1", s.ln.Addr().(*net.TCPAddr).Port} }

// cancels is how many CancelRequests came.
func (s *shim) cancels() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys
}

// relay copies both ways, and what the server says up to its first ReadyForQuery message by message.
func (s *shim) relay(nc net.Conn) {
	defer nc.Close()
	var head [8]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		return
	}
	if binary.BigEndian.Uint32(head[4:]) == 80877102 {
		s.mu.Lock()
		s.keys++
		s.mu.Unlock()
		return
	}
	up, err := net.Dial("tcp", s.to)
	if err != nil {
		return
	}
	defer up.Close()
	s.mu.Lock()
	s.up = append(s.up, up)
	s.mu.Unlock()
	if _, err := up.Write(head[:]); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(up, nc)
		up.Close() // what still runs there is nobody's any more
	}()
	r := bufio.NewReader(up)
	for {
		m, err := readMessage(r, 256<<20)
		if err != nil {
			return
		}
		if m.Type == 'K' && s.zeros {
			clear(m.Body[4:])
		}
		if m.Type != 'K' || s.zeros {
			p := binary.BigEndian.AppendUint32([]byte{m.Type}, uint32(len(m.Body)+4))
			if _, err := nc.Write(append(p, m.Body...)); err != nil {
				return
			}
		}
		if m.Type == 'Z' {
			break
		}
	}
	_, _ = io.Copy(nc, r)
}
