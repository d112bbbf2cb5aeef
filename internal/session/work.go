package session

import (
	"cancello/internal/sqlstate"
	"cancello/internal/unit"
)

// work is what a Session needs while something is going on. Most clients do nothing most of the time, so it goes from one
// to the next: see Rest.
type work struct {
	queue unit.Queue
	up    frame
	down  frame

	unnamed  unnamed
	dropping dropping // what the unnamed statement drops
	shelf    *Shelf   // the leased server's
	reading  string   // the settings under which the server reads a text
	lease    uint64
	refusals []refusal // what the Failing entries say, in order
	serials
	counts Counts
	late   []byte // for the client, as soon as the message that it gets in pieces is whole
	out    []byte
	report Report
	err    sqlstate.Error
}

// serials are those of units that something is known of.
type serials struct {
	protected  span      // may hold a COMMIT
	opening    span      // may open a transaction block
	resets     span      // may take startup values away
	failedUnit uint64    // the last one of which the client was sent an error
	cancelled  [4]uint64 // the last ones that ended in 57014
}

// resting is what stays of the work while there is none.
type resting struct {
	unnamed []byte // the Parse message of the unnamed statement
	drops   string // dropping.name
}

const (
	// maxWorks bounds how many a Library keeps for those to come: as many are in use at once as servers are leased.
	maxWorks = 256
	// maxRestingOut bounds the memory for Out that goes with one.
	maxRestingOut = 4 << 10
)

// Rest says that the client has no server, and none of its units is of interest any more. If nothing is under way it gives
// up all that it will not need before it is leased one again.
func (s *Session) Rest() {
	w := s.work
	if w == nil || s.ended != s.begun || s.open || s.inCopy || w.queue.Len() > 0 || w.up.rest > 0 || w.down.rest > 0 || len(w.late) > 0 || len(w.unnamed.sent) > 0 {
		return
	}
	s.work = nil
	if len(w.unnamed.cur) > 0 {
		s.resting.unnamed, w.unnamed.cur = w.unnamed.cur, nil
	}
	if w.dropping.name != "" {
		s.resting.drops, w.dropping.name = w.dropping.name, ""
	}
	if s.lib == nil || len(s.lib.works) >= maxWorks {
		return
	}
	w.clear()
	s.lib.works = append(s.lib.works, w)
}

// clear takes what was the last client's out of w, but for memory that serves the next one as well. What Leased sets and
// what is empty at rest is not looked at.
func (w *work) clear() {
	w.up, w.down, w.serials, w.counts = frame{}, frame{}, serials{}, Counts{}
	w.shelf, w.refusals, w.err = nil, nil, sqlstate.Error{}
	if cap(w.out) > maxRestingOut {
		w.out = nil
	}
	if w.report.Name != nil || w.report.Value != nil || w.report.Body != nil {
		w.report = Report{}
	}
}

// wake makes sure that there is work.
func (s *Session) wake() {
	if s.work == nil {
		s.rise()
	}
}

func (s *Session) rise() {
	if s.lib != nil && len(s.lib.works) > 0 {
		last := len(s.lib.works) - 1
		s.work, s.lib.works = s.lib.works[last], s.lib.works[:last]
	} else {
		s.work = new(work)
	}
	if s.resting.unnamed != nil {
		s.unnamed.cur, s.resting.unnamed = s.resting.unnamed, nil
	}
	if s.resting.drops != "" {
		s.dropping.name, s.resting.drops = s.resting.drops, ""
	}
}
