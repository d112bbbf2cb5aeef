package loop

import (
	"errors"
	"time"

	"cancello/internal/engine"
)

// errStalled is what Closed tells of a connection whose peer stopped reading during Close(Flush).
var errStalled = errors.New("the peer read nothing for a minute while the connection was being closed")

// deadlines is a line of connections that all wait equally long, so that the first is due first.
type deadlines struct {
	after time.Duration
	line  []deadline
	head  int
}

type deadline struct {
	at time.Duration
	c  engine.Conn
}

func (d *deadlines) empty() bool { return d.head == len(d.line) }

func (d *deadlines) add(c engine.Conn, now time.Duration) {
	if d.head > len(d.line)/2 {
		n := copy(d.line, d.line[d.head:])
		d.line, d.head = d.line[:n], 0
	}
	d.line = append(d.line, deadline{now + d.after, c})
}

// next is when the first is due.
func (d *deadlines) next() (time.Duration, bool) {
	if d.empty() {
		return 0, false
	}
	return d.line[d.head].at, true
}

// due takes the first if its time has come. It may have been closed meanwhile.
func (d *deadlines) due(now time.Duration) (engine.Conn, bool) {
	if at, ok := d.next(); !ok || at > now {
		return 0, false
	}
	c := d.line[d.head].c
	if d.head++; d.empty() {
		d.line, d.head = nil, 0
	}
	return c, true
}
