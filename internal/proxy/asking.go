package proxy

import (
	"context"
	"errors"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/wire"
)

// asking is what a startup packet asks a server for.
type asking struct {
	bare bool // without our own startup parameters: this upstream is known to refuse them
	old  bool // protocol 3.0, whatever server_protocol says: it is known to refuse 3.2
}

// version is the protocol that is asked for. 3.2 changes only the length of keys, which clients never see.
func (a asking) version(t engine.Target) wire.Version {
	if t.Entry.Cancel.Protocol.Or(config.Protocol30) == config.Protocol32 && !a.old {
		return wire.V32
	}
	return wire.V30
}

// errCutOff: a connection ended in the middle of a login.
var errCutOff = errors.New("it closed the connection during login")

// ask connects, and where the server may have refused what was asked for, rather than us, it asks for less. The arrival
// says what was learned by that.
func (p *Proxy) ask(ctx context.Context, t engine.Target, a asking) (*arrival, error) {
	var learned asking
	got, err := p.connect(ctx, t, a)
	if err != nil && a.version(t) != wire.V30 && mayMeanVersion(err) {
		a.old, learned.old = true, true
		got, err = p.connect(ctx, t, a)
	}
	var no *refusal
	if errors.As(err, &no) && !a.bare && no.extras() {
		a.bare, learned.bare = true, true
		got, err = p.connect(ctx, t, a)
	}
	if err == nil {
		got.learned = learned
	}
	return got, err
}

// mayMeanVersion says whether a login that failed may have failed for the version that was asked for: servers that don't
// know it say so in many ways, or hang up.
func mayMeanVersion(err error) bool {
	var no *refusal
	return errors.As(err, &no) && no.extras() || errors.Is(err, errCutOff)
}
