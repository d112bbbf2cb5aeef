package peer

import (
	"sync"
	"time"
)

// mailbox is what is to be done on the hub's goroutine, in order. Posting never blocks.
type mailbox struct {
	mu     sync.Mutex
	queue  []func(now time.Duration)
	closed bool
	ready  chan struct{} // holds one: the queue is not empty
}

func newMailbox() *mailbox { return &mailbox{ready: make(chan struct{}, 1)} }

// post queues f; false: the hub has ended, and f will never run.
func (m *mailbox) post(f func(now time.Duration)) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.queue = append(m.queue, f)
	select {
	case m.ready <- struct{}{}:
	default:
	}
	return true
}

// take is all that is queued.
func (m *mailbox) take() []func(now time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.queue
	m.queue = nil
	return all
}

// close ends it, and returns what was queued last.
func (m *mailbox) close() []func(now time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return m.queue
}
