package obs

import (
	"sync"
	"time"
)

// How many lines a sampler lets through: of logins and strangers, each of which somebody may have to look into, and of
// cancels that mean nobody, of which one says what all do.
const (
	refusedLines = 20
	nobodysLines = 1
	sampleEvery  = time.Second
)

// sampler thins out lines that somebody outside can cause at will: most in each sampleEvery get through, the others are
// held back and told of by their number. Its methods may be called from any goroutine.
type sampler struct {
	most  int
	mu    sync.Mutex
	begun time.Time // of the interval
	lines int       // let through in it
	held  int       // held back since that was told
}

// pass says whether a line gets through now.
func (s *sampler) pass(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.begun) >= sampleEvery {
		s.begun, s.lines = now, 0
	}
	if s.lines++; s.lines > s.most {
		s.held++
		return false
	}
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
