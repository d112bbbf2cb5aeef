package session

import (
	"encoding/hex"

	"cancello/internal/sqlstate"
	"cancello/internal/unit"
)

const (
	// maxOutstanding bounds the replies a client may have outstanding. PostgreSQL flushes its output at 8 KB and a
	// reply has 5 bytes at least, so it never waits for us with more than 1,639 of them in its buffer: holding the client
	// back at this depth cannot block both.
	maxOutstanding = 8192
	// maxName is how long the name of a portal may be, in bytes: it is looked past for the name of the statement. As much of
	// a statement's text is looked at before it passes.
	maxName = 1024
	// maxError is how much of an ErrorResponse is looked at for its severity and code.
	maxError = 8192
	// maxParameter is how long a ParameterStatus may be to be kept; a longer one passes untracked.
	maxParameter = 65536
)

// Mode is what a Session has to guard.
type Mode uint8

const (
	// Keep: the client has its server for itself until it leaves.
	Keep Mode = iota
	// Share: the server may be another one in the next transaction; what would not survive that is refused.
	Share
	// Single: the server may be another one in the next unit; no transaction block outlives the unit that opens it.
	Single
)

// Session is the protocol state of one client. The zero value is not usable: see New.
type Session struct {
	*work // nil while it rests; whoever changes something there wakes it, whoever asks asks that first

	lib         *Library        // nil: named statements are refused
	roll        *roll           // nil until the client has prepared something by name
	nextRefusal *sqlstate.Error // the next unit is to fail with this
	begun       uint64          // serial of the last unit that began
	ended       uint64          // serial of the last unit that ended
	resting     resting
	own         [8]byte // makes the names of its own that it uses on servers: see failName

	mode  Mode
	kind  unit.Kind
	tx    byte // status of the last ReadyForQuery, as far as it can be believed: see ready
	tags  Tags
	acted bool // the server has answered something since then

	open    bool // a batch has begun and its Sync was not sent
	skip    bool // the server discards until Sync: it reported an error and no Sync was sent since
	doomed  bool // a message of the open batch was made to fail: the rest is dropped up to Sync
	discard bool // the open batch was answered here: it is dropped up to Sync, which is answered too

	copyIn   bool // the server reads COPY data and no end of it was sent
	inCopy   bool // the message at the head went into COPY IN
	copyBoth bool // ... and into COPY BOTH, where Sync is not swallowed
	flushed  bool // a Flush was sent last, so all that is owed will come
	unsure   bool // open only because the server may have swallowed the batch's Sync
	doubt    bool // a ReadyForQuery has come, and it is not known whether one more will
	probing  bool // our probe is outstanding
	undoing  bool // a transaction block is to be rolled back in Single mode

	stirred     bool // in this lease settings may have been changed that nobody reports
	sweepsKept  bool // the unnamed statement may drop prepared statements
	returns     bool // that a unit may take startup values away matters: see Returns
	commitsKept bool // the unnamed statement, or in Keep mode any, is a COMMIT
	beginsKept  bool // ... opens a transaction block
}

// refusal is what the client is told in place of an error that the server was made to report.
type refusal struct {
	err      sqlstate.Error
	as, name string // where as is not empty: the server's own words, with the name of the client's statement in its place
}

// frame is a message of which the header has been seen and rest bytes of the body have not.
type frame struct {
	rest int
	drop bool // the rest goes nowhere
	keep bool // the rest is kept in unnamed
	owed bool // its reply is the last of the queue
}

// span is a range of serials: from one unit of a kind to another. Those between them are taken for the same.
type span struct{ first, last uint64 }

func (p span) has(serial uint64) bool { return p.first <= serial && serial <= p.last }

// add takes in the unit that begins now; those up to ended are forgotten.
func (p *span) add(serial, ended uint64) {
	if p.last <= ended {
		p.first = serial
	}
	p.last = serial
}

// New begins a session, which rests. own makes the name under which statements are made to fail on the server; it must be
// unguessable, because a client that had prepared it would not see the failure.
func New(mode Mode, own [8]byte) Session { return Session{mode: mode, own: own, tx: 'I'} }

// failName is the name of the Parse that cannot be parsed: unguessable, never created.
func (s *Session) failName() string { return "cancello_" + hex.EncodeToString(s.own[:]) }

// Begun is the serial of the last unit that began; the unit that waits is the next one.
func (s *Session) Begun() uint64 { return s.begun }

// Ended is the serial of the last unit that ended. Units end in order: those in Ended()+1 .. Begun() are unfinished, and
// the server works on the first of them.
func (s *Session) Ended() uint64 { return s.ended }

// WasCancelled tells whether a unit ended in 57014. It remembers a few: those that can end in one read.
func (s *Session) WasCancelled(serial uint64) bool {
	if s.work == nil {
		return false
	}
	for _, c := range s.cancelled {
		if c == serial {
			return serial != 0
		}
	}
	return false
}

// Kind is what sort of unit the server works on.
func (s *Session) Kind() unit.Kind {
	if s.ended == s.begun {
		return unit.NoUnit
	}
	switch s.queue.Head().Kind() {
	case unit.Query:
		return unit.QueryUnit
	case unit.Function:
		return unit.FunctionUnit
	case unit.None:
		return s.kind
	default:
		return unit.BatchUnit
	}
}

// Protected tells whether the unit the server works on may be a COMMIT, END or PREPARE TRANSACTION, or is a ROLLBACK of
// ours: a cancel of our own has no business there.
func (s *Session) Protected() bool {
	return s.work != nil && (s.protected.has(s.ended+1) || s.Undoing())
}

// Commits tells whether any unit that the server has been sent and not answered is Protected.
func (s *Session) Commits() bool {
	return s.work != nil && (s.protected.last > s.ended || s.Undoing())
}

