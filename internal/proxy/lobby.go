package proxy

import (
	"container/list"
	"net"
	"sync"
)

// maxSilent is how many connections may at most be open that have not sent a complete startup packet, or that only wait for
// the other side's FIN. One more closes the oldest of them: whoever hoards connections keeps no cancel out.
const maxSilent = 1000

// lobby holds the connections that have no right to stay.
type lobby struct {
	limit int
	mu    sync.Mutex
	queue list.List // of *place, the first to go in front
	over  bool      // nobody may wait for anything any more
}

// place is one connection's in the lobby.
type place struct {
	nc      net.Conn
	element *list.Element // nil once it has left
	told    chan struct{} // closed when it is evicted; nil for one that reads, whom its deadline tells
	evicted bool
	woken   bool
}

func newLobby(limit int) *lobby { return &lobby{limit: limit} }

// enter takes a place, if need be the oldest one's.
func (l *lobby) enter(nc net.Conn) *place {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.queue.Len() >= l.limit {
		l.evict()
	}
	return l.seat(&place{nc: nc}, l.queue.PushBack)
}

// linger takes a place for a connection that has been told to go. Nobody has to make room for it, least of all a
// newcomer whose cancel has not been read: it is the first to go when room is needed.
func (l *lobby) linger(nc net.Conn) *place {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seat(&place{nc: nc}, l.queue.PushFront)
}

// wait is linger for a connection that reads nothing and has to be told when it is to go.
func (l *lobby) wait(nc net.Conn) *place {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seat(&place{nc: nc, told: make(chan struct{})}, l.queue.PushFront)
}

// seat puts a place where it belongs, by one of the queue's methods.
func (l *lobby) seat(pl *place, put func(any) *list.Element) *place {
	pl.element = put(pl)
	if l.over {
		pl.wake()
	}
	return pl
}

// wake ends the wait of a place's goroutine.
func (pl *place) wake() {
	pl.nc.SetDeadline(longAgo)
	if pl.told != nil && !pl.woken {
		close(pl.told)
	}
	pl.woken = true
}

// close ends the waits of all who are in, and of all who come: the Proxy stops.
func (l *lobby) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	for e := l.queue.Front(); e != nil; e = e.Next() {
		e.Value.(*place).wake()
	}
}

// leave gives the place up and says whether it had been taken away before.
func (l *lobby) leave(pl *place) (evicted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if pl.element != nil {
		l.queue.Remove(pl.element)
		pl.element = nil
	}
	return pl.evicted
}

// evictedFrom tells whether the place was taken away.
func (l *lobby) evictedFrom(pl *place) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return pl.evicted
}

// makeRoom closes the n oldest connections, as far as there are any, and says whether there was one: descriptors run
// out.
func (l *lobby) makeRoom(n int) (any bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	any = l.queue.Len() > 0
	for range n {
		l.evict()
	}
	return any
}

// resize changes how many places there are. Who is in stays until the next one comes.
func (l *lobby) resize(limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = limit
}

// evict takes the oldest one's place. Its goroutine wakes from its read and closes the connection.
func (l *lobby) evict() {
	front := l.queue.Front()
	if front == nil {
		return
	}
	pl := l.queue.Remove(front).(*place)
	pl.element, pl.evicted = nil, true
	pl.wake()
}
