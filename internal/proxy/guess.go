package proxy

import (
	"net/netip"
	"sync"
	"time"

	"cancello/internal/key"
)

// guesses decides how long failed requests are kept waiting. It is shared by all visits.
type guesses struct {
	began time.Time
	mu    sync.Mutex
	key.Guesses[netip.Prefix]
}

// hold keeps the connection of a request that failed, where many from its address have. It holds no place that anybody
// needs: it is among the first to go when room is needed.
func (v *visit) hold() {
	from, ok := neighbourhood(v.raw.RemoteAddr())
	most := min(v.p.config.Load().Cancel.FailedDelay, v.limit/2)
	if !ok || most == 0 {
		return
	}
	g := &v.p.guesses
	g.mu.Lock()
	wait := g.Failed(from, time.Since(g.began), most)
	g.mu.Unlock()
	if wait == 0 {
		return
	}
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.Left(from)
	}()
	pl := v.p.lobby.wait(v.raw)
	_ = v.sit(wait, pl.told) // whatever ends it
	v.p.lobby.leave(pl)
}
