package loop

import (
	"time"

	"cancello/internal/engine"
)

const (
	// A read that brought between smallRead and largeRead bytes may be of a stream: most answers are smaller, and where more
	// comes at once there is nothing to gain.
	smallRead = 4 << 10
	largeRead = recvSize / 2
	// streamRun is how many such reads in a row make a stream: of PostgreSQL's pieces a quarter of a megabyte, so that an
	// answer which ends in a nap has taken some times as long.
	streamRun = 32
	// napTime is how long more of a stream is waited for.
	napTime = 50 * time.Microsecond
)

// stream is a connection that alone brings bytes, in small pieces, each of which is read as soon as it comes: a large
// result, of which PostgreSQL sends 8 KB at a time. The sender then pays for waking the loop, the loop for waking up and for
// waking the receiver, once for each piece. So a loop that has nothing else to do lets some more come first.
type stream struct {
	of     engine.Conn
	run    int                   // its small reads in a row, with nothing in between
	due    bool                  // the last turn brought one more
	napped bool                  // the loop has just waited for more
	nap    func(d time.Duration) // tests count
}

// follow notes that a turn brought n bytes of c, and of others if it is not alone. None: of a record that is not whole yet.
func (s *stream) follow(c engine.Conn, n int, alone bool) {
	if s.due = false; n == 0 && alone && c == s.of {
		return
	}
	if !alone || n < smallRead || c != s.of {
		s.interrupt()
	}
	if s.of = c; alone && n >= smallRead && n < largeRead {
		s.run++
		s.due = s.run >= streamRun
	}
}

// interrupt says that there was something else to do.
func (s *stream) interrupt() { s.run, s.due = 0, false }

// rest lets more come of a stream.
func (s *stream) rest() {
	if s.napped = s.due; s.napped {
		s.due = false
		s.nap(napTime)
	}
}

// missed says that nothing has come: the pieces don't follow one another that fast.
func (s *stream) missed() {
	if s.napped {
		s.napped, s.run = false, 0
	}
}
