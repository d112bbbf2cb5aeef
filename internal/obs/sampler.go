package obs

import (
	"sync"
	"time"
)

// How many lines a sampler lets through at once, and from then on in each sampleEvery: of logins and strangers, each of
// which somebody may have to look into, and of cancels that mean nobody, of which in a storm one says what all do.
const (
	sampleBurst  = 20
	refusedLines = 20
	nobodysLines = 1
	sampleEvery  = time.Second
)

// sampler thins out lines that somebody outside can cause at will: sampleBurst get through at once, and of more than that
// only so many in each sampleEvery; the others are held back and told of by their number. Its methods may be called
// from any goroutine.
type sampler struct {
	lines int // in each interval
	mu    sync.Mutex
	begun time.Time // of the interval
	left  int       // that may get through in it
	held  int       // held back since that was told
}

// pass says whether a line gets through now.
func (s *sampler) pass(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if over := now.Sub(s.begun) / sampleEvery; over > 0 {
		s.begun, s.left = now, min(sampleBurst, s.left+int(min(over, sampleBurst))*s.lines)
	}
	if s.left == 0 {
		s.held++
		return false
	}
	s.left--
	return true
}

// due says how many lines were held back, once their interval is over; 0: there is nothing to tell.
func (s *sampler) due(now time.Time) (held int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held > 0 && now.Sub(s.begun) >= sampleEvery {
		held, s.held = s.held, 0
	}
	return held
}
