package peer

import (
	"context"
	"time"
)

// tellLook is how often it is looked whether all have been told.
const tellLook = 5 * time.Millisecond

// TellAll waits until all who passed a request on to this process have its outcome, and all that this one passed on has one,
// or ctx ends: whoever ends before leaves them with a link that broke.
func (h *Hub) TellAll(ctx context.Context) {
	look := time.NewTicker(tellLook)
	defer look.Stop()
	for {
		told := false
		if !h.do(func(now time.Duration) { told = h.relay.Finish(now) }) || told {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}
