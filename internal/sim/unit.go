package sim

import "time"

// unit is what a model client asks at once, and all that is known of it. It has exactly one ReadyForQuery.
type unit struct {
	c      *client
	serial int
	kind   string
	parts  []part // what is still to be sent
	// pausedTo is until when its parts are kept back.
	pausedTo time.Duration
	items    []item // the answers expected, the last one ReadyForQuery
	pos      int    // the next one

	effects   []tag // inserts and COPYs
	commitLen int   // of a COMMIT: length of the messages that carry it out, without the Sync
	begins    bool  // it opens a transaction block
	blockUnit int   // serial of the unit whose BEGIN it was sent behind; 0 none
	mustFail  string
	setsApp   bool
	app       string // application_name it must run under; see checkApp
	checkApp  bool
	long      bool

	start, end int64         // offsets in the client's stream; end is -1 until all is queued
	sentAt     time.Duration // first byte queued
	failed     string        // SQLSTATE the client was told
	done       bool          // the client has its ReadyForQuery
	copying    bool          // CopyInResponse was received

	fedAt    time.Duration // the engine was given its first 5 bytes
	queuedAt time.Duration // something of it was queued to a server
	endedAt  time.Duration // the gate queued its ReadyForQuery; 0 not yet
	status   byte          // ... with this status
	endedBy  *conn         // ... that came from this server, as far as is known
	ranAt    time.Duration // a server began its first statement
	ranTill  time.Duration // a server ended its last statement
	raisedAt time.Duration // a server ended it with 57014
	queuedTo *conn         // the first server it was sent to by the gate
	orders   int           // cancels that went out for it
	refused  bool          // the gate queued an error for it
	failing  bool          // ... which a server was made to meet, in place of something of it
	told     string        // ... of this SQLSTATE
}

// part is a piece of a unit that goes out in one write.
type part struct {
	bytes  []byte
	after  int           // items that must have come (or an error)
	onlyIf bool          // dropped when an error came instead of these items
	pause  time.Duration // and how long it is kept back then
}

// item is one expected message, or a run of them.
type item struct {
	typ  byte
	rows int // of 'D' and 'd'
	tag  tag // what the rows say: as what it ran
	text tag // and from which text
	want string
}

// builder puts a unit together.
type builder struct {
	u   *unit
	cur part
	n   int // statements so far
}

func (b *builder) tag() tag { b.n++; return tag{b.u.c.id, b.u.serial, b.n} }

// send appends one message.
func (b *builder) send(typ byte, body string) { b.cur.bytes = message(b.cur.bytes, typ, body) }

// expect appends one expected answer.
func (b *builder) expect(types string) {
	for i := range len(types) {
		b.u.items = append(b.u.items, item{typ: types[i]})
	}
}

func (b *builder) expectTag(want string) { b.u.items = append(b.u.items, item{typ: 'C', want: want}) }

func (b *builder) expectRows(typ byte, rows int, t, text tag) {
	if rows > 0 {
		b.u.items = append(b.u.items, item{typ: typ, rows: rows, tag: t, text: text})
	}
}

// wait ends a part: what follows is sent once all items so far have come, or an error.
func (b *builder) wait(onlyIf bool) {
	b.u.parts = append(b.u.parts, b.cur)
	b.cur = part{after: len(b.u.items), onlyIf: onlyIf}
}

// end ends the unit.
func (b *builder) end() *unit {
	b.expect("Z")
	b.u.parts = append(b.u.parts, b.cur)
	return b.u
}

// over is true once the gate has queued the unit's ReadyForQuery, or owes nothing but that: the unit was refused before
// any server knew of it and its last message has come.
func (u *unit) over() bool {
	return u.endedAt != 0 || u.refused && u.queuedTo == nil && !u.failing && u.end >= 0 && u.c.fed >= u.end
}

// unit is the client's earliest unit that has not ended; nil when there is none.
func (c *client) unit() *unit {
	if c.ended < len(c.units) {
		return c.units[c.ended]
	}
	return nil
}

// present is the client's earliest unit that is not over; nil when there is none.
func (c *client) present() *unit {
	if c == nil {
		return nil
	}
	for _, u := range c.units[min(c.ended, len(c.units)):] {
		if !u.over() {
			return u
		}
	}
	return nil
}
