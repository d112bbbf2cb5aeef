package engine

import (
	"maps"
	"slices"
	"time"
)

// Resolved: a name that servers are dialed by has these addresses now, and no others. Servers at others are closed: at once
// those at rest, the rest when their clients are done with them. A cancel still goes to the address of its server.
func (e *Engine) Resolved(now time.Duration, host string, addrs []string) {
	e.now = now
	for _, name := range slices.Sorted(maps.Keys(e.upstreams)) {
		if u := e.upstreams[name]; u.host == host {
			u.addrs = slices.Clone(addrs)
			u.until = e.now // whoever failed there may not be who is there now
		}
	}
	for _, id := range slices.Sorted(maps.Keys(e.servers)) {
		s := e.servers[id]
		if s == nil || s.upstream.host != host || s.phase == dialing {
			continue
		}
		s.locate()
		if s.moved && s.phase == resting && e.bug != BugOldAddressKept {
			s.pool.Remove(s)
			e.retire(s, addressGone)
		}
	}
}

// locate notes whether the server's address is still one of its host's.
func (s *server) locate() {
	u := s.upstream
	s.moved = s.info.Addr != "" && u.addrs != nil && !slices.Contains(u.addrs, s.info.Addr)
}

// addressGone is why servers at the old address of a name are closed.
const addressGone = "its host has other addresses now"
