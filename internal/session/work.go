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

	unnamed    unnamed
	dropping   dropping // what the unnamed statement drops
	shelf      *Shelf   // the leased server's
	reading    string   // the settings under which the server reads a text
	lease      uint64
	refusals   []refusal // what the Failing entries say, in order
	protected  span      // units that may hold a COMMIT
	opening    span      // units that may open a transaction block
	resets     span      // units that may take startup values away
	failedUnit uint64    // serial of the last unit of which the client was sent an error

	counts    Counts
	cancelled [4]uint64 // serials of the last units that ended in 57014
	late      []byte    // for the client, as soon as the message that it gets in pieces is whole
	out       []byte
	report    Report
	err       sqlstate.Error
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
	if w == nil || w.queue.Len() > 0 || s.open || w.up.rest > 0 || w.down.rest > 0 || len(w.late) > 0 || len(w.unnamed.sent) > 0 || w.counts != (Counts{}) {
		return
	}
	s.work = nil
	kept := resting{w.unnamed.cur, w.dropping.name}
	sent, out := w.unnamed.sent, w.out[:0]
	if len(kept.unnamed) == 0 {
		if kept.unnamed = nil; cap(sent) == 0 {
			sent = w.unnamed.cur
		}
	}
	s.resting = kept
	if s.lib == nil || len(s.lib.works) >= maxWorks {
		return
	}
	if cap(out) > maxRestingOut {
		out = nil
	}
	*w = work{}
	w.unnamed.sent, w.out = sent, out
	s.lib.works = append(s.lib.works, w)
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
	s.unnamed.cur, s.dropping.name = s.resting.unnamed, s.resting.drops
	s.resting = resting{}
}
