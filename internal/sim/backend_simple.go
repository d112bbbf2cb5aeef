package sim

import (
	"strconv"
	"time"
)

// handle takes one message while commands are read.
func (b *backend) handle(typ byte, body []byte) {
	switch {
	case typ == 'X':
		b.die("Terminate")
	case typ == 'S':
		b.skip = false
		if b.block == 'I' {
			b.commit(false, tag{})
		}
		b.ready()
	case b.skip:
	case typ == 'Q':
		b.query(body)
	case typ == 'F':
		b.simple = true
		t, _ := findTag(body)
		b.start(statement{kind: kShow, name: "function", tag: t}, t)
	case typ == 'H':
		b.flush(b.nextCommand)
	case typ == 'd', typ == 'c', typ == 'f': // of a COPY that failed
	default:
		b.simple = false
		b.extended(typ, body)
	}
}

// query is a simple Query: it drops the unnamed statement and portal.
func (b *backend) query(body []byte) {
	delete(b.prepared, "")
	delete(b.portals, "")
	b.simple = true
	text, _, ok := cstring(body)
	if !ok {
		b.fatal("08P01", "invalid string in message")
		return
	}
	b.queue = parseSQL(text)
	b.curTag = tag{}
	if t, ok := findTag(text); ok {
		b.curTag = t
	}
	for _, s := range b.queue {
		if s.kind == kBad { // the parser sees the whole text first
			b.own(b.curTag)
			b.fail("42601", "syntax error")
			return
		}
	}
	if len(b.queue) == 0 {
		b.out = message(b.out, 'I', "")
		b.ready()
		return
	}
	b.next()
}

// next runs the next statement of a simple Query.
func (b *backend) next() {
	if len(b.queue) == 0 {
		if b.block == 'I' {
			b.commit(false, tag{})
		}
		b.ready()
		return
	}
	s := b.queue[0]
	b.queue = b.queue[1:]
	b.start(s, s.tag)
}

// own checks that a statement runs where nobody else's state is, and takes the place.
func (b *backend) own(t tag) {
	if t.client < 1 || t.client > len(b.w.clients) {
		return
	}
	w := b.w
	switch {
	case w.clients[t.client-1].user != b.user:
		w.violate("P4", "%s runs on %s as another user", t, b.name())
	case b.block != 'I' && b.blockOwner.client != 0 && b.blockOwner.client != t.client:
		w.violate("P4", "%s runs in the transaction that %s opened on %s", t, b.blockOwner, b.name())
	case b.batchOwner != 0 && b.batchOwner != t.client:
		w.violate("P4", "%s runs in the open batch of client %d on %s", t, b.batchOwner, b.name())
	case b.dirty != 0 && b.dirty != t.client && !w.k.transaction && !w.k.mixed:
		w.violate("P4", "%s runs on %s, which still has the session state of client %d", t, b.name(), b.dirty)
	}
	b.checkSole(t)
	b.checkStartup(t)
	b.batchOwner = t.client
}

// start runs a statement as the given tag; finish follows when its time is over.
func (b *backend) start(s statement, t tag) {
	b.state = bRunning
	b.cur, b.curTag = s, t
	b.job++
	job := b.job
	b.own(t)
	b.w.noteRun(t)
	d := s.dur
	if d == 0 {
		d = b.w.between(5*time.Microsecond, 60*time.Microsecond)
	}
	if s.kind == kCommit && b.block == 'T' && b.w.fault(0.05) {
		d = b.w.between(time.Millisecond, 2*time.Second) // for a standby
	}
	if t == (tag{}) && b.w.fault(b.w.k.slowTries) { // one of the gate's own
		d = b.w.between(time.Millisecond, 2*time.Second)
		b.w.faults.servers++ // the gate may give it up
	}
	if b.w.calm && d > 3*time.Second && b.w.k.direct {
		d = 3 * time.Second // nobody may be left to cancel it
	}
	if b.w.chance(0.02) {
		b.writeNotice()
		n := b.end.write(b.out) // the rest follows with the result
		b.out = b.out[n:]
	}
	if b.pending != nil {
		b.interruptSoon()
	}
	b.w.after(d, func() {
		if b.job == job && b.state == bRunning {
			b.finish()
		}
	})
}

// signal is SIGINT because of a CancelRequest.
type signal struct {
	order *order // nil in a direct world
	c     *client
}

// interrupt is the signal handler.
func (b *backend) interrupt(s *signal) {
	if b.w.trace != nil {
		b.w.tracef("%s is signalled while %s %s", b.name(), b.state, b.curTag)
	}
	switch b.state {
	case bRunning:
		b.pending = s
		b.interruptSoon()
	case bStreaming:
		b.pending = s
		b.streamInterrupted()
	case bCopyIn, bBlocked:
		b.pending = s
	}
}

