package session

// Counts are messages of the extended protocol that went to a server.
type Counts struct {
	ClientParses uint64 // the client's
	ServerParses uint64 // those, and the ones sent ahead for a server that did not have a statement
	Binds        uint64
}

// TakeCounts is what was counted since it was last asked.
func (s *Session) TakeCounts() Counts {
	if s.work == nil {
		return Counts{}
	}
	c := s.counts
	s.counts = Counts{}
	return c
}

func (c *Counts) parse() { c.ClientParses, c.ServerParses = c.ClientParses+1, c.ServerParses+1 }
