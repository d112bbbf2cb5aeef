package demo

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"cancello/internal/event"
	"cancello/internal/wire"
)

// cancelled is a CancelRequest that is over.
type cancelled struct {
	sent   time.Time
	closed time.Duration // from sent until its connection was closed
	event.CancelSettled
}

// cancel sends a client's CancelRequest, waits until its connection is closed, and then for its outcome.
func (st *stage) cancel(ctx context.Context, c *client) (cancelled, error) {
	return st.cancelWith(ctx, c.addr, c.pid, c.key)
}

func (st *stage) cancelWith(ctx context.Context, addr string, pid uint32, key []byte) (cancelled, error) {
	out := cancelled{sent: time.Now()}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return out, fmt.Errorf("a cancel cannot connect: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(longAgo) })()
	if _, err := conn.Write(wire.AppendCancelRequest(nil, pid, key)); err != nil {
		return out, fmt.Errorf("a cancel cannot be sent: %w", err)
	}
	st.sent++
	said, err := io.ReadAll(io.LimitReader(conn, 1))
	if err != nil {
		return out, fmt.Errorf("a cancel's connection was not closed in order: %w", err)
	}
	if len(said) > 0 {
		return out, fmt.Errorf("a cancel was answered, which the protocol does not know")
	}
	out.closed = time.Since(out.sent)
	out.CancelSettled, err = st.ledger.await(ctx, conn.LocalAddr().String())
	return out, err
}

// want is nil if the cancel ended in one of these ways.
func (c cancelled) want(outcomes ...event.Outcome) error {
	for _, o := range outcomes {
		if c.Outcome == o {
			return nil
		}
	}
	reason := ""
	if c.Reason != "" {
		reason = " (" + c.Reason + ")"
	}
	return fmt.Errorf("a cancel's outcome is %q%s, not %q", c.Outcome, reason, outcomes[0])
}
