package engine

const (
	// highWater is how much may be queued for a connection before the one that feeds it is paused, in bytes. One receive
	// buffer may come on top.
	highWater = 64 << 10
	// lowWater is where it is resumed.
	lowWater = 16 << 10
)

// link is one connection as the engine sees it.
type link struct {
	conn   Conn  // 0: not there, or no longer
	queued int32 // bytes handed over and not accounted for by Sent; back pressure keeps it near highWater
	paused pauses
}

// pauses are the reasons for which a connection is not read.
type pauses uint8

const (
	pauseWait pauses = 1 << iota // its client waits for a server, a fence, or answers
	pausePeer                    // the connection it feeds is full
)

// forward passes n bytes of a lent buffer on to l.
func (e *Engine) forward(l *link, b Buf, from, n int) {
	if l.conn != 0 && n > 0 {
		l.queued += int32(n)
		e.out.Forward(l.conn, b, from, n)
	}
}

// send passes a copy of p on to l.
func (e *Engine) send(l *link, p []byte) {
	if l.conn != 0 && len(p) > 0 {
		l.queued += int32(len(p))
		e.out.Send(l.conn, p)
	}
}

// pause and resume keep the reasons apart.
func (e *Engine) pause(l *link, why pauses) {
	if l.paused == 0 && l.conn != 0 {
		e.out.Pause(l.conn)
	}
	l.paused |= why
}

func (e *Engine) resume(l *link, why pauses) {
	if l.paused&why == 0 {
		return
	}
	l.paused &^= why
	if l.paused == 0 && l.conn != 0 {
		e.out.Resume(l.conn)
	}
}

// balance keeps the queue of full bounded by pausing the connection that feeds it.
func (e *Engine) balance(full, feeder *link) {
	switch {
	case full.conn != 0 && full.queued > highWater:
		e.pause(feeder, pausePeer)
	case full.queued <= lowWater || full.conn == 0:
		e.resume(feeder, pausePeer)
	}
}
