package fake

import "sync"

// process is one server process.
type process struct{ pid uint32 }

// pool shares processes between sessions.
type pool struct {
	knobs PoolerKnobs
	mu    sync.Mutex
	wake  *sync.Cond
	free  []*process
	over  bool
	left  map[string]*mark // what sessions left, by a word for it
}

// mark is something that a session left on a process.
type mark struct {
	owner *Session
	on    *process
	gone  bool // the owner
}

func (p *pool) begin(k PoolerKnobs) {
	p.knobs, p.wake, p.left = k, sync.NewCond(&p.mu), map[string]*mark{}
	for i := range k.Size {
		p.free = append(p.free, &process{pid: uint32(2000 + i)})
	}
}

func (p *pool) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.wake.Broadcast()
}

// take gives a process, the one given back last; it waits for one. Nil: the wait was ended.
func (p *pool) take(w *work) *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.free) == 0 {
		if p.over || w.ended() {
			return nil
		}
		p.wake.Wait()
	}
	got := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	return got
}

func (p *pool) give(b *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, b)
	p.wake.Broadcast()
}

// hold gives a session its process, if it has none; false if its wait was ended.
func (c *Session) hold(w *work) bool {
	if c.on != nil {
		return true
	}
	if c.server.knobs.Pooler.Size == 0 {
		c.on = &process{pid: c.backend}
		return true
	}
	c.on = c.server.pool.take(w)
	return c.on != nil
}

// release takes it back where the mode says so; left says that the client has gone.
func (s *Server) release(c *Session, left bool) {
	k := s.knobs.Pooler
	if left {
		s.pool.forget(c)
	}
	if c.on == nil || k.Size == 0 || !left && (k.Session || c.status != 'I') {
		return
	}
	s.pool.give(c.on)
	c.on = nil
}

func (p *pool) forget(c *Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for what, m := range p.left {
		if m.owner == c && !p.knobs.LeakAfter {
			delete(p.left, what)
		} else if m.owner == c {
			m.gone = true
		}
	}
}

func (p *pool) leave(c *Session, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left[what] = &mark{owner: c, on: c.on}
}

func (p *pool) undo(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.knobs.Stuck {
		delete(p.left, what)
	}
}

// finds says whether a session on a process finds what was left.
func (p *pool) finds(c *Session, what string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.left[what]
	if m == nil || m.on.pid != c.on.pid {
		return false
	}
	return m.owner == c || (m.gone && p.knobs.LeakAfter) || (!m.gone && p.knobs.LeakDuring)
}