// interruptSoon raises the error at one of the next checks of whatever runs then.
func (b *backend) interruptSoon() {
	b.w.after(b.w.between(0, 150*time.Microsecond), func() {
		if b.pending != nil && b.state == bRunning {
			if b.cur.kind == kCommit && b.block == 'T' {
				b.pending = nil
				b.finish() // acknowledged, but not replicated
				return
			}
			b.w.checkRaise(b, b.pending)
			b.fail("57014", "canceling statement due to user request")
		}
	})
}

// finish ends a statement: its effect and its answer.
func (b *backend) finish() {
	s, t := b.cur, b.curTag
	b.w.noteRan(t)
	if b.block == 'E' && s.kind != kCommit && s.kind != kRollback {
		b.fail("25P02", "current transaction is aborted, commands ignored until end of transaction block")
		return
	}
	switch s.kind {
	case kBad:
		b.fail("42601", "syntax error")
	case kError:
		b.fail("22012", "division by zero")
	case kSelect:
		if !b.change(s) {
			return
		}
		b.describe(s)
		b.rows(s.rows, s.rows)
	case kShow:
		if s.name == "function" {
			n := t.String()
			b.out = message(b.out, 'V', string([]byte{0, 0, 0, byte(len(n))})+n)
			b.next()
			return
		}
		b.describe(s)
		b.out = row(b.out, b.show(s.name))
		b.done("SHOW")
	case kInsert:
		b.writes = append(b.writes, t)
		b.done("INSERT 0 1")
	case kCopyIn:
		b.copyTag, b.copied = t, 0
		b.out = message(b.out, 'G', "\x00\x00\x01\x00\x00")
		b.flush(func() { b.state = bCopyIn; b.readSoon() })
	case kCopyOut:
		b.out = message(b.out, 'H', "\x00\x00\x01\x00\x00")
		b.copyRows(s.rows, s.rows)
	case kStream:
		b.out = message(b.out, 'W', "\x00\x00\x00")
		b.flush(func() { b.streamOut(s.rows) })
	case kBegin, kCommit, kRollback:
		b.transaction(s)
	default:
		b.session(s)
	}
}

// transaction runs BEGIN, COMMIT and ROLLBACK.
func (b *backend) transaction(s statement) {
	if s.kind != kBegin && b.block != 'I' && s.tag.client != 0 {
		b.w.db.noteEnd(b.blockOwner)
	}
	switch {
	case s.kind == kBegin:
		if b.block == 'I' {
			b.block, b.blockOwner = 'T', s.tag
			b.w.db.noteBegin(s.tag)
		} else {
			b.warn("25001", "there is already a transaction in progress")
		}
		b.done("BEGIN")
	case s.kind == kCommit && b.block == 'T':
		b.commit(true, s.tag)
		b.done("COMMIT")
	case s.kind == kCommit && b.block == 'I':
		b.warn("25P01", "there is no transaction in progress")
		b.commit(false, s.tag)
		b.done("COMMIT")
	default:
		if b.block == 'I' {
			b.warn("25P01", "there is no transaction in progress")
		}
		b.rollback()
		b.done("ROLLBACK")
	}
}

func (b *backend) warn(code, text string) { b.out = fields(b.out, 'N', "WARNING", code, text) }

func (b *backend) describe(s statement) {
	if b.simple && s.returnsRows() {
		b.out = message(b.out, 'T', rowDescription)
	}
}

// rows sends left of all rows, as fast as the socket takes them.
func (b *backend) rows(left, all int) {
	for left > 0 {
		b.out = row(b.out, b.rowText(b.cur.size))
		left--
		if b.portal != nil && !b.simple {
			b.portal.left = left
		}
		if len(b.out) > 8<<10 {
			b.flush(func() { b.resume(func() { b.rows(left, all) }) })
			return
		}
	}
	b.done("SELECT " + strconv.Itoa(all))
}

// rowText is what a row says: as what it ran, from which text, under which name.
func (b *backend) rowText(pad int) string {
	s := b.curTag.String() + " " + b.cur.tag.String() + " " + b.now.value[setApp]
	if pad > 0 {
		p := make([]byte, pad)
		for i := range p {
			p[i] = 'x'
		}
		s += " " + string(p)
	}
	return s
}

// resume goes on with a statement after its output was blocked.
func (b *backend) resume(then func()) {
	b.state = bRunning
	if b.pending != nil {
		b.w.checkRaise(b, b.pending)
		b.fail("57014", "canceling statement due to user request")
		return
	}
	then()
}

// done ends a statement that succeeded.
func (b *backend) done(text string) {
	b.out = message(b.out, 'C', text+"\x00")
	b.job++
	if b.simple {
		b.next()
		return
	}
	b.nextCommand()
}
