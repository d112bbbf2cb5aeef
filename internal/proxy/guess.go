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

// guessed is how long the connection of a request that failed is kept, where many from its address have. Once it is
// more than nothing, held is due.
func (a *applicant) guessed() (wait time.Duration) {
	from, ok := a.from()
	most := min(a.p.config.Load().Cancel.FailedDelay, a.limit/2)
	if !ok || most == 0 {
		return 0
	}
	g := &a.p.guesses
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.Failed(from, time.Since(g.began), most)
}

// held ends that.
func (a *applicant) held() {
	if from, ok := a.from(); ok {
		g := &a.p.guesses
		g.mu.Lock()
		defer g.mu.Unlock()
		g.Left(from)
	}
}

// hold keeps the connection. It holds no place that anybody needs: it is among the first to go when room is needed.
func (v *visit) hold(wait time.Duration) {
	if wait == 0 {
		return
	}
	defer v.held()
	pl := v.p.lobby.wait(v.raw)
	_ = v.sit(wait, pl.told) // whatever ends it
	v.p.lobby.leave(pl)
}
