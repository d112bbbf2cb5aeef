package admin

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/sqlstate"
)

// The bounds of a console connection.
const (
	maxConsoles  = 20
	maxMessage   = 64 << 10         // of a client's message, in bytes
	maxPrepared  = 1000             // statements and portals of one connection, each
	writeTime    = 30 * time.Second // for one answer to be taken
	lastTime     = time.Second      // for the last one, in a stop
	questionTime = 10 * time.Second // for the loop to tell something
)

// The codes of what only the console says (errcodes-appendix).
const (
	codeSyntax           = "42601" // syntax_error
	codePrivilege        = "42501" // insufficient_privilege
	codeUndefined        = "42704" // undefined_object
	codeInvalidParameter = "22023" // invalid_parameter_value
	codeNotInState       = "55000" // object_not_in_prerequisite_state
	codeInternal         = "XX000" // internal_error
)

// Gate is what the console looks at. Its methods may be called from any goroutine; those with a context wait for the
// loop.
type Gate interface {
	Config() config.Config
	Snapshot(context.Context) (event.Snapshot, error)
	Clients(context.Context) ([]event.ClientState, error)
	Servers(context.Context) ([]event.ServerState, error)

	// Those below change something. An empty database is all of them; false says that there is nothing of that name,
	// for Resume that nothing was paused.

	Pause(ctx context.Context, database string) (bool, error)
	Pausing(ctx context.Context, database string) (event.Pausing, error)
	Resume(ctx context.Context, database string) (bool, error)
	Reconnect(ctx context.Context, database string) (bool, error)
	Kill(ctx context.Context, database string) (bool, error)
	KillClient(ctx context.Context, pid uint32) (bool, error)
	CancelClient(ctx context.Context, pid uint32) (event.Asked, error)
	Disable(ctx context.Context, database string) (bool, error)
	Enable(ctx context.Context, database string) (bool, error) // false: it was not disabled
	// Set changes one setting, as --set does, until the next reload.
	Set(key, value string) error
	// Reload reads the configuration anew; the error has a line for each fault.
	Reload() error
	// Drain lets those who are in finish, and ends the process after that. Stop ends it at once.
	Drain()
	Stop()
}

// Guest is who wants to speak with the console.
type Guest struct {
	User   string
	Remote string
	Local  bool // the connection comes from this machine
	Proven bool // it has proven to be that user
	// What it is told to cancel with, and where the console says what a cancel does: it ends a wait, and tells whether
	// there was one.
	PID      uint32
	Key      []byte // secret
	OnCancel func(end func() bool)
}

// Console answers those who connect to the database config.Console. Create it with NewConsole.
type Console struct {
	gate    Gate
	version string
	log     *slog.Logger
	cancels *Cancels
	now     func() time.Time
	began   time.Time
	stats   samples
	guests  atomic.Int64
}

// NewConsole makes a console that looks at g and tells of the cancels in c.
func NewConsole(g Gate, c *Cancels, version string, log *slog.Logger) *Console {
	return &Console{gate: g, version: version, log: log, cancels: c, now: time.Now, began: time.Now()}
}

// rank is what a guest may do.
type rank uint8

const (
	nothing rank = iota
	look
	command
)

// rank decides. A name that nobody had to prove counts on this machine only, and gives commands only where the
// configuration says so.
func (g Guest) rank(a config.Auth) rank {
	switch {
	case !g.Proven && !g.Local:
		return nothing
	case slices.Contains(a.AdminUsers, g.User):
		return command
	case slices.Contains(a.StatsUsers, g.User) || !g.Proven:
		return look
	}
	return nothing
}

// refusal is said to a guest who may do nothing.
func (g Guest) refusal() sqlstate.Error {
	e := sqlstate.New(sqlstate.SeverityFatal, sqlstate.CodeInvalidAuthorization, fmt.Sprintf("user %q may not use the console", g.User))
	e.Hint = "Those in admin_users and stats_users may."
	if !g.Proven {
		e.Hint = "With auth_type = \"trust\" the console can be used from this machine only."
	}
	return e
}

// Serve speaks with a guest until it leaves or ctx ends. It answers the login; nc, of which the startup packet and the
// authentication have been read, is left open.
func (c *Console) Serve(ctx context.Context, nc net.Conn, g Guest) {
	t := &talk{console: c, nc: nc, guest: g, rank: g.rank(c.gate.Config().Auth)}
	t.begin(ctx)
	defer c.guests.Add(-1)
	switch {
	case c.guests.Add(1) > maxConsoles:
		t.fatal(sqlstate.New(sqlstate.SeverityFatal, sqlstate.CodeTooManyConnections, fmt.Sprintf("too many connections to the console: %d at most", maxConsoles)))
	case t.rank == nothing:
		c.log.Warn("console refused", "user", g.User, "remote", g.Remote)
		t.fatal(g.refusal())
	default:
		c.log.Info("console opened", "user", g.User, "remote", g.Remote, "commands", t.rank == command)
		t.run()
		c.log.Info("console closed", "user", g.User, "remote", g.Remote)
	}
}
