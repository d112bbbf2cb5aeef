package proxy

import "sync/atomic"

// maxHands is how many goroutines at most stay when their visit is over, for the next that comes.
const maxHands = 8

// hands are goroutines whose visit is over and who wait for another: one of their own for each of a storm's connections
// would have to grow its stack anew.
type hands struct {
	next chan func()
	free atomic.Int32
}

// soon has some goroutine run a visit.
func (p *Proxy) soon(visit func()) {
	select {
	case p.hands.next <- visit:
	default:
		p.running.Go(func() { p.serve(visit) })
	}
}

// serve runs one visit after the other, as long as there are any and nobody else waits for them.
func (p *Proxy) serve(visit func()) {
	for {
		visit()
		if p.hands.free.Add(1) > maxHands {
			p.hands.free.Add(-1)
			return
		}
		select {
		case visit = <-p.hands.next:
			p.hands.free.Add(-1)
		case <-p.ctx.Done():
			return
		}
	}
}
