package lease

// Pool is the servers of one database and user, S, and the clients, C, that wait for one.
type Pool[C, S comparable] struct {
	Limit   int // most servers of all kinds together (default_pool_size, or a grant)
	Live    int // logged in: idle, leased, being cleaned
	Dialing int // on their way
	Ghosts  int // closed by us while perhaps running: they count for server_ghost_time (trap A10)
	Line    Line[C]
	idle    []S // the last one was used last
}

// Room tells whether one more server may be opened.
func (p *Pool[C, S]) Room() bool { return p.Live+p.Dialing+p.Ghosts < p.Limit }

// Wanted tells whether one more server should be opened for those who wait: others besides the line may need one.
func (p *Pool[C, S]) Wanted(others int) bool {
	return p.Line.Len()+others > p.Dialing && p.Room()
}

// Rest puts a clean server at everybody's disposal.
func (p *Pool[C, S]) Rest(s S) { p.idle = append(p.idle, s) }

// Take gives the server that was used last: the others may go idle and be closed.
func (p *Pool[C, S]) Take() (s S, ok bool) {
	if len(p.idle) == 0 {
		return s, false
	}
	s = p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return s, true
}

// Remove takes a particular server out of those at rest, if it is there.
func (p *Pool[C, S]) Remove(s S) {
	for i, other := range p.idle {
		if other == s {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			return
		}
	}
}

// Oldest is the server that has been at rest longest.
func (p *Pool[C, S]) Oldest() (s S, ok bool) {
	if len(p.idle) == 0 {
		return s, false
	}
	return p.idle[0], true
}

// Idle is how many servers are at rest.
func (p *Pool[C, S]) Idle() int { return len(p.idle) }
