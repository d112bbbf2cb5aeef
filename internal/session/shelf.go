package session

// Shelf is what of the Library one server has prepared, in the order of use. Max bounds it.
type Shelf struct {
	Max int // max_prepared_statements; may change at any time

	lib            *Library
	editions       map[*Statement]*edition
	newest, oldest *edition
	epoch          uint64 // editions of an earlier one are stale
}

// edition is a statement as one server prepared it.
type edition struct {
	st    *Statement
	at    uint64 // when it was parsed, by the Library's clock
	epoch uint64
	lease uint64 // not 0: parsed under settings that are not known for certain; good for that lease only

	newer, older *edition
}

// NewShelf is that of a new server.
func NewShelf(lib *Library) *Shelf { return &Shelf{lib: lib, editions: map[*Statement]*edition{}} }

// Len is the number of statements that the server has prepared, or has been told to.
func (h *Shelf) Len() int { return len(h.editions) }

// fresh tells whether the server has a statement as a client that parsed it at a certain moment may use it.
func (h *Shelf) fresh(c card, lease uint64) bool {
	ed := h.editions[c.st]
	return ed != nil && ed.epoch == h.epoch && ed.at >= c.at && (ed.lease == 0 || ed.lease == lease)
}

// full tells whether one has to go before another comes.
func (h *Shelf) full() bool { return len(h.editions) >= max(1, h.Max) }

func (h *Shelf) put(ed *edition) {
	if h.editions[ed.st] != nil {
		return
	}
	h.editions[ed.st] = ed
	h.lib.keep(ed.st)
	h.link(ed)
}

func (h *Shelf) take(ed *edition) {
	if h.editions[ed.st] != ed {
		return
	}
	delete(h.editions, ed.st)
	h.lib.drop(ed.st)
	h.unlink(ed)
}

// used makes it the newest.
func (h *Shelf) used(st *Statement) {
	if ed := h.editions[st]; ed != nil && ed != h.newest {
		h.unlink(ed)
		h.link(ed)
	}
}

func (h *Shelf) link(ed *edition) {
	ed.older, ed.newer = h.newest, nil
	if h.newest != nil {
		h.newest.newer = ed
	}
	h.newest = ed
	if h.oldest == nil {
		h.oldest = ed
	}
}

func (h *Shelf) unlink(ed *edition) {
	if ed.newer != nil {
		ed.newer.older = ed.older
	} else {
		h.newest = ed.older
	}
	if ed.older != nil {
		ed.older.newer = ed.newer
	} else {
		h.oldest = ed.newer
	}
	ed.newer, ed.older = nil, nil
}

// expire makes all of them stale: each is prepared anew before it is used again.
func (h *Shelf) expire() { h.epoch++ }

// Clear says that the server has none any more: it ran DISCARD ALL, or is gone.
func (h *Shelf) Clear() {
	for h.oldest != nil {
		h.take(h.oldest)
	}
}
