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

// wait is how long this one has to wait before it may try, where logins from its address failed. Once it is more than
// nothing, enough is due. A cancel never comes here.
func (a *applicant) wait() (time.Duration, error) {
	from, ok := a.from()
	most := min(a.p.config.Load().Auth.FailedDelay, a.limit/2)
	if !ok || most == 0 || a.granted > 0 || a.p.access.Load().verifier.Method() == auth.Trust {
		return a.granted, nil
	}
	b := &a.p.brake
	b.mu.Lock()
	defer b.mu.Unlock()
	a.granted, ok = b.Ask(from, b.now(), most)
	if !ok {
		return 0, sqlstate.TooManyFailedLogins()
	}
	return a.granted, nil
}

// enough ends a wait, if there was one.
func (a *applicant) enough() {
	if from, ok := a.from(); ok && a.granted > 0 {
		a.granted = 0
		b := &a.p.brake
		b.mu.Lock()
		defer b.mu.Unlock()
		b.Left(from)
	}
}

// slow waits, where the client has to. It holds no place of a login meanwhile, and is among the first to go when room is needed.
func (v *visit) slow() error {
	wait, err := v.wait()
	if err != nil || wait == 0 {
		return err
	}
	defer v.enough()
	pl := v.p.lobby.wait(v.raw)
	err = v.sit(wait, pl.told)
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
func (a *applicant) judged(well bool) {
	from, ok := a.from()
	if !ok {
		return
	}
	b := &a.p.brake
	b.mu.Lock()
	defer b.mu.Unlock()
	if well {
		b.Succeeded(from)
		return
	}
	b.Failed(from, b.now())
}
