package obs

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"cancello/internal/event"
)

// queueLen is how many events may wait for a slow log before lines are dropped.
const queueLen = 4096

// gather is how long lines are collected once some have been written: waking a goroutine takes more than writing a line
// does, and two lines a login, each written at once, were a quarter of what a login cost.
const gather = 20 * time.Millisecond

// Sink takes events. Create it with New, end it with Close. Emit may be called from any goroutine.
type Sink struct {
	log *slog.Logger

	counts sync.Mutex
	took   [event.Outcomes]event.Histogram

	refused [event.Refusals]atomic.Uint64

	refusals  sampler // of their lines
	strangers sampler // of those who came to the peers' listener
	nobodys   sampler // of lines of cancels that mean nobody

	left, opened, closures, dialsFailed atomic.Uint64

	dropped     atomic.Uint64 // since the log was told last
	droppedEver atomic.Uint64

	closing sync.RWMutex // held shared by Emit, so that Close never closes the queue under a sender
	closed  bool
	queue   chan line
	gather  time.Duration
	hurry   chan struct{} // ends rest: the queue is half full, or was closed, and this with it
	done    chan struct{}
}

// New returns a Sink that writes to log.
func New(log *slog.Logger) *Sink { return newSink(log, gather) }

func newSink(log *slog.Logger, gather time.Duration) *Sink {
	s := &Sink{
		log: log, queue: make(chan line, queueLen), gather: gather, hurry: make(chan struct{}, 1), done: make(chan struct{}),
		refusals: sampler{lines: refusedLines}, strangers: sampler{lines: refusedLines}, nobodys: sampler{lines: nobodysLines},
	}
	go s.write()
	return s
}

// Emit counts the event and queues its line. It never blocks; after Close it only counts.
func (s *Sink) Emit(e event.Event) {
	s.count(e)
	now := time.Now()
	if by := s.thinned(e); by != nil && !by.pass(now) {
		return // ahead of the queue: a flood must not cost other lines their place
	}
	s.closing.RLock()
	defer s.closing.RUnlock()
	if s.closed {
		return
	}
	select {
	case s.queue <- line{now, e}:
	default:
		s.dropped.Add(1)
		s.droppedEver.Add(1)
	}
	if len(s.queue) > queueLen/2 {
		select {
		case s.hurry <- struct{}{}:
		default:
		}
	}
}

// Close writes what is queued and ends the Sink's goroutine. A second call does nothing.
func (s *Sink) Close() {
	s.closing.Lock()
	if !s.closed {
		s.closed = true
		close(s.queue)
		close(s.hurry)
	}
	s.closing.Unlock()
	<-s.done
}

// write is the one goroutine of the Sink.
func (s *Sink) write() {
	defer close(s.done)
	look := time.NewTicker(sampleEvery)
	defer look.Stop()
	for open := true; open; {
		var l line
		select {
		case l, open = <-s.queue:
		case <-look.C:
		}
		s.tellDropped()
		s.tellHeld(time.Now())
		if l.Event != nil {
			l.write(s.log)
			if len(s.queue) == 0 {
				s.rest()
			}
		}
	}
	s.tellHeld(time.Now().Add(sampleEvery))
}

// rest lets lines gather.
func (s *Sink) rest() {
	select {
	case <-time.After(s.gather):
	case <-s.hurry:
	}
}

func (s *Sink) tellDropped() {
	if n := s.dropped.Swap(0); n > 0 {
		s.log.Warn("log lines dropped: the log's destination is too slow", "lines", n)
	}
}

// thinned is what thins out the lines of an event that somebody outside can cause at will; nil for those that are all
// written.
func (s *Sink) thinned(e event.Event) *sampler {
	switch e := e.(type) {
	case event.LoginRefused:
		return &s.refusals
	case event.PeerRefused:
		return &s.strangers
	case event.CancelSettled:
		switch e.Outcome {
		case event.UnknownKey, event.Forged, event.Malformed, event.Throttled:
			return &s.nobodys
		}
	}
	return nil
}

// tellHeld tells of the lines that were left out, by their number.
func (s *Sink) tellHeld(now time.Time) {
	if n := s.refusals.due(now); n > 0 {
		s.log.Warn("more logins refused: lines were left out, counts were not", "lines", n)
	}
	if n := s.strangers.due(now); n > 0 {
		s.log.Warn("more peers refused: lines were left out", "lines", n)
	}
	if n := s.nobodys.due(now); n > 0 {
		s.log.Warn("more cancels that mean nobody: lines were left out, counts were not", "lines", n)
	}
}

// Counts is how many cancels have reached each outcome since New, indexed by event.Outcome.
func (s *Sink) Counts() [event.Outcomes]uint64 {
	s.counts.Lock()
	defer s.counts.Unlock()
	var c [event.Outcomes]uint64
	for i := range c {
		c[i] = s.took[i].Count()
	}
	return c
}
