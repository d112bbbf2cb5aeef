package sim

import (
	"encoding/binary"
	"strconv"
	"time"
)

// backend is one model server process: it reads messages, runs statements in virtual time, and takes signals as
// PostgreSQL does.
type backend struct {
	w     *World
	pm    *postmaster
	pid   int
	user  int     // of clientUsers
	place int     // where the database was when it was dialed: see reloads
	host  string  // and its name there
	addr  string  // and its address then
	sole  *client // of a walsender: whose it is
	end   *end
	conn  *conn // the gate's side; nil in a direct world

	state   state
	reading bool   // a read is scheduled
	job     int    // what runs; timers of an older job are void
	inbuf   []byte // read, not yet handled
	endRead int64  // bytes ever read
	out     []byte // written, not yet sent
	cont    func() // goes on when a blocked output flowed off

	pending *signal // QueryCancelPending, and who set it

	block      byte // 'I', 'T' or 'E', as in ReadyForQuery
	blockOwner tag  // the BEGIN
	batchOwner int  // the client of an implicit transaction; 0 none
	writes     []tag
	now, saved settings // values, and those at the start of the transaction
	told       settings // as last reported
	dirty      int      // client that left session state here; 0 none

	skip       bool // until Sync
	simple     bool
	queue      []statement // rest of a simple Query
	cur        statement
	curTag     tag // as what the statement runs: the Bind's tag, else its text's
	portal     *portal
	prepared   map[string]prepared
	portals    map[string]*portal
	copyTag    tag
	copied     int
	listener   int      // client that LISTENs; 0 none
	channel    string   // its channel
	heldNotify []*async // to be told before the next ReadyForQuery 'I'
	trailing   bool     // a NOTICE goes out right behind the next ReadyForQuery
}

type prepared struct {
	text  string
	stmts []statement
}

type portal struct {
	prepared prepared
	tag      tag // of the parameter, else of the text
	left     int // rows still to come; -1 before the first Execute
}

type state uint8

const (
	bReading state = iota // waits for a message: a signal is swallowed
	bRunning
	bCopyIn    // waits for CopyData: a signal waits too
	bStreaming // sends a stream and reads what its client says to it
	bBlocked   // waits for its socket to take more
	bDead
)

var stateNames = [...]string{"reading", "running", "copy in", "streaming", "blocked", "dead"}

func (s state) String() string { return stateNames[s] }

func (b *backend) name() string { return "b" + strconv.Itoa(b.pid) }

// arrived is told by the socket.
func (b *backend) arrived() {
	switch b.state {
	case bReading, bCopyIn, bStreaming:
		b.readSoon()
	case bBlocked:
		if b.end.rst {
			b.goOn()
		}
	case bRunning:
		if (b.end.rst || b.end.eof) && b.pm.checks {
			job := b.job
			b.w.after(b.w.between(0, 500*time.Millisecond), func() {
				if b.state == bRunning && b.job == job && (b.end.rst || len(b.end.in) == 0) {
					b.die("the client is gone")
				}
			})
		}
	}
}

func (b *backend) room() {
	if b.state == bBlocked {
		b.goOn()
	}
}

func (b *backend) goOn() {
	if f := b.cont; f != nil {
		b.cont = nil
		f()
	}
}

func (b *backend) readSoon() {
	if b.reading || b.state == bDead {
		return
	}
	b.reading = true
	b.w.after(b.w.between(0, 30*time.Microsecond), b.pump)
}

// pump handles what is here, message by message, until something takes time.
func (b *backend) pump() {
	b.reading = false
	for b.state == bReading || b.state == bCopyIn || b.state == bStreaming {
		p := b.end.read(len(b.end.in))
		b.endRead += int64(len(p))
		b.inbuf = append(b.inbuf, p...)
		typ, body, n, err := cutMessage(b.inbuf)
		if err != "" {
			b.fatal("08P01", err)
			return
		}
		if n == 0 {
			if b.end.rst || b.end.eof && len(b.end.in) == 0 {
				b.die("EOF")
			}
			return
		}
		b.inbuf = b.inbuf[n:]
		if b.w.trace != nil {
			b.w.tracef("%s reads %c %s", b.name(), typ, brief(body))
		}
		b.checkWalsender(typ, body)
		switch b.state {
		case bCopyIn:
			b.copyMessage(typ, body)
		case bStreaming:
			b.streamMessage(typ, body)
		default:
			b.handle(typ, body)
		}
	}
}

