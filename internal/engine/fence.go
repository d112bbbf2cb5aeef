package engine

// raise puts up the fence of an order: from the word to write until EOF its server goes to nobody else and begins
// nothing new, neither its client's next unit nor a query of our own.
func (e *Engine) raise(o *order) {
	if e.bug == BugNoFence || e.bug == BugNoFenceForSQL && o.side != nil {
		return
	}
	o.fenced = true
	o.srv.fences++
}

// lower takes it down; a second time does nothing.
func (o *order) lower() {
	if o.fenced {
		o.fenced = false
		o.srv.fences--
	}
}
