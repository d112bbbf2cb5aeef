package admin

import (
	"sync"
	"time"

	"cancello/internal/sqlstate"
)

// interrupt is how a CancelRequest ends what a guest waits for. It is asked from any goroutine.
type interrupt struct {
	mu      sync.Mutex
	waiting chan struct{} // closed by a cancel; nil while nothing is waited for
}

// begin says that something is waited for, until end.
func (i *interrupt) begin() (cancelled <-chan struct{}) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.waiting = make(chan struct{})
	return i.waiting
}

func (i *interrupt) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.waiting = nil
}

// cancel ends the wait and says whether there was one.
func (i *interrupt) cancel() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.waiting == nil {
		return false
	}
	close(i.waiting)
	i.waiting = nil
	return true
}

// await asks again and again whether something is over. A cancel ends it with 57014, and so do the end of the guest and
// of the process with words of their own.
func (t *talk) await(over func() (bool, error), left string) error {
	gone, unwatch := t.watch()
	defer unwatch()
	cancelled := t.interrupt.begin()
	defer t.interrupt.end()
	for {
		if is, err := over(); is || err != nil {
			return err
		}
		select {
		case <-time.After(waitPoll):
		case <-cancelled:
			return sqlstate.Canceled()
		case <-gone:
			return sqlstate.New(sqlstate.SeverityError, codeNotInState, "who gave the command has gone"+left)
		case <-t.ctx.Done():
			return sqlstate.AdminShutdown()
		}
	}
}

// waitPoll is how often a command that waits looks whether it is over.
const waitPoll = 20 * time.Millisecond
