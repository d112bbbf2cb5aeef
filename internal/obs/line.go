package obs

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"cancello/internal/event"
)

// line is an event and when it happened: it is written some time later.
type line struct {
	at time.Time
	event.Event
}

// write hands the line to log's handler, without the place in the source that a call of log would look up for it.
func (l line) write(log *slog.Logger) {
	level, text, fields := worded(l.Event)
	h, ctx := log.Handler(), context.Background()
	if !h.Enabled(ctx, level) {
		return
	}
	r := slog.NewRecord(l.at, level, text, 0)
	r.Add(fields...)
	_ = h.Handle(ctx, r) // whoever writes the log can't be told so in the log
}

// worded is what a line says. Fields that are empty are left out, so that it says only what is known.
func worded(e event.Event) (level slog.Level, text string, fields []any) {
	info := func(text string, fields ...any) (slog.Level, string, []any) { return slog.LevelInfo, text, fields }
	warn := func(text string, fields ...any) (slog.Level, string, []any) { return slog.LevelWarn, text, fields }
	switch e := e.(type) {
	case event.CancelSettled:
		return cancelLevel(e.Outcome), "cancel", cancelFields(e)
	case event.ClientJoined:
		return info("client joined", "pid", e.PID, "user", e.User, "database", e.Database, "remote", e.Remote)
	case event.ClientLeft:
		return info("client left", "pid", e.PID, "user", e.User, "database", e.Database, "reason", e.Reason)
	case event.ServerOpened:
		f := []any{"server", e.Server, "pid", e.PID, "user", e.User, "database", e.Database, "remote", e.Remote, "cancel_key", e.HasKey}
		if e.As != e.User && e.As != "" { // a forced user
			f = append(f, "as", e.As)
		}
		return info("server connected", f...)
	case event.ServerClosed:
		return info("server closed", "server", e.Server, "user", e.User, "database", e.Database, "reason", e.Reason)
	case event.DialFailed:
		return warn("server connection failed", "server", e.Server, "user", e.User, "database", e.Database, "remote", e.Remote, "reason", e.Reason)
	case event.LoginRefused:
		return warn("login refused", "user", e.User, "database", e.Database, "remote", e.Remote, "code", e.Code, "reason", e.Reason)
	case event.UpstreamFailing:
		return warn("upstream left aside: the others serve", "remote", e.Upstream, "reason", e.Reason)
	case event.DummyKey:
		return warn("upstream gives no usable cancel key: cancels go by cancel_fallback, and of passthrough nowhere", "remote", e.Upstream, "reason", e.Reason)
	case event.UpstreamBack:
		return info("upstream is back", "remote", e.Upstream, "after", e.After.Round(time.Millisecond).String())
	case event.PeerUp:
		return info("peer linked", "node", e.Node, "remote", e.Remote, "dialed", e.Dialed)
	case event.PeerDown:
		return warn("peer not linked: cancels for its clients are lost here until it is", "node", e.Node, "remote", e.Address, "reason", e.Reason)
	case event.PeerRefused:
		return warn("peer refused", "remote", e.Remote, "reason", e.Reason)
	case event.Drained:
		return info("drained: the last client has left")
	default:
		return warn("event without a wording", "type", fmt.Sprintf("%T", e))
	}
}

// cancelLevel is a warning where a request did not do what its sender wanted for a reason an operator can change.
func cancelLevel(o event.Outcome) slog.Level {
	switch o {
	case event.Swallowed, event.Disconnected, event.Forged, event.Failed, event.Unsupported, event.Throttled:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

func cancelFields(e event.CancelSettled) []any {
	f := make([]any, 0, 28)
	f = append(f, "outcome", e.Outcome.String())
	if e.PID != 0 {
		f = append(f, "pid", e.PID)
	}
	if e.User != "" {
		f = append(f, "user", e.User, "database", e.Database)
	}
	if e.Unit != 0 {
		f = append(f, "unit", e.Unit, "kind", e.Kind)
	}
	f = append(f, "sends", e.Sends, "ms", float64(e.Took.Microseconds())/1000)
	if e.Remote != "" {
		f = append(f, "remote", e.Remote)
	} else if e.Ticket == 0 {
		f = append(f, "origin", "cancello", "cause", e.Cause)
	}
	if node, ok := e.Via.Node(); ok {
		f = append(f, "via", node)
	}
	if node, ok := e.Owner.Node(); ok {
		f = append(f, "owner", node)
		if e.Outcome == event.Forwarded {
			f = append(f, "there", e.There.String())
		}
	}
	if e.Reason != "" {
		f = append(f, "reason", e.Reason)
	}
	return f
}