// Opening tells whether the unit the server works on may open a transaction block: what the client has sent behind it, or
// is sending, belongs into that block.
func (s *Session) Opening() bool { return s.work != nil && s.opening.has(s.ended+1) }

// Failed tells whether the client has been sent an error of the unit the server works on.
func (s *Session) Failed() bool { return s.ended < s.begun && s.failedUnit == s.ended+1 }

// Tx is the transaction status of the last ReadyForQuery: 'I', 'T' or 'E'.
func (s *Session) Tx() byte { return s.tx }

// Settled tells whether the server owes nothing and is owed nothing: no reply outstanding, no batch open, no message
// cut in the middle in either direction.
func (s *Session) Settled() bool { return s.Quiet() && (s.work == nil || s.down.rest == 0) }

// Quiet is Settled, but the server may be in the middle of a message: one that nobody asked for.
func (s *Session) Quiet() bool {
	return (!s.open || s.discard) && (s.work == nil || s.queue.Len() == 0 && s.up.whole())
}

// Free tells whether the server could go to somebody else: settled and outside a transaction.
func (s *Session) Free() bool { return s.tx == 'I' && s.Settled() }

// whole tells whether the server has been sent whole messages only.
func (f *frame) whole() bool { return f.rest == 0 || f.drop }

// Cut tells whether the server was sent a part of a message, and whether the client was.
func (s *Session) Cut() (up, down bool) {
	if s.work == nil {
		return false, false
	}
	return !s.up.whole(), s.down.rest > 0 && !s.down.drop
}

// Delay keeps p, which is for the client, where a message of the server is on its way to it in pieces: DownLate gives it
// out at the end of that message. It tells whether it did.
func (s *Session) Delay(p []byte) bool {
	if _, cut := s.Cut(); !cut {
		return false
	}
	s.late = append(s.late, p...)
	return true
}

// Delays tells whether something for the client waits for the end of a message.
func (s *Session) Delays() bool { return s.work != nil && len(s.late) > 0 }

// Open tells whether a batch is open: begun and without its Sync, or with one that the server reads as COPY data.
func (s *Session) Open() bool {
	if s.open || !s.inCopy || s.queue.Head().Kind() != unit.Execute {
		return s.open
	}
	for i := range s.queue.Len() {
		if s.queue.At(i).Kind() == unit.Sync {
			return false
		}
	}
	return true
}

// Dawdles tells whether the server waits for the client in the middle of a unit: for the rest of a message, or in a batch
// of which nothing more is to be done without a Flush, a Sync or another message. Before that unit it has all others to do. COPY
// data it awaits as PostgreSQL does, which takes that for work.
func (s *Session) Dawdles() bool {
	if s.copyIn || s.work == nil || s.begun > s.ended+1 {
		return false
	}
	return !s.up.whole() || s.open && !s.discard && (s.queue.Len() == 0 || !s.flushed)
}

// Starves tells whether a server can do nothing but wait for the rest of a message: all before it has been answered.
func (s *Session) Starves() bool {
	return s.work != nil && !s.up.whole() && (s.queue.Len() == 0 || s.queue.Len() == 1 && s.up.owed)
}

// Become changes the mode, while the client holds no server.
func (s *Session) Become(mode Mode) { s.mode = mode }

// Leased says that a server was given to the client: what was known of the last one is void. The shelf is what it has
// prepared; nil where that is not kept.
func (s *Session) Leased(shelf *Shelf) {
	s.wake()
	s.shelf, s.stirred = shelf, false
	if s.lib != nil {
		s.lease = s.lib.tick()
	}
	s.unnamed.governed, s.unnamed.sentIn = false, 0
	s.tags, s.dropping.planted = 0, 0
}

// Tags are what the server did during the lease that outlives a transaction.
type Tags uint8

// The tags of CommandComplete that are watched.
const (
	TagPrepare Tags = 1 << iota // PREPARE
	TagListen                   // LISTEN
	TagSet                      // SET: may have touched a setting that is not reported
	TagReset                    // RESET or DISCARD ALL: the client's startup values may be gone
)

// Tags are those seen since the lease began.
func (s *Session) Tags() Tags {
	if s.work != nil && s.dropping.planted > 0 {
		return s.tags | TagPrepare
	}
	return s.tags
}

// Streams tells whether the server copies in both directions, as for replication.
func (s *Session) Streams() bool { return s.copyBoth }

// Restored says that the client has its startup values back, if they were gone.
func (s *Session) Restored() { s.tags &^= TagReset }

// Returns makes a unit wait for one before it that may take the client's startup values away: they have to be given back
// in between.
func (s *Session) Returns() { s.returns = true }

// resetting tells whether such a unit is unfinished, or one behind it in its transaction.
func (s *Session) resetting() bool {
	return s.resets.last > s.ended || s.tags&TagReset != 0 && s.ended < s.begun
}

// Stirred tells whether settings that nobody reports may have been changed during the lease.
func (s *Session) Stirred() bool { return s.stirred || s.tags&(TagSet|TagReset) != 0 }

// Out are the bytes that go with the verdict just returned. They belong to the Session and hold until its next call.
func (s *Session) Out() []byte { return s.out }

// Report is what the verdict just returned is about.
func (s *Session) Report() Report { return s.report }

// Err is the violation behind Broken.
func (s *Session) Err() sqlstate.Error { return s.err }

// Report goes with a Param or Fatal verdict. Its slices belong to the bytes given to Down.
type Report struct {
	Name, Value []byte // of a ParameterStatus
	Body        []byte // of a fatal ErrorResponse, at most its first 8 KB
}

// Mode is what the Session guards.
func (s *Session) Mode() Mode { return s.mode }
