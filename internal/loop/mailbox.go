package loop

import (
	"sync"
	"sync/atomic"
	"time"
)

// mailbox holds the functions posted to a loop, and wakes it. The bell is only rung while the loop sleeps, and under the
// lock, so that nothing is ever written to a descriptor that was closed.
type mailbox struct {
	waiting atomic.Bool // something is posted, or the loop was stopped: read without the lock once a turn

	mu struct {
		sync.Mutex
		posted   []func(time.Duration)
		started  bool
		stopped  bool
		sleeping bool
		closed   bool
	}
	spare []func(time.Duration) // the loop's: memory for the next posted
	bell  int                   // an eventfd
}

// start says whether the loop may run: once.
func (m *mailbox) start() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.started {
		return false
	}
	m.mu.started = true
	return true
}

// stop lets no more in.
func (m *mailbox) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.stopped = true
	m.waiting.Store(true)
	m.ring()
}

// close is said by a Run that ends, perhaps by an error: nothing will be run any more.
func (m *mailbox) close() {
	m.mu.Lock()
	m.mu.stopped, m.mu.closed = true, true
	m.mu.posted = nil
	m.mu.Unlock()
}

func (m *mailbox) put(f func(time.Duration)) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.stopped {
		return false
	}
	m.mu.posted = append(m.mu.posted, f)
	m.waiting.Store(true)
	m.ring()
	return true
}

// ring wakes a sleeping loop. With the lock held.
func (m *mailbox) ring() {
	if m.mu.sleeping && !m.mu.closed {
		m.mu.sleeping = false
		ringBell(m.bell)
	}
}

// full says whether take has something to tell.
func (m *mailbox) full() bool { return m.waiting.Load() }

// take hands over what was posted, and whether the loop was stopped.
func (m *mailbox) take() (fs []func(time.Duration), stopped bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fs, m.mu.posted = m.mu.posted, m.spare[:0]
	m.spare = nil
	m.waiting.Store(false)
	return fs, m.mu.stopped
}

// reuse gives the memory of take back, unless a burst made it large.
func (m *mailbox) reuse(fs []func(time.Duration)) {
	if cap(fs) <= 1024 {
		m.spare = fs[:0]
	}
}

// sleep says that the loop is about to block; false if there is something to do first.
func (m *mailbox) sleep() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.waiting.Load() {
		return false
	}
	m.mu.sleeping = true
	return true
}

func (m *mailbox) awake() {
	m.mu.Lock()
	m.mu.sleeping = false
	m.mu.Unlock()
}
