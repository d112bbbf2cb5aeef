package lease

// Pool is the servers of one database and user, S, and the clients, C, that wait for one.
type Pool[C, S comparable] struct {
	Limit    int // most servers of all kinds together (default_pool_size, or a grant)
	Reserve  int // more of them, for who has waited long (reserve_pool_size)
	Live     int // logged in: idle, leased, being cleaned or asked
	Dialing  int // on their way
	Ghosts   int // closed by us while perhaps running: they count for server_ghost_time (trap A10)
	Checking int // of Live, those being asked whether they are still there, each for somebody in the line
	// RoundRobin gives the server that has been at rest longest, not the one used last.
	RoundRobin bool
	Line       Line[C]
	idle       []S // the last one was used last
}

// Total is how many servers count.
func (p *Pool[C, S]) Total() int { return p.Live + p.Dialing + p.Ghosts }

// Room tells whether one more server may be opened.
func (p *Pool[C, S]) Room() bool { return p.Total() < p.Limit }

// Spare tells whether one more may be opened for who has waited long: the pool is full and its reserve is not.
func (p *Pool[C, S]) Spare() bool { return !p.Room() && p.Total() < p.Limit+p.Reserve }

// Over tells whether there are more servers than there may be at most: a limit was lowered.
func (p *Pool[C, S]) Over() bool { return p.Total() > p.Limit+p.Reserve }

// Wanted tells whether one more server should be opened for those who wait: others besides the line may need one, which
// a server that is only being asked is no use to.
func (p *Pool[C, S]) Wanted(others int) bool {
	return max(p.Line.Len()-p.Checking, 0)+others > p.Dialing && p.Room()
}

// Rest puts a clean server at everybody's disposal.
func (p *Pool[C, S]) Rest(s S) { p.idle = append(p.idle, s) }

// Take gives the server that was used last: the others may go idle and be closed. With RoundRobin it gives the one that
// was used first.
func (p *Pool[C, S]) Take() (s S, ok bool) {
	if len(p.idle) == 0 {
		return s, false
	}
	if p.RoundRobin {
		s = p.idle[0]
		copy(p.idle, p.idle[1:])
		p.idle = p.idle[:len(p.idle)-1]
		return s, true
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

// At is the server at rest number i, in the order in which they came to rest; i is below Idle.
func (p *Pool[C, S]) At(i int) S { return p.idle[i] }
