package proxy

import (
	"net"
	"sync/atomic"
)

// maxHands is how many goroutines at most stay when their visit is over, for the next that comes.
const maxHands = 8

// hands are goroutines whose visit is over and who wait for another: one of their own for each of a storm's connections
// would have to grow its stack anew.
type hands struct {
	next chan handful
	free atomic.Int32
}

// handful is one accepted connection, and where it came in.
type handful struct {
	e  *entrance
	nc net.Conn
}

// receiveSoon has somebody receive a connection.
func (p *Proxy) receiveSoon(h handful) {
	select {
	case p.hands.next <- h:
	default:
		p.running.Go(func() { p.serve(h) })
	}
}

// serve receives one connection after the other, as long as there are any and nobody else waits for them.
func (p *Proxy) serve(h handful) {
	for {
		p.receive(h.nc, h.e.place.Keys)
		if p.hands.free.Add(1) > maxHands {
			p.hands.free.Add(-1)
			return
		}
		select {
		case h = <-p.hands.next:
			p.hands.free.Add(-1)
		case <-p.ctx.Done():
			return
		}
	}
}
