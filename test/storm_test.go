package test

import (
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cancello/internal/pgtest/fake"
)

// A storm: 10,000 requests that mean nobody, from many addresses, beside connections that say nothing and handshakes that
// do not go on. No server is dialed for them, no client's place is taken, the log stays readable, and each true cancel
// that comes meanwhile arrives, in clear and over TLS.
func TestStormOfForgedCancels(t *testing.T) {
	t.Parallel()
	f := fake.NewServer(t, fake.Config{})
	a := fake.NewAuthority(t)
	ours := a.Issue("cancello", "127.0.0.1")
	const people = 4
	// Each server that there may be is there, and no cancel is asked twice: a connection to the server is a cancel.
	g := startGate(t, gateOptions{upstreams: []string{fakeUpstream(f)}, mode: "transaction", size: people, set: []string{
		fmt.Sprintf("max_client_conn=%d", people), "cancel_resend=0", "client_tls_sslmode=allow", "client_tls_cert_file=" + ours.File, "client_tls_key_file=" + ours.KeyFile,
	}})
	var all []*joined
	for range people {
		all = append(all, enter(t, g))
	}
	for _, c := range all { // so that each has its server, and nothing is to be dialed any more
		c.Put(fake.Query("sleep"))
	}
	running(t, f, people)
	before := f.Accepted()
	began := time.Now()
	sent, over := storm(t, g, all)
	for range 100 { // those who say nothing, or half a handshake
		c := fake.Dial(t, g.Addr())
		c.Put(fake.Msg(0, uint32(80877103)))
		c.Byte()
	}

	rounds := 0
	for done := false; !done || rounds < 3; rounds++ {
		select {
		case <-over:
			done = true
		default:
		}
		for i, c := range all {
			if i%2 == 0 {
				fake.SendCancel(t, g.Addr(), c.pid, c.key)
			} else {
				x := fake.Dial(t, g.Addr())
				x.Put(fake.Msg(0, uint32(80877103)))
				x.Byte()
				x.Encrypt(&tls.Config{RootCAs: a.Pool, ServerName: "127.0.0.1"})
				x.Put(fake.Cancel(c.pid, c.key))
				x.WantEOF()
			}
			c.WantError("57014")
			c.Want("Z")
			c.Put(fake.Query("sleep"))
		}
		running(t, f, people)
	}
	if n := sent.Load(); n != forgeries {
		t.Errorf("%d of %d requests were sent", n, forgeries)
	}
	if n, meant := f.Accepted()-before, people*rounds; n != meant {
		t.Errorf("%d connections to the server for %d cancels that are true", n, meant)
	}
	late := fake.Dial(t, g.Addr())
	late.Put(fake.Startup(fake.V30, "user", "late", "database", "late"))
	late.WantError("53300") // all places are still those of the people
	forged := 0
	for line := range strings.Lines(g.Log()) {
		if strings.Contains(line, "msg=cancel outcome=forged") || strings.Contains(line, "outcome=unknown_key") || strings.Contains(line, "outcome=malformed") {
			forged++
		}
	}
	if most := 20 + int(time.Since(began).Seconds()) + 1; forged > most {
		t.Errorf("%d lines in the log for %d forged requests, want %d at most", forged, forgeries, most)
	}
	g.AwaitLog("more cancels that mean nobody: lines were left out, counts were not")
}

// forgeries is how many requests a storm has.
const forgeries = 10_000

// storm sends requests that mean nobody; all are clients whose keys they resemble. over is closed when all have been sent.
func storm(t *testing.T, g *gate, all []*joined) (sent *atomic.Int64, over <-chan struct{}) {
	strange := func(n int) []byte {
		k := make([]byte, n)
		rand.Read(k) // it never fails
		return k
	}
	var serial atomic.Int64
	sent = &atomic.Int64{}
	var forgers sync.WaitGroup
	for range 4 {
		forgers.Go(func() {
			for n := serial.Add(1); n <= forgeries; n = serial.Add(1) {
				victim := all[int(n)%len(all)]
				request := [][]byte{
					fake.Cancel(victim.pid, strange(4)), fake.Cancel(victim.pid, strange(32)), fake.Cancel(victim.pid, strange(5)),
					fake.Cancel(victim.pid+100, victim.key), fake.Cancel(0, make([]byte, 4)), fake.Cancel(1<<31|victim.pid, strange(32)),
				}[n%6]
				from := &net.TCPAddr{IP: net.IPv4(127, byte(1+n%250), byte(n/250%250), 9)}
				nc, err := (&net.Dialer{LocalAddr: from, Timeout: patience}).Dial("tcp", g.Addr())
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := nc.Write(request); err == nil {
					_ = nc.SetDeadline(time.Now().Add(patience))
					if err := drained(nc); err != nil {
						t.Errorf("request %d: %v", n, err)
					}
				}
				_ = nc.Close()
				sent.Add(1)
			}
		})
	}
	ended := make(chan struct{})
	go func() { forgers.Wait(); close(ended) }()
	return sent, ended
}
