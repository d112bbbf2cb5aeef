package unit

// Entry is one message sent to the server whose reply is outstanding: a kind and flags in one byte.
type Entry uint8

// The kinds of Entry. CopyEnd has no reply of its own: it marks where a CopyDone or CopyFail went out. MaybeSync is a
// Sync the server may have swallowed because it read it in COPY IN (trap A5).
const (
	None Entry = iota
	Parse
	Bind
	Describe
	Execute
	Close
	Sync
	MaybeSync
	Query
	Function
	CopyEnd
)

// The flags of Entry.
const (
	Named   Entry = 0x10 // of a named statement under a name of ours; a Parse or Close has a change in session's roll
	Unnamed Entry = 0x20 // Parse or Close of the unnamed statement
	Ours    Entry = 0x40 // sent by Cancello: its reply is swallowed
	Failing Entry = 0x80 // sent to fail: its error is replaced by one of ours

	kindMask Entry = 0x0f
)

// Kind is the entry without its flags.
func (e Entry) Kind() Entry { return e & kindMask }

// Has tells whether all the given flags are set.
func (e Entry) Has(flags Entry) bool { return e&flags == flags }

// Extended tells whether the message belongs to the extended protocol and is skipped after an error until Sync.
func (e Entry) Extended() bool { k := e.Kind(); return k >= Parse && k <= Close }

// Queue lists the messages whose reply is outstanding, oldest first. The zero value is empty and ready.
type Queue struct {
	buf   []Entry // a ring; its length is a power of two
	first int
	n     int
	small [16]Entry // the ring of most clients: no allocation
}

// Len is the number of entries.
func (q *Queue) Len() int { return q.n }

// Push adds an entry at the end.
func (q *Queue) Push(e Entry) {
	if q.n == len(q.buf) {
		q.grow()
	}
	q.buf[(q.first+q.n)&(len(q.buf)-1)] = e
	q.n++
}

// Head is the oldest entry, None when there is none.
func (q *Queue) Head() Entry {
	if q.n == 0 {
		return None
	}
	return q.buf[q.first]
}

// At is the i-th oldest entry; i must be in 0..Len()-1.
func (q *Queue) At(i int) Entry { return q.buf[(q.first+i)&(len(q.buf)-1)] }

// Set replaces the i-th oldest entry.
func (q *Queue) Set(i int, e Entry) { q.buf[(q.first+i)&(len(q.buf)-1)] = e }

// Pop removes the oldest entry; there must be one.
func (q *Queue) Pop() Entry {
	e := q.buf[q.first]
	q.first = (q.first + 1) & (len(q.buf) - 1)
	q.n--
	if q.n == 0 {
		q.rest()
	}
	return e
}

// Reset empties the queue.
func (q *Queue) Reset() { q.first, q.n = 0, 0; q.rest() }

// rest gives back what a deep pipeline needed, so that an idle client owns no buffer.
func (q *Queue) rest() {
	q.first = 0
	if len(q.buf) > 1024 {
		q.buf = nil
	}
}

func (q *Queue) grow() {
	if q.buf == nil {
		q.buf = q.small[:]
		return
	}
	bigger := make([]Entry, 2*len(q.buf))
	for i := range q.n {
		bigger[i] = q.At(i)
	}
	q.buf, q.first = bigger, 0
}
