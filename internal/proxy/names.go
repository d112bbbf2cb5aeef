package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"cancello/internal/config"
)

// Resolver says which addresses a name has. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// names are the addresses of the upstreams' hosts, as long as they may be remembered.
type names struct {
	resolver Resolver
	told     func(host string, addrs []netip.Addr) // they are others than before

	mu    sync.Mutex
	known map[string]*name
}

// name is what is known of one host.
type name struct {
	asking sync.Mutex // held while it is being looked up

	mu    sync.Mutex
	addrs []netip.Addr // sorted; of the last answer
	err   error        // of the last question
	at    time.Time    // of the last answer
	turn  int
	bad   map[netip.Addr]time.Time // that didn't answer lately
}

// badTime is how long an address that could not be reached comes last.
const badTime = 30 * time.Second

func newNames(r Resolver, told func(host string, addrs []netip.Addr)) *names {
	if r == nil {
		r = net.DefaultResolver
	}
	return &names{resolver: r, told: told, known: map[string]*name{}}
}

// find makes or finds what is known of a host.
func (n *names) find(host string) *name {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known[host] == nil {
		n.known[host] = &name{bad: map[netip.Addr]time.Time{}}
	}
	return n.known[host]
}

// addrs are the addresses to try for one connection, in this order: another comes first each time, and last those that
// couldn't be reached lately.
func (n *names) addrs(ctx context.Context, host string, t config.DNS) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	h := n.find(host)
	if err := n.refresh(ctx, host, h, t); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turn++
	list := make([]netip.Addr, 0, len(h.addrs))
	for i := range h.addrs {
		list = append(list, h.addrs[(h.turn-1+i)%len(h.addrs)])
	}
	late := func(a netip.Addr) int {
		if at, bad := h.bad[a]; bad && time.Since(at) < badTime {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(list, func(a, b netip.Addr) int { return late(a) - late(b) })
	return list, nil
}

// refresh looks a host up if what is known is too old. A name service that fails, other than by knowing that there is no
// such name, changes nothing of what is known.
func (n *names) refresh(ctx context.Context, host string, h *name, t config.DNS) error {
	h.asking.Lock()
	defer h.asking.Unlock()
	if fresh, err := h.fresh(t); fresh {
		return err
	}
	got, err := n.resolver.LookupNetIP(ctx, "ip", host)
	addrs := make([]netip.Addr, 0, len(got))
	for _, a := range got {
		addrs = append(addrs, a.Unmap())
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	addrs = slices.Compact(addrs)
	var dns *net.DNSError
	missing := errors.As(err, &dns) && dns.IsNotFound || err == nil && len(addrs) == 0
	if err == nil && missing {
		err = &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		changed := !slices.Equal(addrs, h.addrs)
		h.addrs, h.err, h.at = addrs, nil, time.Now()
		if changed {
			clear(h.bad)
			n.told(host, addrs)
		}
	case missing:
		h.err, h.at = err, time.Now()
	case len(h.addrs) > 0: // the name service can't be asked; the servers may be there all the same
		return nil
	}
	return err
}

// fresh tells whether the last answer still counts.
func (h *name) fresh(t config.DNS) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	limit := t.MaxTTL
	if h.err != nil {
		limit = t.NXDomainTTL
	}
	return !h.at.IsZero() && time.Since(h.at) < limit, h.err
}

// reached notes whether an address of a host answered.
func (n *names) reached(host string, a netip.Addr, ok bool) {
	h := n.find(host)
	h.mu.Lock()
	defer h.mu.Unlock()
	if ok {
		delete(h.bad, a)
	} else {
		h.bad[a] = time.Now()
	}
}

// follow asks again for the names that have been dialed and are still configured, so that servers at an old address are
// noticed though no new connection is needed. It ends with ctx.
func (n *names) follow(ctx context.Context, live func() *config.Config, changed <-chan struct{}) {
	for {
		t := live().DNS
		pause := t.MaxTTL
		if pause == 0 {
			pause = config.Default().DNS.MaxTTL
		}
		select {
		case <-time.After(pause):
		case <-changed:
			continue
		case <-ctx.Done():
			return
		}
		for _, host := range n.dialed(live()) {
			asked, cancel := context.WithTimeout(ctx, live().Timeouts.ServerConnect)
			_ = n.refresh(asked, host, n.find(host), t) // who dials is told
			cancel()
		}
	}
}

// dialed are the names in use; what is no longer configured is forgotten.
func (n *names) dialed(c *config.Config) []string {
	configured := map[string]bool{}
	for _, d := range c.Databases {
		for _, u := range d.Upstreams() {
			configured[u.Host] = true
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []string
	for host := range n.known {
		if !configured[host] {
			delete(n.known, host)
			continue
		}
		list = append(list, host)
	}
	return list
}
