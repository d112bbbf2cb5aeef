package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cancello/internal/event"
	"cancello/internal/sqlstate"
)

// order is a command of the console.
type order struct {
	name  string // in capitals
	usage string // empty: not told of
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
		{"CANCEL", "CANCEL id", (*talk).cancelClient},
		{"DISABLE", "DISABLE db", func(t *talk, w []word) error { return t.one(w, t.console.gate.Disable, "") }},
		{"ENABLE", "ENABLE db", func(t *talk, w []word) error { return t.one(w, t.console.gate.Enable, "it is not disabled") }},
		{"WAIT_CLOSE", "WAIT_CLOSE [db]", (*talk).waitClose},
		{"SET", "SET key = value", (*talk).set},
		{"SUSPEND", "", (*talk).suspend},
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
	err = t.await(func() (bool, error) {
		switch state, err := t.console.gate.Pausing(t.ctx, name); {
		case err != nil || state == event.PauseHolds:
			return true, err
		case state == event.NotPaused:
			return true, sqlstate.New(sqlstate.SeverityError, codeNotInState, "it was resumed before every server was free")
		}
		return false, nil
	}, "; it is paused all the same")
	if e := (sqlstate.Error{}); errors.As(err, &e) && e.Code == sqlstate.CodeQueryCanceled {
		if undone := t.of(words, t.console.gate.Resume, ""); undone == nil { // else somebody was faster
			e.Detail = "The pause is undone."
			return e
		}
	}
	return err
}

// waitClose waits until each server that is to be closed, after a RECONNECT for one, has been.
func (t *talk) waitClose(words []word) error {
	name, err := database(words)
	if err != nil {
		return err
	}
	return t.await(func() (bool, error) {
		list, err := t.console.gate.Servers(t.ctx)
		left := slices.ContainsFunc(list, func(s event.ServerState) bool {
			return s.CloseNeeded && (name == "" || s.Database == name)
		})
		return !left, err
	}, "")
}

// one gives a command that needs the name of a database.
func (t *talk) one(words []word, do func(context.Context, string) (bool, error), refused string) error {
	if len(words) == 0 {
		return syntax("give the name of a database")
	}
	return t.of(words, do, refused)
}

func (t *talk) suspend([]word) error {
	e := sqlstate.New(sqlstate.SeverityError, sqlstate.CodeFeatureNotSupported, "SUSPEND is not there: it serves PgBouncer's takeover by a new process")
	e.Hint = "PAUSE closes the servers; what can be changed without a restart is taken by RELOAD."
	return e
}

// set changes a setting: SET key = value, or TO.
func (t *talk) set(words []word) error {
	if len(words) == 4 && words[0].is("SESSION") { // SESSION key = value is read as key = value
		words = words[1:]
	}
	if len(words) != 3 || words[1].text != "=" && !words[1].is("TO") {
		return syntax("SET key = value: SHOW CONFIG lists the keys")
	}
	if err := t.console.gate.Set(words[0].text, words[2].text); err != nil {
		e := sqlstate.New(sqlstate.SeverityError, codeInvalidParameter, "nothing was changed: "+firstLine(err.Error()))
		e.Hint = "SHOW CONFIG says which settings can be changed; others are changed in the configuration file, and by a restart."
		return e
	}
	return nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// client is the id of one client, which a command must have.
func client(words []word) (uint32, error) {
	if len(words) != 1 {
		return 0, syntax("give the id of one client, as SHOW CLIENTS has it")
	}
	pid, err := strconv.ParseUint(words[0].text, 10, 32)
	if err != nil {
		return 0, sqlstate.New(sqlstate.SeverityError, codeInvalidParameter, fmt.Sprintf("%q is not the id of a client: see SHOW CLIENTS", words[0].text))
	}
	return uint32(pid), nil
}

func noClient(pid uint32) error {
	return sqlstate.New(sqlstate.SeverityError, codeUndefined, fmt.Sprintf("there is no client %d", pid))
}

func (t *talk) killClient(words []word) error {
	pid, err := client(words)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.ctx, questionTime)
	defer cancel()
	ok, err := t.console.gate.KillClient(ctx, pid)
	if err == nil && !ok {
		err = noClient(pid)
	}
	return err
}

// cancelClient cancels what a client runs; what came of it is in SHOW CANCELS.
func (t *talk) cancelClient(words []word) error {
	pid, err := client(words)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.ctx, questionTime)
	defer cancel()
	asked, err := t.console.gate.CancelClient(ctx, pid)
	switch {
	case err != nil:
		return err
	case asked == event.AskedNobody:
		return noClient(pid)
	case asked == event.AskedIdle:
		return sqlstate.New(sqlstate.SeverityError, codeNotInState, fmt.Sprintf("client %d runs nothing", pid))
	case asked == event.AskedAtCommit:
		e := sqlstate.New(sqlstate.SeverityError, codeNotInState, fmt.Sprintf("client %d may be at a COMMIT, which is not cancelled", pid))
		e.Hint = "PostgreSQL would acknowledge it before it is replicated. The client itself can cancel it."
		return e
	}
	return nil
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
