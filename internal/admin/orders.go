package admin

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"cancello/internal/event"
	"cancello/internal/sqlstate"
)

// order is a command of the console.
type order struct {
	name  string // in capitals
	usage string
	obey  func(*talk, []word) error
}

// orders is what may be commanded, in PgBouncer's words.
func orders() []order {
	return []order{
		{"PAUSE", "PAUSE [db]", (*talk).pause},
		{"RESUME", "RESUME [db]", func(t *talk, w []word) error { return t.of(w, t.console.gate.Resume, "nothing is paused") }},
		{"RECONNECT", "RECONNECT [db]", func(t *talk, w []word) error { return t.of(w, t.console.gate.Reconnect, "") }},
		{"KILL", "KILL [db]", func(t *talk, w []word) error { return t.of(w, t.console.gate.Kill, "") }},
		{"KILL_CLIENT", "KILL_CLIENT id", (*talk).killClient},
		{"RELOAD", "RELOAD", (*talk).reload},
		{"SHUTDOWN", "SHUTDOWN [WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS]", (*talk).shutdown},
	}
}

// obey carries a command out for somebody who may give it, and logs it.
func (t *talk) obey(o order, words []word) (*answer, error) {
	if t.rank < command {
		e := sqlstate.New(sqlstate.SeverityError, codePrivilege, fmt.Sprintf("user %q may look, and give no commands", t.guest.User))
		e.Hint = "Those in admin_users may."
		return nil, e
	}
	said := []any{"command", o.name, "user", t.guest.User, "remote", t.guest.Remote}
	for _, w := range words {
		said = append(said, "on", w.text)
	}
	if err := o.obey(t, words); err != nil {
		t.console.log.Warn("console command failed", append(said, "reason", err.Error())...)
		return nil, err
	}
	t.console.log.Info("console command", said...)
	return &answer{tag: o.name}, nil
}

// database is the one name that a command may have; none is all databases.
func database(words []word) (string, error) {
	switch {
	case len(words) == 0:
		return "", nil
	case len(words) > 1 || words[0].name() == "":
		return "", syntax("give the name of one database, or none for all")
	}
	return words[0].name(), nil
}

// of gives a command about a database, or all.
func (t *talk) of(words []word, do func(context.Context, string) (bool, error), refused string) error {
	name, err := database(words)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.ctx, questionTime)
	defer cancel()
	ok, err := do(ctx, name)
	switch {
	case err != nil:
		return err
	case !ok && refused != "":
		return sqlstate.New(sqlstate.SeverityError, codeNotInState, refused)
	case !ok:
		return sqlstate.New(sqlstate.SeverityError, sqlstate.CodeInvalidCatalogName, fmt.Sprintf("there is no database %q", name))
	}
	return nil
}

// pausePoll is how often a PAUSE that waits looks whether it holds.
const pausePoll = 20 * time.Millisecond

// pause waits until no server is left, so that what comes next may stop PostgreSQL. It stays a pause if the guest leaves
// meanwhile.
func (t *talk) pause(words []word) error {
	name, err := database(words)
	if err != nil {
		return err
	}
	refused := ""
	if s, err := t.console.gate.Snapshot(t.ctx); err == nil && s.Draining {
		refused = "a drain is under way: a pause would keep it from its end"
	}
	if err := t.of(words, t.console.gate.Pause, refused); err != nil {
		return err
	}
	gone, unwatch := t.watch()
	defer unwatch()
	for {
		state, err := t.console.gate.Pausing(t.ctx, name)
		switch {
		case err != nil:
			return err
		case state == event.PauseHolds:
			return nil
		case state == event.NotPaused:
			return sqlstate.New(sqlstate.SeverityError, codeNotInState, "it was resumed before every server was free")
		}
		select {
		case <-time.After(pausePoll):
		case <-gone:
			return sqlstate.New(sqlstate.SeverityError, codeNotInState, "who gave the command has gone; it is paused all the same")
		case <-t.ctx.Done():
			return sqlstate.AdminShutdown()
		}
	}
}

func (t *talk) killClient(words []word) error {
	if len(words) != 1 {
		return syntax("give the id of one client, as SHOW CLIENTS has it")
	}
	pid, err := strconv.ParseUint(words[0].text, 10, 32)
	if err != nil {
		return sqlstate.New(sqlstate.SeverityError, codeInvalidParameter, fmt.Sprintf("%q is not the id of a client: see SHOW CLIENTS", words[0].text))
	}
	ctx, cancel := context.WithTimeout(t.ctx, questionTime)
	defer cancel()
	ok, err := t.console.gate.KillClient(ctx, uint32(pid))
	if err == nil && !ok {
		err = sqlstate.New(sqlstate.SeverityError, codeUndefined, fmt.Sprintf("there is no client %d", pid))
	}
	return err
}

func (t *talk) reload(words []word) error {
	if len(words) > 0 {
		return syntax("RELOAD takes nothing more")
	}
	if err := t.console.gate.Reload(); err != nil {
		e := sqlstate.New(sqlstate.SeverityError, codeInvalidParameter, "reload refused: nothing was changed")
		e.Detail = err.Error()
		return e
	}
	return nil
}

func (t *talk) shutdown(words []word) error {
	switch {
	case len(words) == 0:
		t.console.gate.Stop()
	case len(words) == 1 && (words[0].is("WAIT_FOR_SERVERS") || words[0].is("WAIT_FOR_CLIENTS")):
		t.console.gate.Drain()
	default:
		return syntax("SHUTDOWN takes WAIT_FOR_SERVERS, WAIT_FOR_CLIENTS or nothing")
	}
	return nil
}
