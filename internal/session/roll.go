package session

const (
	// maxStatements bounds the named statements of a client.
	maxStatements = 10_000
	// maxStatementBytes bounds their names and texts together.
	maxStatementBytes = 16 << 20
	// nameLength is what counts of a statement's name: NAMEDATALEN - 1 bytes.
	nameLength = 63
)

// roll is a client's named statements, and what was sent about them and not answered yet. Everything is written down when
// it is sent; what the server turns out not to have done is undone in reverse. What is unanswered belongs to one unit:
// a message about a name that comes in a later one is held back until then.
type roll struct {
	lib     *Library
	cards   map[string]card
	bytes   int
	changes []change // from first on; one for each Named entry of a Parse or Close in the queue, in its order
	first   int
	unit    uint64 // in which they were sent
	sweep   uint64 // the last unit that may drop statements by SQL
	falling string // the name that the Query under way drops
}

// card is what a name means.
type card struct {
	st *Statement
	at uint64 // when the client parsed it, by the Library's clock
}

// change is what one message does when it is answered.
type change struct {
	name     string
	renamed  bool // name meant was and means now (a nil Statement: nothing)
	was, now card
	put      *edition // comes to shelf
	took     *edition // goes from shelf
	shelf    *Shelf
}

func newRoll(lib *Library) *roll { return &roll{lib: lib, cards: map[string]card{}} }

// cut is the part of a name that counts.
func cut(name []byte) []byte { return name[:min(len(name), nameLength)] }

func (r *roll) set(name string, c card) {
	if old, ok := r.cards[name]; ok {
		delete(r.cards, name)
		r.bytes -= len(name) + len(old.st.body)
		r.lib.drop(old.st)
	}
	if c.st != nil {
		r.cards[name] = c
		r.bytes += len(name) + len(c.st.body)
		r.lib.keep(c.st)
	}
}

// mayBegin tells whether a name means a statement that may open a transaction block.
func (r *roll) mayBegin(name []byte) bool {
	c, ok := r.cards[string(cut(name))]
	return ok && c.st.begins
}

// outstanding is the number of changes that are not answered.
func (r *roll) outstanding() int { return len(r.changes) - r.first }

// note does a change and remembers it until it is answered.
func (r *roll) note(c change, unit uint64) {
	r.do(c)
	r.changes, r.unit = append(r.changes, c), unit
}

func (r *roll) do(c change) {
	if c.renamed {
		r.set(c.name, c.now)
	}
	if c.took != nil {
		c.shelf.take(c.took)
	}
	if c.put != nil {
		c.shelf.put(c.put)
	}
}

func (r *roll) undo(c change) {
	if c.put != nil {
		c.shelf.take(c.put)
	}
	if c.took != nil {
		c.shelf.put(c.took)
	}
	if c.renamed {
		r.set(c.name, c.was)
	}
}

// answered is the oldest change, which the server has done.
func (r *roll) answered() change {
	c := r.changes[r.first]
	r.changes[r.first] = change{}
	r.first++
	r.rest()
	return c
}

// failed: the server will not do the n oldest changes.
func (r *roll) failed(n int) {
	for i := r.first + n - 1; i >= r.first; i-- {
		r.undo(r.changes[i])
		r.changes[i] = change{}
	}
	r.first += n
	r.rest()
}

func (r *roll) rest() {
	if r.first < len(r.changes) {
		return
	}
	r.changes, r.first = r.changes[:0], 0
	if cap(r.changes) > 64 {
		r.changes = nil
	}
}

// clear: the client has dropped all its statements by SQL, and with them all of the server's. What was sent since stands.
func (r *roll) clear(h *Shelf) {
	for name, c := range r.cards { // order does not matter: each is dropped
		r.lib.drop(c.st)
		delete(r.cards, name)
	}
	r.bytes = 0
	if h != nil {
		h.Clear()
	}
	for _, c := range r.changes[r.first:] {
		r.do(c)
	}
}
