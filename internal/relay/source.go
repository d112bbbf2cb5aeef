package relay

import (
	"net/netip"
	"slices"
	"time"
)

// What a source may do with keys of four bytes that are nobody's. One failure a tokenEvery costs nothing, and burst of them
// at once; the place of each one more stays taken for rest, which bounds how often one source may guess: as often in rest, and a
// way there and back, as it has places. Nobody else is slowed by that, and a true cancel from there not before that many fail.
const (
	burst      = 20
	tokenEvery = 100 * time.Millisecond
	rest       = 50 * time.Millisecond
	maxSources = 10000 // those beyond share one for each node
	shortKey   = 4     // bytes
)

// whence is who asks whom.
type whence struct {
	from string // as of address; empty: the sources beyond maxSources
	node uint16
}

// source is the account of one of them.
type source struct {
	whence
	tokens int
	at     time.Duration   // that tokens is of
	inside int             // asks in places
	rests  []time.Duration // until when places stay taken behind asks that failed, the next one first
	line   []*ask          // that wait, oldest first
}

// sources are all of them, oldest first. The zero value is ready.
type sources struct {
	of      map[whence]*source
	line    []*source // but those for the many
	waiting []*source // whose line is not empty
}

// fill adds the tokens that are due.
func (s *source) fill(now time.Duration) {
	n := int((now - s.at) / tokenEvery)
	if s.tokens += n; s.tokens >= burst {
		s.tokens, s.at = burst, now
		return
	}
	s.at += time.Duration(n) * tokenEvery
}

func (s *source) hasToken(now time.Duration) bool {
	s.fill(now)
	return s.tokens > 0
}

func (s *source) takeToken(now time.Duration) bool {
	if !s.hasToken(now) {
		return false
	}
	s.tokens--
	return true
}

// failed notes that an ask's key was nobody's.
func (s *source) failed(now time.Duration) {
	if !s.takeToken(now) {
		s.rests = append(s.rests, now+rest)
	}
}

// taken is how many places it has, in use or not.
func (s *source) taken(now time.Duration) int {
	n := 0
	for n < len(s.rests) && s.rests[n] <= now {
		n++
	}
	s.rests = slices.Delete(s.rests, 0, n)
	return s.inside + len(s.rests)
}

// next is when it may have a place or a token more, without that anything happens.
func (s *source) next(now time.Duration) time.Duration {
	s.fill(now)
	at := s.at + tokenEvery
	if s.taken(now); len(s.rests) > 0 {
		at = min(at, s.rests[0])
	}
	return at
}

// idle says that nothing would be lost with it.
func (s *source) idle(now time.Duration) bool {
	return s.taken(now) == 0 && len(s.line) == 0 && s.hasToken(now) && s.tokens == burst
}

// find is the account of a source, which is made if need be.
func (l *sources) find(of whence, now time.Duration) *source {
	if s := l.of[of]; s != nil {
		return s
	}
	if l.of == nil {
		l.of = map[whence]*source{}
	}
	for range 2 { // a few looks each time keep the number down without ever going through all
		if len(l.line) == 0 {
			break
		}
		oldest := l.line[0]
		l.line = l.line[1:]
		if oldest.idle(now) {
			delete(l.of, oldest.whence)
		} else {
			l.line = append(l.line, oldest)
		}
	}
	many := len(l.line) >= maxSources
	if many {
		if of.from = ""; l.of[of] != nil {
			return l.of[of]
		}
	}
	s := &source{whence: of, tokens: burst, at: now}
	l.of[of] = s
	if !many {
		l.line = append(l.line, s)
	}
	return s
}

// next is when a place or a token for somebody who waits may be due.
func (l *sources) next(now time.Duration) (at time.Duration, ok bool) {
	for _, s := range l.waiting {
		if t := s.next(now); !ok || t < at {
			at, ok = t, true
		}
	}
	return at, ok
}

// address is what of a client's address counts as one source: all of it but the port, of IPv6 the network.
func address(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	ip := at.Addr().Unmap()
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}
