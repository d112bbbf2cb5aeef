package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cancello/internal/wire"
)

const (
	forgers     = 8                // requests at a time
	countsLimit = 10 * time.Second // until metrics have counted what was answered
	bareName    = "bare"
)

// harmless are the outcomes of a request that was told to be none of ours, and no others may come of a forged one.
var harmless = []string{"forged", "unknown_key"}

// bare is the least that a server does for a request that it wants nothing of: accept, read, close. It is a process of
// its own, so that its CPU time is its own.
func bare(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return serveBare(l)
}

func serveBare(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			_, _ = conn.Read(make([]byte, 64)) // whatever it is
		}()
	}
}

// relay passes connections on to PostgreSQL and counts them: what a proxy dials is seen here, whatever it says.
type relay struct {
	listener net.Listener
	upstream string
	dialed   atomic.Int64
}

func openRelay(upstream string) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: l, upstream: upstream}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			r.dialed.Add(1)
			go r.pass(conn)
		}
	}()
	return r, nil
}

// pass ends when both directions have.
func (r *relay) pass(conn net.Conn) {
	defer conn.Close()
	server, err := net.Dial("tcp", r.upstream)
	if err != nil {
		return // the proxy sees that it is closed
	}
	defer server.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(server, conn)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(conn, server)
	_ = conn.(*net.TCPConn).CloseWrite()
	<-done
}

