package proxy

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxSilent is how many connections may at most be open that have not sent a complete startup packet, or that only wait for
// the other side's FIN. One more closes one of them: whoever hoards connections keeps no cancel out.
const maxSilent = 1000

// lobby holds the connections that have no right to stay.
type lobby struct {
	limit int
	mu    sync.Mutex
	queue list.List            // of *place, the first to go in front
	over  bool                 // nobody may wait for anything any more
	from  map[netip.Prefix]int // how many came from where, of those that need not go yet
	alike []int                // by how many came from there: how many such wheres there are
	most  int                  // that came from one where
}

// lodger is a connection in the lobby: that of a visit, or a caller.
type lodger interface {
	RemoteAddr() net.Addr
	// SetDeadline with a time long ago ends its wait. It must not block.
	SetDeadline(t time.Time) error
}

// place is one connection's in the lobby.
type place struct {
	nc      lodger
	from    netip.Prefix
	parting bool          // it has been told to go
	end     func()        // nil, or what it waits for besides
	element *list.Element // nil once it has left
	told    chan struct{} // closed when it is evicted; nil for one that reads, whom its deadline tells
	evicted bool
	woken   bool
}

func newLobby(limit int) *lobby {
	return &lobby{limit: limit, from: map[netip.Prefix]int{}, alike: make([]int, 1)}
}

// enter takes a place, if need be the oldest one's.
func (l *lobby) enter(nc lodger) *place {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.queue.Len() >= l.limit {
		l.evict()
	}
	from, _ := neighbourhood(nc.RemoteAddr())
	l.count(from, 1)
	return l.seat(&place{nc: nc, from: from}, l.queue.PushBack)
}

// linger takes a place for a connection that has been told to go. Nobody has to make room for it, least of all a
// newcomer whose cancel has not been read: it is the first to go when room is needed.
func (l *lobby) linger(nc net.Conn) *place {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seat(&place{nc: nc, parting: true}, l.queue.PushFront)
}

// wait is linger for a connection that reads nothing and has to be told when it is to go.
func (l *lobby) wait(nc net.Conn) *place {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seat(&place{nc: nc, parting: true, told: make(chan struct{})}, l.queue.PushFront)
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
	if pl.end != nil && !pl.woken {
		pl.end()
	}
	pl.woken = true
}

// onEviction has f called, which must not block, when the wait of a place's goroutine ends.
func (l *lobby) onEviction(pl *place, f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if pl.end = f; pl.woken {
		f()
	}
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
		l.remove(pl)
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

// remove takes a place out.
func (l *lobby) remove(pl *place) {
	l.queue.Remove(pl.element)
	pl.element = nil
	if pl.parting {
		return
	}
	l.count(pl.from, -1)
}

// count notes that one more, or one less, is there from somewhere.
func (l *lobby) count(from netip.Prefix, by int) {
	n := l.from[from]
	l.alike[n]-- // nobody asks for how many there are of none
	if n += by; n == 0 {
		delete(l.from, from)
	} else {
		l.from[from] = n
	}
	if n == len(l.alike) {
		l.alike = append(l.alike, 0)
	}
	l.alike[n]++
	if n > l.most || l.alike[l.most] == 0 {
		l.most = n
	}
}

// evict takes a place away. Its goroutine wakes from its read and closes the connection.
func (l *lobby) evict() {
	pl := l.victim()
	if pl == nil {
		return
	}
	l.remove(pl)
	pl.evicted = true
	pl.wake()
}

// share is how many may be from one where without being taken for a storm.
func (l *lobby) share() int { return max(8, l.limit/16) }

// victim is the one that has to go: the first that has been told to, or the oldest of those who came from where most did.
// So a storm from one address drives out itself, and not who comes from elsewhere to cancel and has to wait for its
// handshake. Where nobody has more than a share, a storm comes from many addresses: then it is the oldest of all, and
// not who has two connections where each of the storm's has one.
func (l *lobby) victim() *place {
	front := l.queue.Front()
	if front == nil {
		return nil
	}
	if pl := front.Value.(*place); pl.parting {
		return pl
	}
	if l.most <= l.share() {
		return front.Value.(*place)
	}
	for ; front != nil; front = front.Next() {
		if pl := front.Value.(*place); l.from[pl.from] == l.most {
			return pl
		}
	}
	return nil
}
