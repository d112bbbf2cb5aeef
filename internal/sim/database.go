package sim

import "time"

// database is what all model servers share: what was committed, and what went wrong.
type database struct {
	commits []commit
	blocks  map[[2]int]bool // (client, unit) whose BEGIN succeeded: whether its transaction has ended
}

// commit is one insert or COPY that became durable.
type commit struct {
	tag     tag
	backend int
	at      time.Duration
	block   bool // by a COMMIT, not by the end of a statement or batch
	by      tag  // of that COMMIT
}

func (d *database) noteBegin(t tag) {
	if d.blocks == nil {
		d.blocks = make(map[[2]int]bool)
	}
	d.blocks[[2]int{t.client, t.unit}] = false
}

// noteEnd notes that a transaction ended by its client's own COMMIT or ROLLBACK.
func (d *database) noteEnd(t tag) {
	if d.blocks != nil {
		d.blocks[[2]int{t.client, t.unit}] = true
	}
}

func (d *database) begun(client, unit int) bool { _, ok := d.blocks[[2]int{client, unit}]; return ok }

func (d *database) closed(client, unit int) bool { return d.blocks[[2]int{client, unit}] }

// async is a message that nobody asked for. Who holds its server when it is read may see it.
type async struct {
	backend *backend
	readAt  time.Duration // the gate read it; 0 not yet
	unsure  bool          // ... while it was being leased
	holder  int           // the client that held the server then; 0 nobody
	idle    bool          // the server had answered everything by then
	seen    int           // how many clients received it
}
