package contract

import (
	"testing"
	"time"

	"cancello/internal/engine"
)

// Outside is the part of engine.Outside that concerns connections.
type Outside interface {
	Forward(to engine.Conn, b engine.Buf, from, n int)
	Send(to engine.Conn, p []byte)
	Pause(c engine.Conn)
	Resume(c engine.Conn)
	Close(c engine.Conn, how engine.How)
	Wake(at time.Duration)
}

// Handler is told what happened. The suite implements it.
type Handler interface {
	Data(now time.Duration, c engine.Conn, b engine.Buf)
	Sent(now time.Duration, c engine.Conn, n int)
	Closed(now time.Duration, c engine.Conn, err error)
	Tick(now time.Duration)
}

// World is an implementation under test with the far ends of its connections. Each subtest has a new one; what it
// holds is released with t.Cleanup.
type World interface {
	// Start tells the handler; it is called once, before anything else.
	Start(h Handler)
	// Outside is only called inside Do and inside the handler's methods.
	Outside() Outside
	// Do runs f as an event of its own and returns when it is over.
	Do(f func(now time.Duration))
	// Step lets the world go on: at least one event, if any is due or will become due by itself. False says that
	// none came; a world in real time may say so after a few milliseconds although something is still to come.
	Step() bool
	// Reserve names a connection that has no descriptor yet.
	Reserve() engine.Conn
	// Adopt connects c, with bytes that were read already, and returns the far end.
	Adopt(c engine.Conn, first []byte) Peer
	// Abandon says that c will never be adopted.
	Abandon(c engine.Conn, err error)
}

// Peer is the far end of a connection. It never blocks.
type Peer interface {
	// Write takes as much of p as there is room for, perhaps nothing.
	Write(p []byte) (int, error)
	// Read gives what has arrived, perhaps nothing; io.EOF after FIN, another error after a reset.
	Read(p []byte) (int, error)
	// FIN ends the writing side; reading goes on.
	FIN()
	// RST resets the connection.
	RST()
}

// MaxData is the most one Data may carry: the size of a receive buffer.
const MaxData = 64 << 10

// Run runs the suite, each subtest in a world of its own.
func Run(t *testing.T, newWorld func(t *testing.T) World) {
	for _, group := range [][]sentence{streams, pauses, reservations, endings, names, times, mixtures} {
		for _, s := range group {
			t.Run(s.name, func(t *testing.T) {
				s.test(newStage(t, newWorld(t)))
			})
		}
	}
}

// sentence is one promise.
type sentence struct {
	name string
	test func(s *stage)
}
