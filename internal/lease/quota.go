package lease

// Quota bounds the servers of several pools together: those of one database, or those that are logged in as one user.
type Quota struct {
	Limit int // 0: none
	Used  int // open, being opened, and ghosts
}

// Full tells whether one more would be too many.
func (q *Quota) Full() bool { return q.Limit > 0 && q.Used >= q.Limit }

// Over tells whether there are too many: the limit was lowered.
func (q *Quota) Over() bool { return q.Limit > 0 && q.Used > q.Limit }
