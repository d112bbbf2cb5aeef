package proxy

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
)

// nextAddress is how long one address of a host is waited for before the next is tried as well (RFC 8305 has 250 ms).
const nextAddress = 300 * time.Millisecond

// reach opens a connection to a target: to its socket, or to the first of its host's addresses that answers.
func (p *Proxy) reach(ctx context.Context, t engine.Target, n config.Network) (net.Conn, error) {
	d := dialer(n)
	if network, addr := address(t); network == "unix" {
		return d.DialContext(ctx, network, addr)
	}
	addrs, err := p.names.addrs(ctx, t.Host, p.config.Load().DNS)
	if err != nil {
		return nil, err
	}
	if len(addrs) == 1 {
		return d.DialContext(ctx, "tcp", withPort(addrs[0], t.Port))
	}
	return p.race(ctx, t, &d, addrs)
}

func withPort(a netip.Addr, port int) string { return net.JoinHostPort(a.String(), strconv.Itoa(port)) }

// race tries addresses one after the other, each a moment after the one before or when that has failed. The first that
// answers wins; the error is that of the first that failed.
func (p *Proxy) race(ctx context.Context, t engine.Target, d *net.Dialer, addrs []netip.Addr) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		nc   net.Conn
		err  error
		addr netip.Addr
	}
	results := make(chan result, len(addrs))
	started, ended := 0, 0
	begin := func() {
		if started == len(addrs) {
			return
		}
		a := addrs[started]
		started++
		p.running.Go(func() {
			nc, err := d.DialContext(ctx, "tcp", withPort(a, t.Port))
			results <- result{nc, err, a}
		})
	}
	begin()
	next := time.NewTicker(nextAddress)
	defer next.Stop()
	var first error
	for ended < len(addrs) {
		select {
		case <-next.C:
			if started < len(addrs) {
				p.names.reached(t.Host, addrs[started-1], false) // so far
			}
			begin()
		case r := <-results:
			ended++
			p.names.reached(t.Host, r.addr, r.err == nil)
			if r.err == nil {
				cancel()
				p.running.Go(func() { // what comes too late
					for ; ended < started; ended++ {
						if r := <-results; r.nc != nil {
							r.nc.Close()
						}
					}
				})
				return r.nc, nil
			}
			if first == nil {
				first = r.err
			}
			if ctx.Err() != nil && ended == started {
				return nil, first
			}
			begin()
		}
	}
	return nil, first
}
