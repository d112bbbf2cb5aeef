package proxy

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"cancello/internal/auth"
	"cancello/internal/sqlstate"
)

// brake slows down who keeps failing. It is shared by all visits.
type brake struct {
	began time.Time
	mu    sync.Mutex
	auth.Brake[netip.Prefix]
}

func (b *brake) now() time.Duration { return time.Since(b.began) }

// neighbourhood is what counts as one address: of IPv6 the network that one customer has, a /64. Whoever comes over a
// Unix socket is not slowed: it is on this machine already. ok is false then.
func neighbourhood(a net.Addr) (p netip.Prefix, ok bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}, false
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	return p, err == nil
}

// slow waits, where logins from the client's address failed, before this one may try. It holds no place of a login
// meanwhile, and is among the first to go when room is needed; a cancel never comes here.
func (v *visit) slow() error {
	from, ok := neighbourhood(v.raw.RemoteAddr())
	most := min(v.p.config.Load().Auth.FailedDelay, v.limit/2)
	if !ok || most == 0 || v.p.access.Load().verifier.Method() == auth.Trust {
		return nil
	}
	b := &v.p.brake
	b.mu.Lock()
	wait, ok := b.Ask(from, b.now(), most)
	b.mu.Unlock()
	switch {
	case !ok:
		return sqlstate.TooManyFailedLogins()
	case wait == 0:
		return nil
	}
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.Left(from)
	}()
	pl := v.p.lobby.wait(v.raw)
	err := v.sit(wait, pl.told)
	if v.p.lobby.leave(pl) {
		v.setDeadline()
		return crowdedOut()
	}
	return err
}

// sit waits. It ends early when the client goes away, when its place is taken, and when its time is up.
func (v *visit) sit(wait time.Duration, told <-chan struct{}) error {
	gone, unwatch := v.watch()
	defer unwatch()
	over := time.NewTimer(wait)
	defer over.Stop()
	select {
	case <-over.C:
		return nil
	case err := <-gone:
		return err
	case <-told:
		return nil
	case <-v.context().Done():
		return v.context().Err()
	}
}

// judged notes how the check of who the client is ended.
func (v *visit) judged(well bool) {
	from, ok := neighbourhood(v.raw.RemoteAddr())
	if !ok {
		return
	}
	b := &v.p.brake
	b.mu.Lock()
	defer b.mu.Unlock()
	if well {
		b.Succeeded(from)
		return
	}
	b.Failed(from, b.now())
}