// forgeries sends requests with wrong keys to the proxies and to the bare server in turn.
func (b *cancelBench) forgeries(ctx context.Context) (err error) {
	r, err := openRelay(b.cluster.Addr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.listener.Close()) }()
	metrics, err := freeAddr()
	if err != nil {
		return err
	}
	s, err := b.open(ctx, setup{
		upstream: r.listener.Addr().String(), pool: poolSize, clients: maxClients, sslmode: "disable",
		cancello: []string{"--http", metrics},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	var least []target
	for _, name := range []string{bareName, leanName} {
		t, err := s.startBare(ctx, name)
		if err != nil {
			return err
		}
		defer func() { _ = t.stop() }() // it has nothing to lose
		least = append(least, t)
	}

	// The keys are those of clients that are there, but for a bit: nothing shorter than a look at the key tells them.
	var victims []*holder
	defer func() { leaveAll(victims) }()
	for _, v := range []wire.Version{wire.V30, wire.V32} {
		h, err := hold(s.proxies[0], inClear, v)
		if err != nil {
			return err
		}
		victims = append(victims, h)
	}
	all := append(least, s.proxies...)
	for round := range b.plan.rounds {
		progress("\r\033[Kforged: round %d of %d", round+1, b.plan.rounds)
		for i := range all {
			if ctx.Err() != nil {
				return errors.New("interrupted")
			}
			t := all[(i+round)%len(all)]
			f, err := b.forge(t, packets(victims), r, metrics)
			if err != nil {
				return fmt.Errorf("forged requests to %s: %w%s", t.name, err, t.lastWords())
			}
			b.result.add(f)
		}
	}
	return nil
}

// packets are requests for each victim with a key that is not its own.
func packets(victims []*holder) [][]byte {
	var all [][]byte
	for _, h := range victims {
		key := slices.Clone(h.key)
		key[len(key)-1] ^= 1
		all = append(all, wire.AppendCancelRequest(nil, h.pid, key))
	}
	return all
}

// startBare starts one of the bare servers: this program once more.
func (s *stage) startBare(ctx context.Context, name string) (target, error) {
	self, err := os.Executable()
	if err != nil {
		return target{}, err
	}
	addr, err := freeAddr()
	if err != nil {
		return target{}, err
	}
	p, err := launch(name, filepath.Join(s.dir, name+".log"), nil, self, name, addr)
	if err != nil {
		return target{}, err
	}
	t := target{name: name, addr: addr, process: p}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for limit := time.Now().Add(readyLimit); ; {
		if err = forgeOne(addr, []byte("x")); err == nil {
			return t, nil
		}
		select {
		case <-again.C:
		case <-p.done:
			return target{}, fmt.Errorf("%s ended while it started (%v)%s", name, p.err, p.lastWords())
		case <-ctx.Done():
			return target{}, errors.Join(errors.New("interrupted"), p.stop())
		}
		if time.Now().After(limit) {
			return target{}, errors.Join(err, p.stop())
		}
	}
}

// forge measures one target. Of Cancello it also wants to know that each request was counted as what it is, and that
// no server was dialed for it.
func (b *cancelBench) forge(t target, requests [][]byte, r *relay, metrics string) (cancelFigure, error) {
	var before counts
	var err error
	if t.name == "cancello" {
		if before, err = scrape(metrics); err != nil {
			return cancelFigure{}, err
		}
	}
	dialed := r.dialed.Load()
	start, err := cpuTime(t.pid())
	if err != nil {
		return cancelFigure{}, err
	}
	n, took, err := storm(t.addr, requests, b.plan.forged)
	if err != nil {
		return cancelFigure{}, err
	}
	stop, err := cpuTime(t.pid())
	if err != nil {
		return cancelFigure{}, err
	}
	f := cancelFigure{Part: partForged, Target: t.name, Cancels: n, CPU: microseconds(stop-start) / float64(n), Rate: float64(n) / took.Seconds()}
	if t.name == "cancello" {
		if f.Dialed, err = dialedSince(metrics, before, n); err != nil {
			return cancelFigure{}, err
		}
	}
	f.Dialed = max(f.Dialed, int(r.dialed.Load()-dialed))
	return f, nil
}

// storm sends requests for that long.
func storm(addr string, requests [][]byte, length time.Duration) (n int, took time.Duration, err error) {
	var sent atomic.Int64
	failed := make(chan error, forgers)
	var wg sync.WaitGroup
	began := time.Now()
	for range forgers {
		wg.Go(func() {
			for i := 0; time.Since(began) < length; i++ {
				if err := forgeOne(addr, requests[i%len(requests)]); err != nil {
					failed <- err
					return
				}
				sent.Add(1)
			}
		})
	}
	wg.Wait()
	took = time.Since(began)
	select {
	case err := <-failed:
		return 0, 0, err
	default:
		return int(sent.Load()), took, nil
	}
}

// forgeOne sends one request and waits until its connection is closed. Each comes from another loopback address:
// tens of thousands from a single one would run out of ports, and would be one guesser instead of many.
func forgeOne(addr string, request []byte) error {
	from := &net.TCPAddr{IP: net.IPv4(127, byte(1+rand.IntN(250)), byte(rand.IntN(256)), byte(1+rand.IntN(250)))}
	conn, err := inClear.dial(from, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write(request); err != nil {
		return err
	}
	if n, _ := conn.Read(make([]byte, 1)); n > 0 { // it ends, in whatever way
		return errors.New("something was said on the connection of a cancel")
	}
	return nil
}

// counts are metrics by name and labels, as they are written.
type counts map[string]float64

func scrape(addr string) (counts, error) {
	c := http.Client{Timeout: countsLimit}
	answer, err := c.Get("http://" + addr + "/metrics")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	return parseCounts(string(text))
}

func parseCounts(text string) (counts, error) {
	c := counts{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		end := strings.LastIndexByte(line, ' ')
		if line == "" || line[0] == '#' || end < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[end+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("metric %q: %w", line, err)
		}
		c[line[:end]] = value
	}
	return c, nil
}

// since says how many requests came to each outcome after before, and how often a server was dialed.
func (c counts) since(before counts) (outcomes map[string]int, dialed int) {
	outcomes = map[string]int{}
	for name, value := range c {
		n := int(value - before[name])
		if outcome, ok := strings.CutPrefix(name, `cancello_cancels_total{outcome="`); ok && n != 0 {
			outcomes[strings.TrimSuffix(outcome, `"}`)] = n
		}
		if name == "cancello_servers_opened_total" || name == "cancello_server_connection_failures_total" {
			dialed += n
		}
	}
	return outcomes, dialed
}

// dialedSince waits until n requests are counted, and wants each to have been harmless.
func dialedSince(metrics string, before counts, n int) (dialed int, err error) {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for limit := time.Now().Add(countsLimit); ; <-again.C {
		now, err := scrape(metrics)
		if err != nil {
			return 0, err
		}
		outcomes, dialed := now.since(before)
		sum := 0
		for name, count := range outcomes {
			if !slices.Contains(harmless, name) {
				return 0, fmt.Errorf("%d forged requests came to the outcome %s", count, name)
			}
			sum += count
		}
		if sum == n {
			return dialed, nil
		}
		if sum > n || time.Now().After(limit) {
			return 0, fmt.Errorf("%d outcomes of %d forged requests were counted: %v", sum, n, outcomes)
		}
	}
}