// cutMessage is the first whole message of buf; n is 0 when it isn't all here.
func cutMessage(buf []byte) (typ byte, body []byte, n int, err string) {
	if len(buf) < 1 {
		return
	}
	typ = buf[0]
	limit := 10000
	switch typ {
	case 'Q', 'F', 'B', 'P', 'd':
		limit = 0x3fffffff
	case 'D', 'E', 'C', 'H', 'S', 'X', 'c', 'f':
	default:
		return typ, nil, 0, "invalid frontend message type " + strconv.Itoa(int(typ))
	}
	if len(buf) < 5 {
		return
	}
	l := int(binary.BigEndian.Uint32(buf[1:]))
	if l < 4 || l > limit {
		return typ, nil, 0, "invalid message length"
	}
	if len(buf) < l+1 {
		return
	}
	return typ, buf[5 : l+1], l + 1, ""
}

// flush sends what was written, then goes on with then: at once, or when the socket has taken it all.
func (b *backend) flush(then func()) {
	n := b.end.write(b.out)
	b.out = b.out[n:]
	if len(b.out) == 0 {
		b.out = nil
		then()
		return
	}
	b.state = bBlocked
	b.cont = func() { b.flush(then) }
}

// listen is the way back to reading commands. A signal still pending is swallowed here, as PostgreSQL does.
func (b *backend) nextCommand() {
	if b.state == bDead {
		return
	}
	b.state = bReading
	if b.pending != nil {
		b.w.tracef("%s swallows a signal", b.name())
		b.pending = nil
	}
	b.readSoon()
}

// ready ends a unit: changed settings, notifications, ReadyForQuery.
func (b *backend) ready() {
	b.batchOwner = 0
	if b.block == 'I' {
		clear(b.portals)
		for _, a := range b.heldNotify {
			b.writeNotify(a)
		}
		b.heldNotify = nil
	}
	for i := range reported {
		if b.now.value[i] != b.told.value[i] {
			b.told.value[i] = b.now.value[i]
			b.out = message(b.out, 'S', settingNames[i]+"\x00"+b.now.value[i]+"\x00")
		}
	}
	b.out = message(b.out, 'Z', string(b.block))
	if b.trailing {
		b.trailing = false
		b.writeNotice()
	}
	b.flush(b.nextCommand)
}

// fail is an error: what was pending is forgotten, the transaction fails, the rest of the unit is skipped.
func (b *backend) fail(code, text string) {
	b.job++
	b.pending = nil
	b.out = fields(b.out, 'E', "ERROR", code, text)
	if b.w.trace != nil {
		b.w.tracef("%s ERROR %s %s", b.name(), code, b.curTag)
	}
	b.writes = nil
	b.now = b.saved
	if b.block == 'T' {
		b.block = 'E'
	}
	b.queue = nil
	if b.simple {
		b.ready()
		return
	}
	b.skip = true
	b.flush(b.nextCommand)
}

// fatal is an error that ends the process.
func (b *backend) fatal(code, text string) {
	if b.state == bDead {
		return
	}
	b.out = fields(b.out, 'E', "FATAL", code, text)
	b.end.write(b.out)
	b.die(text)
}

// die ends the process: what it had not committed is gone.
func (b *backend) die(why string) {
	if b.state == bDead {
		return
	}
	b.w.tracef("%s ends: %s", b.name(), why)
	b.state = bDead
	b.job++
	b.writes, b.cont = nil, nil
	b.end.close()
	b.pm.gone(b)
}

// commit makes the open inserts durable.
func (b *backend) commit(block bool, by tag) {
	for _, t := range b.writes {
		b.w.db.commits = append(b.w.db.commits, commit{t, b.pid, b.w.now, block, by})
		if b.w.trace != nil {
			b.w.tracef("%s commits %s", b.name(), t)
		}
	}
	b.writes = nil
	b.saved = b.now
	b.block = 'I'
}

func (b *backend) rollback() {
	b.writes = nil
	b.now = b.saved
	b.block = 'I'
}
