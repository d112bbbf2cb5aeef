package probe

import (
	"context"
	"time"
)

// Way is how a CancelRequest travels.
type Way string

// The ways.
const (
	AsSession Way = "as the session" // with TLS if the connection string asks for it
	InClear   Way = "in clear"
	OverTLS   Way = "over TLS"
	OverALPN  Way = "over direct TLS"
)

// CancelAnswer is what became of a CancelRequest's connection.
type CancelAnswer struct {
	Conn *Conn
	End
	Sent time.Time // when the request was written
}

// Cancel sends the packet on a connection of its own and waits for its end, at most Patience. An error means that
// the request was not sent.
func (b *Bench) Cancel(ctx context.Context, way Way, packet []byte) (CancelAnswer, error) {
	c, err := b.dialWay(ctx, way)
	if err != nil {
		return CancelAnswer{Conn: c}, err
	}
	if err := c.Send(packet); err != nil {
		return CancelAnswer{Conn: c}, err
	}
	a := CancelAnswer{Conn: c, Sent: time.Now()}
	a.End = c.AwaitEnd(b.Patience)
	return a, c.Close()
}

// CancelSession sends the session's own key.
func (b *Bench) CancelSession(ctx context.Context, way Way, s *Session) (CancelAnswer, error) {
	return b.Cancel(ctx, way, CancelPacket(s.PID, s.Key))
}

func (b *Bench) dialWay(ctx context.Context, way Way) (*Conn, error) {
	switch way {
	case InClear:
		return b.DialPlain(ctx)
	case OverTLS, OverALPN:
		return b.DialTLS(ctx, way == OverALPN)
	}
	return b.Dial(ctx)
}
