package peer

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"cancello/internal/relay"
	"cancello/internal/wire"
)

// plain carries a request as a client does: in clear, and with nothing coming back but the end of the connection. The
// failure is for people; empty: it was taken.
func plain(ctx context.Context, address string, timeout time.Duration, r relay.Request) (failure string) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return "as a plain CancelRequest: " + why(err)
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.SetDeadline(longAgo) })()
	if _, err := nc.Write(wire.AppendCancelRequest(nil, r.PID, r.Key)); err != nil {
		return "as a plain CancelRequest: " + why(err)
	}
	if n, err := io.ReadFull(nc, make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		return "as a plain CancelRequest, which was written: what came of it is not known"
	}
	return ""
}
